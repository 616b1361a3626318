using HeartbeatServer.Protocol;

namespace HeartbeatServer.Tests.Protocol;

/// <summary>Judges the silence after a ping. Each test stands for one kind of peer, with the kernel's figures for it.</summary>
public sealed class SendProgressTests
{
    private static readonly TimeSpan Beat = TimeSpan.FromSeconds(1);

    private SendProgress _progress = null!;

    [SetUp]
    public void SetUp() => _progress = new SendProgress();

    [Test]
    public void A_frozen_program_whose_kernel_acknowledges_the_pings_misses_them()
    {
        for (uint i = 0; i < 5; i++)
            Assert.That(Judge(i, new TcpInfo { BytesAcked = 1000 + (10 * i), SendWindow = 65_000 }), Is.EqualTo(Silence.Missed));
    }

    [Test]
    public void A_frozen_program_far_away_misses_its_pings_though_the_last_is_not_acknowledged_yet()
    {
        var tcp = new TcpInfo { BytesAcked = 1000, Unacknowledged = 1, SinceAck = TimeSpan.FromSeconds(0.9) };

        Assert.That(Judge(0, tcp), Is.EqualTo(Silence.Missed));
        Assert.That(Judge(1, tcp with { BytesAcked = 1010 }), Is.EqualTo(Silence.Missed));
    }

    [Test]
    public void A_dead_path_misses_them_with_and_without_a_queue([Values(0u, 50_000u)] uint notSent)
    {
        var tcp = new TcpInfo { BytesAcked = 1000, Unacknowledged = 3, NotSent = notSent, SinceAck = TimeSpan.FromSeconds(1.5) };

        Assert.That(Judge(0, tcp), Is.EqualTo(Silence.Missed));
    }

    [Test]
    public void Behind_bytes_that_were_not_sent_a_ping_has_not_left()
    {
        Assert.That(Judge(0, new TcpInfo { BytesAcked = 1000, NotSent = 50_000 }), Is.EqualTo(Silence.Queued), "a slow line");
        Assert.That(
            Judge(1, new TcpInfo { BytesAcked = 1000, NotSent = 50_000, SinceAck = TimeSpan.FromSeconds(45.7) }),
            Is.EqualTo(Silence.Queued),
            "a closed window");
    }

    [Test]
    public void On_a_slow_line_the_ping_is_on_its_way_as_long_as_bytes_before_it_arrive()
    {
        Assert.That(Judge(0, new TcpInfo { BytesAcked = 100_000, NotSent = 10 }), Is.EqualTo(Silence.Queued));
        Assert.That(Judge(1, new TcpInfo { BytesAcked = 108_000, Unacknowledged = 20 }), Is.EqualTo(Silence.Queued));
        Assert.That(Judge(2, new TcpInfo { BytesAcked = 116_000, Unacknowledged = 10 }), Is.EqualTo(Silence.Queued));
        Assert.That(Judge(3, new TcpInfo { BytesAcked = 116_020 }), Is.EqualTo(Silence.Queued));
        Assert.That(Judge(4, new TcpInfo { BytesAcked = 116_030 }), Is.EqualTo(Silence.Queued));
        Assert.That(Judge(5, new TcpInfo { BytesAcked = 116_040 }), Is.EqualTo(Silence.Missed), "it has had its time");
    }

    [Test]
    public void A_program_that_reads_slowly_has_more_room_each_time()
    {
        Assert.That(Judge(0, new TcpInfo { BytesAcked = 1_000_000, NotSent = 10, SendWindow = 0 }), Is.EqualTo(Silence.Queued));
        Assert.That(Judge(1, new TcpInfo { BytesAcked = 1_000_020, SendWindow = 32_000 }), Is.EqualTo(Silence.Queued));
        Assert.That(Judge(2, new TcpInfo { BytesAcked = 1_000_030, SendWindow = 64_000 }), Is.EqualTo(Silence.Queued));
        Assert.That(Judge(4, new TcpInfo { BytesAcked = 1_000_040, SendWindow = 64_000 }), Is.EqualTo(Silence.Queued));
        Assert.That(Judge(5, new TcpInfo { BytesAcked = 1_000_050, SendWindow = 64_000 }), Is.EqualTo(Silence.Missed), "it has read everything");
    }

    /// <summary>
    /// Over loopback a kernel opens the window only when half of its buffer is free. So the steps are 64 KB, which take 2 s at 32 KB/s.
    /// </summary>
    [Test]
    public void A_program_that_reads_in_long_steps_has_twice_the_longest_for_the_last()
    {
        Assert.That(Judge(0, new TcpInfo { BytesAcked = 64_000, NotSent = 190_000 }), Is.EqualTo(Silence.Queued));
        Assert.That(Judge(1, new TcpInfo { BytesAcked = 64_000, NotSent = 190_000 }), Is.EqualTo(Silence.Queued));
        Assert.That(Judge(2, new TcpInfo { BytesAcked = 128_000, NotSent = 130_000 }), Is.EqualTo(Silence.Queued));
        Assert.That(Judge(3, new TcpInfo { BytesAcked = 128_000, NotSent = 130_000 }), Is.EqualTo(Silence.Queued));
        Assert.That(Judge(4, new TcpInfo { BytesAcked = 260_000 }), Is.EqualTo(Silence.Queued));
        for (int second = 5; second <= 8; second++)
            Assert.That(Judge(second, new TcpInfo { BytesAcked = 260_000 }), Is.EqualTo(Silence.Queued), $"{second} s");
        Assert.That(Judge(9, new TcpInfo { BytesAcked = 260_000 }), Is.EqualTo(Silence.Missed));
    }

    /// <summary>It is judged at every beat, and gets a message now and then: the time between two messages is none that it reads in.</summary>
    [Test]
    public void A_client_that_is_always_late_gets_no_time_for_messages_that_it_took_at_once()
    {
        for (int second = 0; second < 60; second++)
            Judge(second, new TcpInfo { BytesAcked = 1000 + (10 * (ulong)second) + (4000 * (ulong)(second / 20)) });

        Assert.That(Judge(60, new TcpInfo { BytesAcked = 9600 }), Is.EqualTo(Silence.Missed));
        Assert.That(Judge(61, new TcpInfo { BytesAcked = 9610 }), Is.EqualTo(Silence.Missed));
    }

    [Test]
    public void On_a_line_so_slow_that_an_acknowledgement_takes_longer_than_a_beat_the_kernel_is_not_silent()
    {
        var tcp = new TcpInfo
        {
            BytesAcked = 100_000,
            NotSent = 10_000,
            Unacknowledged = 9,
            SinceAck = TimeSpan.FromSeconds(1.4),
            RoundTrip = TimeSpan.FromSeconds(10),
        };

        Assert.That(Judge(0, tcp), Is.EqualTo(Silence.Queued));
        Assert.That(Judge(1, tcp with { RoundTrip = TimeSpan.FromMilliseconds(20) }), Is.EqualTo(Silence.Missed));
    }

    [Test]
    public void What_was_seen_in_an_earlier_silence_does_not_count()
    {
        Judge(0, new TcpInfo { BytesAcked = 1000 });

        Assert.That(Judge(100, new TcpInfo { BytesAcked = 900_000 }), Is.EqualTo(Silence.Missed), "it was talkative meanwhile");
    }

    [Test]
    public void Who_takes_nothing_moves_nothing()
    {
        _progress.Begin(Seconds(5));
        _progress.Look(new TcpInfo { BytesAcked = 1000, NotSent = 50_000 }, Seconds(10));
        _progress.Look(new TcpInfo { BytesAcked = 1000, NotSent = 50_000 }, Seconds(15));

        Assert.That(_progress.LastMove, Is.EqualTo(Seconds(5)));
    }

    [Test]
    public void Who_takes_a_byte_or_has_taken_all_moves()
    {
        _progress.Begin(Seconds(5));
        Assert.That(_progress.Look(new TcpInfo { BytesAcked = 1000, NotSent = 50_000 }, Seconds(10)), Is.True);
        Assert.That(_progress.Look(new TcpInfo { BytesAcked = 1001, NotSent = 49_999 }, Seconds(15)), Is.True);
        Assert.That(_progress.LastMove, Is.EqualTo(Seconds(15)));

        Assert.That(_progress.Look(new TcpInfo { BytesAcked = 1001 }, Seconds(20)), Is.False, "nothing waits");
        Assert.That(_progress.LastMove, Is.EqualTo(Seconds(20)));
    }

    [Test]
    public void Our_own_stall_is_not_the_peers()
    {
        _progress.Begin(Seconds(5));
        _progress.Forgive(Seconds(12));

        Assert.That(_progress.LastMove, Is.EqualTo(Seconds(17)));
    }

    private Silence Judge(double seconds, TcpInfo tcp) => _progress.Judge(tcp, Seconds(seconds), Beat);

    private static TimeSpan Seconds(double seconds) => TimeSpan.FromSeconds(seconds);
}
