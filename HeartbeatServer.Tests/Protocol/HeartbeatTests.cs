using System.Buffers.Binary;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Tests.Protocol;

/// <summary>Checks each rule of the heartbeat. Unless a test says otherwise, pings leave every 10 s from 3 s on, and the timeout is 0.5 s.</summary>
[TestFixture]
public sealed class HeartbeatTests
{
    private static readonly HeartbeatTimings Usual = Timings(10, 0.5, 3);

    [TestCase(100.0)]
    [TestCase(102.5)]
    [TestCase(109.99)]
    public void The_first_ping_is_due_at_its_time(double due)
    {
        var heartbeat = new Heartbeat(Usual, At(100), At(due));

        Assert.That(heartbeat.NextDue, Is.EqualTo(At(due)));
        Assert.That(heartbeat.Advance(At(due - 0.001), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.None));
        Assert.That(heartbeat.Advance(At(due), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Ping));
        Assert.That(heartbeat.Advance(At(due), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.None));
    }

    [Test]
    public void Pings_are_numbered_from_one()
    {
        Heartbeat heartbeat = New();
        Assert.That(heartbeat.Pings, Is.Zero);

        Ping(heartbeat, 3);
        Assert.That(heartbeat.Pings, Is.EqualTo(1));
        Pong(heartbeat, 3.1, 1);
        Ping(heartbeat, 13);
        Assert.That(heartbeat.Pings, Is.EqualTo(2));
    }

    [Test]
    public void Pings_keep_to_the_beat_however_late_each_is_written()
    {
        Heartbeat heartbeat = New();
        for (int beat = 0; beat < 20; beat++)
        {
            double late = beat % 5 * 0.002;
            Assert.That(heartbeat.NextDue, Is.EqualTo(At(3 + 10 * beat)));
            Ping(heartbeat, 3 + 10 * beat + late);
            Pong(heartbeat, 3 + 10 * beat + late + 0.05, (ulong)beat + 1);
        }
    }

    [Test]
    public void Traffic_does_not_move_the_beat()
    {
        Heartbeat heartbeat = New();
        for (double now = 0; now < 3; now += 0.1)
            heartbeat.BytesReceived(At(now));
        Assert.That(heartbeat.NextDue, Is.EqualTo(At(3)));

        Ping(heartbeat, 3);
        for (double now = 3; now < 12.95; now += 0.1)
        {
            heartbeat.BytesReceived(At(now));
            Assert.That(heartbeat.Advance(At(now), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.None));
        }
        Assert.That(heartbeat.NextDue, Is.EqualTo(At(13)));
    }

    [Test]
    public void Silence_until_the_deadline_is_overdue_once()
    {
        Heartbeat heartbeat = New();
        Ping(heartbeat, 3);

        Assert.That(heartbeat.NextDue, Is.EqualTo(At(3.5)));
        Assert.That(heartbeat.Advance(At(3.499), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.None));
        Assert.That(heartbeat.Advance(At(3.5), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Overdue));
        Assert.That(heartbeat.Advance(At(3.5), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.None));
        Assert.That(heartbeat.NextDue, Is.EqualTo(At(13)));
    }

    [Test]
    public void Overdue_is_no_strike_until_it_is_counted()
    {
        Heartbeat heartbeat = New();
        Ping(heartbeat, 3);
        heartbeat.Advance(At(3.5), TimeSpan.Zero);
        Assert.That((heartbeat.Strikes, heartbeat.Missed), Is.EqualTo((0, 0)));

        Assert.That(heartbeat.Strike(), Is.EqualTo(1));
        Assert.That((heartbeat.Strikes, heartbeat.Missed, heartbeat.IsDead), Is.EqualTo((1, 1, false)));
    }

    [TestCase(1)]
    [TestCase(3)]
    [TestCase(10)]
    public void Max_missed_strikes_in_a_row_are_death(int maxMissed)
    {
        var heartbeat = new Heartbeat(Timings(10, 0.5, maxMissed), At(0), At(3));
        for (int strike = 1; strike <= maxMissed; strike++)
        {
            Assert.That(heartbeat.IsDead, Is.False);
            Miss(heartbeat, 3 + 10 * (strike - 1));
            Assert.That(heartbeat.Strikes, Is.EqualTo(strike));
        }
        Assert.That(heartbeat.IsDead, Is.True);
    }

    [Test]
    public void A_peer_that_dies_is_found_after_at_most_all_its_beats_and_a_timeout(
        [Values(1, 2, 3)] int maxMissed, [Values(0.5, 5, 9.999, 10)] double timeout, [Values(0, 0.002, 0.008)] double late)
    {
        // The bound holds for any moment of death, and if each ping and each judgement is up to a tick late.
        for (double death = 13.0005; death < 23.5; death += 0.497)
        {
            var heartbeat = new Heartbeat(Timings(10, timeout, maxMissed), At(0), At(3));
            double found = Run(heartbeat, death, late);
            Assert.That(found, Is.InRange(death, death + 10 * maxMissed + timeout + late + 0.001), $"died at {death}");
        }
    }

    [Test]
    public void Any_byte_before_the_deadline_is_a_sign_of_life()
    {
        Heartbeat heartbeat = New();
        Ping(heartbeat, 3);
        heartbeat.BytesReceived(At(3.499));

        Assert.That(heartbeat.Advance(At(3.5), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.None));
        Assert.That(heartbeat.NextDue, Is.EqualTo(At(13)));
        Assert.That(heartbeat.Missed, Is.Zero);
    }

    [Test]
    public void A_byte_before_the_ping_is_no_answer_to_it()
    {
        Heartbeat heartbeat = New();
        heartbeat.BytesReceived(At(2.999));
        Ping(heartbeat, 3);

        Assert.That(heartbeat.Advance(At(3.5), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Overdue));
    }

    [Test]
    public void Any_byte_clears_the_strikes_and_says_how_many()
    {
        Heartbeat heartbeat = New();
        Assert.That(heartbeat.BytesReceived(At(1)), Is.Zero);
        Miss(heartbeat, 3);
        Miss(heartbeat, 13);

        Assert.That(heartbeat.BytesReceived(At(14)), Is.EqualTo(2));
        Assert.That((heartbeat.Strikes, heartbeat.Missed), Is.EqualTo((0, 2)), "what was missed stays counted");
        Assert.That(heartbeat.BytesReceived(At(15)), Is.Zero);

        Miss(heartbeat, 23);
        Assert.That((heartbeat.Strikes, heartbeat.Missed, heartbeat.IsDead), Is.EqualTo((1, 3, false)), "strikes count in a row");
    }

    [Test]
    public void The_last_sign_of_life_is_remembered()
    {
        var heartbeat = new Heartbeat(Usual, At(100), At(103));
        Assert.That(heartbeat.LastReceived, Is.EqualTo(At(100)));

        heartbeat.BytesReceived(At(101));

        Assert.That(heartbeat.LastReceived, Is.EqualTo(At(101)));
    }

    [Test]
    public void A_pong_in_time_yields_its_round_trip()
    {
        Heartbeat heartbeat = New();
        Ping(heartbeat, 3);

        Assert.That(Pong(heartbeat, 3.12, 1), Is.EqualTo((At(0.12), false)));
        Assert.That((heartbeat.Pongs, heartbeat.Late, heartbeat.RoundTrips.Last), Is.EqualTo((1, 0, At(0.12))));
        Assert.That(heartbeat.NextDue, Is.EqualTo(At(13)), "there is nothing left to judge");
    }

    [Test]
    public void A_pong_after_its_deadline_clears_the_strikes_and_has_its_true_round_trip()
    {
        Heartbeat heartbeat = New();
        Miss(heartbeat, 3);

        Assert.That(heartbeat.BytesReceived(At(4.25)), Is.EqualTo(1));
        Assert.That(Pong(heartbeat, 4.25, 1), Is.EqualTo((At(1.25), true)));

        Assert.That((heartbeat.Strikes, heartbeat.Missed, heartbeat.Late, heartbeat.Pongs), Is.EqualTo((0, 1, 1, 1)));
        Assert.That(heartbeat.RoundTrips.Max, Is.EqualTo(At(1.25)));
    }

    [Test]
    public void A_pong_at_its_deadline_is_in_time()
    {
        Heartbeat heartbeat = New();
        Ping(heartbeat, 3);

        Assert.That(Pong(heartbeat, 3.5, 1), Is.EqualTo((At(0.5), false)));
        Assert.That(heartbeat.Advance(At(3.5), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.None));
    }

    [Test]
    public void A_pong_after_its_deadline_is_late_even_if_other_bytes_were_life()
    {
        Heartbeat heartbeat = New();
        Ping(heartbeat, 3);
        heartbeat.BytesReceived(At(3.2));
        Assert.That(heartbeat.Advance(At(3.5), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.None));

        Assert.That(Pong(heartbeat, 3.7, 1), Is.EqualTo((At(0.7), true)));
        Assert.That((heartbeat.Missed, heartbeat.Late), Is.EqualTo((0, 1)));
    }

    [Test]
    public void A_pong_of_an_older_ping_yields_the_round_trip_of_that_ping()
    {
        Heartbeat heartbeat = New();
        Miss(heartbeat, 3);
        Miss(heartbeat, 13);
        Ping(heartbeat, 23);

        Assert.That(Pong(heartbeat, 23.1, 1), Is.EqualTo((At(20.1), true)));
        Assert.That(Pong(heartbeat, 23.2, 2), Is.EqualTo((At(10.2), true)));
        Assert.That(Pong(heartbeat, 23.3, 3), Is.EqualTo((At(0.3), false)));
        Assert.That((heartbeat.Pongs, heartbeat.Late), Is.EqualTo((3, 2)));
    }

    [Test]
    public void A_pong_of_a_ping_long_ago_yields_none()
    {
        var heartbeat = new Heartbeat(Timings(10, 0.5, 100), At(0), At(3));
        for (int beat = 0; beat < 20; beat++)
            Miss(heartbeat, 3 + 10 * beat);

        for (ulong number = 0; number <= 12; number++)
            Assert.That(Pong(heartbeat, 200, number).RoundTrip, Is.Null, $"{number}");
        Assert.That(Pong(heartbeat, 200, 13).RoundTrip, Is.EqualTo(At(200 - 123)));
    }

    [Test]
    public void A_second_pong_of_the_same_ping_yields_none()
    {
        Heartbeat heartbeat = New();
        Ping(heartbeat, 3);
        Pong(heartbeat, 3.1, 1);

        Assert.That(Pong(heartbeat, 3.2, 1), Is.EqualTo(((TimeSpan?)null, false)));
        Assert.That((heartbeat.Pongs, heartbeat.RoundTrips.Count), Is.EqualTo((1, 1)));
    }

    [TestCase("")]
    [TestCase("01")]
    [TestCase("00000000000001")]
    [TestCase("000000000000000001")]
    [TestCase("0000000000000000")]
    [TestCase("0000000000000002")]
    [TestCase("0100000000000000")]
    [TestCase("FFFFFFFFFFFFFFFF")]
    public void A_pong_that_carries_no_number_of_ours_yields_none(string payload)
    {
        Heartbeat heartbeat = New();
        Ping(heartbeat, 3);

        Assert.That(heartbeat.PongReceived(Convert.FromHexString(payload), At(3.1), TimeSpan.Zero, out bool isLate), Is.Null);
        Assert.That((isLate, heartbeat.Pongs, heartbeat.Late), Is.EqualTo((false, 0, 0)));
        Assert.That(heartbeat.NextDue, Is.EqualTo(At(3.5)), "the ping is still unanswered");
    }

    [Test]
    public void A_pong_before_the_first_ping_yields_none()
    {
        Heartbeat heartbeat = New();
        for (ulong number = 0; number < 6; number++)
            Assert.That(Pong(heartbeat, 1, number).RoundTrip, Is.Null);
    }

    [Test]
    public void An_unsolicited_pong_is_a_sign_of_life_like_any_byte()
    {
        Heartbeat heartbeat = New();
        Ping(heartbeat, 3);
        heartbeat.BytesReceived(At(3.3));
        heartbeat.PongReceived([], At(3.3), TimeSpan.Zero, out _);

        Assert.That(heartbeat.Advance(At(3.5), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.None));
    }

    [Test]
    public void Pongs_with_another_payload_than_a_pings_are_counted_apart()
    {
        Heartbeat heartbeat = New();
        Ping(heartbeat, 3);
        heartbeat.PongReceived([], At(3.1), TimeSpan.Zero, out _);
        heartbeat.PongReceived("hello"u8, At(3.1), TimeSpan.Zero, out _);
        heartbeat.PongReceived([0, 0, 0, 0, 0, 0, 0, 9], At(3.1), TimeSpan.Zero, out _);
        heartbeat.PongReceived([0, 0, 0, 0, 0, 0, 0, 1], At(3.1), TimeSpan.Zero, out _);
        heartbeat.PongReceived([0, 0, 0, 0, 0, 0, 0, 1], At(3.1), TimeSpan.Zero, out _);

        Assert.That((heartbeat.Pongs, heartbeat.OtherPongs), Is.EqualTo((1, 3)), "a repeated pong is none of the others");
    }

    [Test]
    public void The_deadline_runs_from_the_writing_of_the_ping_and_not_from_the_beat()
    {
        Heartbeat heartbeat = New();
        Assert.That(heartbeat.Advance(At(3), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Ping));
        heartbeat.PingWritten(At(7));

        Assert.That(heartbeat.NextDue, Is.EqualTo(At(7.5)));
        Assert.That(heartbeat.Advance(At(7.499), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.None));
        Assert.That(heartbeat.Advance(At(7.5), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Overdue));
        Assert.That(heartbeat.NextDue, Is.EqualTo(At(13)), "the beat stays where it was");
    }

    [Test]
    public void A_ping_that_was_never_written_is_never_judged()
    {
        Heartbeat heartbeat = New();
        for (int beat = 0; beat < 5; beat++)
        {
            Assert.That(heartbeat.Advance(At(3 + 10 * beat), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Ping));
            Assert.That(heartbeat.NextDue, Is.EqualTo(At(13 + 10 * beat)));
            Assert.That(heartbeat.Advance(At(12.999 + 10 * beat), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.None));
        }
        Assert.That(heartbeat.Pings, Is.Zero);
    }

    private static Heartbeat New() => new(Usual, At(0), At(3));

    private static HeartbeatTimings Timings(double ping, double timeout, int maxMissed) => new(At(ping), At(timeout), maxMissed);

    private static TimeSpan At(double seconds) => TimeSpan.FromMicroseconds(Math.Round(seconds * 1e6));

    private static void Ping(Heartbeat heartbeat, double now)
    {
        Assert.That(heartbeat.Advance(At(now), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Ping), $"at {now}");
        heartbeat.PingWritten(At(now));
    }

    /// <summary>Sends a ping that nobody answers.</summary>
    private static void Miss(Heartbeat heartbeat, double now)
    {
        Ping(heartbeat, now);
        Assert.That(heartbeat.Advance(At(now + 0.5), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Overdue), $"at {now + 0.5}");
        heartbeat.Strike();
    }

    private static (TimeSpan? RoundTrip, bool IsLate) Pong(Heartbeat heartbeat, double now, ulong number)
    {
        var payload = new byte[8];
        BinaryPrimitives.WriteUInt64BigEndian(payload, number);
        return (heartbeat.PongReceived(payload, At(now), TimeSpan.Zero, out bool isLate), isLate);
    }

    /// <summary>Runs a heartbeat as the server does, with a peer that answers within 10 ms until it dies.</summary>
    /// <returns>When the heartbeat has found the peer dead.</returns>
    private static double Run(Heartbeat heartbeat, double death, double late)
    {
        while (true)
        {
            TimeSpan now = heartbeat.NextDue + At(heartbeat.Pings % 2 == 0 ? late : 0);
            HeartbeatStep step;
            while ((step = heartbeat.Advance(now, TimeSpan.Zero)) != HeartbeatStep.None)
            {
                if (step == HeartbeatStep.Overdue)
                {
                    heartbeat.Strike();
                    if (heartbeat.IsDead)
                        return now.TotalSeconds;
                    continue;
                }
                heartbeat.PingWritten(now + At(0.0001));
                if (now.TotalSeconds + 0.01 >= death)
                    continue;
                heartbeat.BytesReceived(now + At(0.01));
                Pong(heartbeat, now.TotalSeconds + 0.01, heartbeat.Pings);
            }
            Assert.That(now.TotalSeconds, Is.LessThan(death + 1000), "never found");
        }
    }
}
