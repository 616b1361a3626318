using HeartbeatServer.Probe;

namespace HeartbeatServer.Tests.Probe;

public sealed class WatchedTests
{
    private Watched _watched = null!;

    [SetUp]
    public void SetUp()
    {
        _watched = new Watched(7, ProbeRole.Ladder);
        _watched.Open(At(10));
    }

    [Test]
    public void A_silence_ends_with_a_byte_and_not_with_a_ping_of_ours()
    {
        _watched.Ping(At(41));

        Assert.That(_watched.Silence(At(44)), Is.EqualTo(At(31)));

        _watched.Answer(At(44));

        Assert.That(_watched.Silence(At(45)), Is.EqualTo(At(1)));
        Assert.That((_watched.Pings, _watched.Pongs), Is.EqualTo((1, 1)));
    }

    [Test]
    public void At_its_end_its_figures_stand_still()
    {
        _watched.Finish(new ProbeEnd(EndKind.Fin), At(70));

        Assert.That((_watched.Age(At(100)), _watched.Silence(At(100)), _watched.EndedInSilence), Is.EqualTo((At(60), At(60), true)));
    }

    [Test]
    public void An_end_upon_a_ping_is_none_in_silence()
    {
        _watched.Ping(At(41));
        _watched.Finish(new ProbeEnd(EndKind.Reset), At(41.1));

        Assert.That((_watched.EndedInSilence, _watched.Silence(At(50))), Is.EqualTo((false, At(31))));
    }

    [Test]
    public void A_greeting_is_not_the_server_breaking_the_silence()
    {
        _watched.Hear(isPing: false, At(11.5));
        Assert.That((_watched.Heard, _watched.Silence(At(12))), Is.EqualTo((0, At(0.5))));

        _watched.Hear(isPing: true, At(20));
        _watched.Hear(isPing: true, At(30));
        _watched.Hear(isPing: true, At(45));

        Assert.That((_watched.Heard, _watched.HeardFor, _watched.LongestPause, _watched.ServerPings), Is.EqualTo((3, At(25), At(15), 3)));
    }

    [Test]
    public void Segments_that_come_into_the_silence_are_the_other_kernel_s_own()
    {
        Count((10.5, 3), (11, 4), (12, 4), (70, 5), (71, 5), (130, 6), (131, 6));

        Assert.That((_watched.KernelSegments, _watched.KernelSilence), Is.EqualTo((2u, At(60))));
    }

    [Test]
    public void The_segment_of_an_answer_is_none_and_neither_is_the_end_itself()
    {
        Count((12, 4), (13, 4));
        _watched.Ping(At(14));
        Count((14.5, 5));
        _watched.Answer(At(14.6));
        // The FIN has come, and is told after the count.
        Count((15, 5), (16, 5), (17, 5), (18, 6));

        Assert.That(_watched.KernelSegments, Is.Zero);
    }

    private static TimeSpan At(double seconds) => TimeSpan.FromSeconds(seconds);

    private void Count(params (double At, uint Segments)[] counts)
    {
        foreach ((double at, uint segments) in counts)
            _watched.Count(segments, At(at));
    }
}
