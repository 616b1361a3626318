using HeartbeatServer.Protocol;


namespace HeartbeatServer.Tests.Protocol;

/// <summary>The edge cases of <see cref="Heartbeat"/>: stalls of the server itself, timings of zero, and timings of the same length.</summary>
[TestFixture]
public sealed class HeartbeatEdgeTests
{
    private static readonly HeartbeatTimings Usual = Timings(10, 0.5);

    [Test]
    public void A_deadline_inside_a_stall_is_moved_by_as_much()
    {
        Heartbeat heartbeat = Pinged(Usual);

        // The wheel should have called at 3.4 s, and calls at 5.4 s.
        Assert.That(heartbeat.Advance(At(5.4), At(2)), Is.EqualTo(HeartbeatStep.None));
        Assert.That(heartbeat.NextDue, Is.EqualTo(At(5.5)));
        Assert.That(heartbeat.Advance(At(5.499), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.None));
        Assert.That(heartbeat.Advance(At(5.5), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Overdue));
    }

    [Test]
    public void A_deadline_moved_by_a_stall_can_still_be_kept()
    {
        Heartbeat heartbeat = Pinged(Usual);
        heartbeat.Advance(At(5.4), At(2));
        heartbeat.BytesReceived(At(5.45));

        Assert.That(heartbeat.Advance(At(5.5), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.None));
        Assert.That(heartbeat.NextDue, Is.EqualTo(At(13)));
    }

    [Test]
    public void A_pong_before_a_deadline_that_a_stall_moved_is_not_late()
    {
        Heartbeat heartbeat = Pinged(Usual);
        heartbeat.Advance(At(5.4), At(2));

        Assert.That(heartbeat.PongReceived([0, 0, 0, 0, 0, 0, 0, 1], At(5.41), TimeSpan.Zero, out bool isLate), Is.EqualTo(At(2.41)));
        Assert.That((isLate, heartbeat.Late), Is.EqualTo((false, 0)));
    }

    [Test]
    public void A_pong_that_was_guessed_before_its_ping_has_no_negative_round_trip()
    {
        Heartbeat heartbeat = Pinged(Usual);

        Assert.That(heartbeat.PongReceived([0, 0, 0, 0, 0, 0, 0, 1], At(2.9), TimeSpan.Zero, out _), Is.EqualTo(TimeSpan.Zero));
    }

    [Test]
    public void A_second_stall_does_not_put_the_same_verdict_off_again()
    {
        Heartbeat heartbeat = Pinged(Usual);
        heartbeat.Advance(At(5.4), At(2));
        Assert.That(heartbeat.NextDue, Is.EqualTo(At(5.5)));

        Assert.That(heartbeat.Advance(At(7.5), At(2.1)), Is.EqualTo(HeartbeatStep.Overdue));
    }

    [Test]
    public void A_pong_that_waited_for_us_is_not_late_for_that()
    {
        Heartbeat heartbeat = Pinged(Usual);

        // The ping leaves at 3 s, and the answer comes at 3.3 s. The server reads it at 8.3 s, after a stall of 5 s.
        TimeSpan? roundTrip = heartbeat.PongReceived([0, 0, 0, 0, 0, 0, 0, 1], At(8.3), At(5), out bool isLate);

        Assert.That((roundTrip, isLate, heartbeat.Late), Is.EqualTo(((TimeSpan?)At(5.3), false, 0)));
    }

    [Test]
    public void A_deadline_before_a_stall_is_not_moved()
    {
        Heartbeat heartbeat = Pinged(Usual);

        Assert.That(heartbeat.Advance(At(5.4), At(1.9)), Is.EqualTo(HeartbeatStep.Overdue), "it passed at 3.5, as the stall began");
    }

    [Test]
    public void A_deadline_behind_a_stall_is_not_moved()
    {
        Heartbeat heartbeat = Pinged(Usual);

        Assert.That(heartbeat.Advance(At(3.4), At(0.3)), Is.EqualTo(HeartbeatStep.None));
        Assert.That(heartbeat.NextDue, Is.EqualTo(At(3.5)));
        Assert.That(heartbeat.Advance(At(3.5), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Overdue));
    }

    [Test]
    public void A_deadline_is_moved_once_for_one_stall()
    {
        Heartbeat heartbeat = Pinged(Usual);

        for (int i = 0; i < 3; i++)
            Assert.That(heartbeat.Advance(At(5.4), At(2)), Is.EqualTo(HeartbeatStep.None));
        Assert.That(heartbeat.NextDue, Is.EqualTo(At(5.5)));
    }

    [Test]
    public void Beats_that_a_stall_swallowed_are_skipped_and_not_made_up_for()
    {
        var heartbeat = new Heartbeat(Usual, At(0), At(3));

        // The pings of 3, 13, 23, 33 and 43 s fall into the stall.
        Assert.That(heartbeat.Advance(At(47), At(46)), Is.EqualTo(HeartbeatStep.Ping));
        heartbeat.PingWritten(At(47));
        Assert.That(heartbeat.Advance(At(47), At(46)), Is.EqualTo(HeartbeatStep.None));
        heartbeat.BytesReceived(At(47.1));
        Assert.That(heartbeat.Advance(At(52.999), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.None));
        Assert.That(heartbeat.Advance(At(53), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Ping));
    }

    [Test]
    public void A_stall_over_a_deadline_and_a_beat_moves_the_one_and_keeps_the_other()
    {
        Heartbeat heartbeat = Pinged(Usual);

        // A stall from 3.2 to 14 s moves the deadline of 3.5 s to 14.3 s, and makes the ping of 13 s late.
        Assert.That(heartbeat.Advance(At(14), At(10.8)), Is.EqualTo(HeartbeatStep.Ping));
        heartbeat.PingWritten(At(14));
        Assert.That(heartbeat.Advance(At(14), At(10.8)), Is.EqualTo(HeartbeatStep.None));
        Assert.That(heartbeat.Advance(At(14.299), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.None));
        Assert.That(heartbeat.NextDue, Is.LessThanOrEqualTo(At(14.5)));
    }

    [Test]
    public void A_beat_whose_ping_is_held_back_is_judged_like_any_other()
    {
        var heartbeat = new Heartbeat(Usual, At(0), At(3));
        Assert.That(heartbeat.Advance(At(3), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Ping));
        heartbeat.PingHeld(At(3));

        Assert.That((heartbeat.Pings, heartbeat.NextDue), Is.EqualTo((0ul, At(3.5))));
        Assert.That(heartbeat.Advance(At(3.5), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Overdue));
        Assert.That(heartbeat.NextDue, Is.EqualTo(At(13)));
    }

    [Test]
    public void A_late_pong_is_late_although_a_later_beat_was_held_back()
    {
        Heartbeat heartbeat = Pinged(Usual);
        Assert.That(heartbeat.Advance(At(3.5), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Overdue));
        Assert.That(heartbeat.Advance(At(13), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Ping));
        heartbeat.PingHeld(At(13));

        heartbeat.BytesReceived(At(13.2));
        TimeSpan? roundTrip = heartbeat.PongReceived([0, 0, 0, 0, 0, 0, 0, 1], At(13.2), TimeSpan.Zero, out bool isLate);

        Assert.That((roundTrip, isLate, heartbeat.NextDue), Is.EqualTo((At(10.2), true, At(13.5))));
        Assert.That(heartbeat.Advance(At(13.5), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.None), "its bytes are a sign of life");
    }

    [Test]
    public void Without_pings_nothing_is_ever_due()
    {
        var heartbeat = new Heartbeat(Timings(0, 0.5), At(0), Heartbeat.Never);

        Assert.That(heartbeat.NextDue, Is.EqualTo(Heartbeat.Never));
        Assert.That(heartbeat.Advance(At(1e9), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.None));
        Assert.That(heartbeat.Advance(At(1e9), At(1e8)), Is.EqualTo(HeartbeatStep.None));
        heartbeat.BytesReceived(At(1));
        Assert.That(heartbeat.IsDead, Is.False);
    }

    [Test]
    public void Without_a_timeout_nothing_is_judged_and_no_pong_is_late()
    {
        Heartbeat heartbeat = Pinged(Timings(10, 0));

        Assert.That(heartbeat.NextDue, Is.EqualTo(At(13)));
        Assert.That(heartbeat.Advance(At(12.999), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.None));
        Assert.That(heartbeat.PongReceived([0, 0, 0, 0, 0, 0, 0, 1], At(12.9), TimeSpan.Zero, out bool isLate), Is.EqualTo(At(9.9)));
        Assert.That((isLate, heartbeat.Late, heartbeat.Pongs), Is.EqualTo((false, 0, 1)));
        Assert.That(heartbeat.Advance(At(13), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Ping));
    }

    [Test]
    public void With_a_timeout_as_long_as_the_beat_a_ping_is_judged_before_the_next()
    {
        Heartbeat heartbeat = Pinged(Timings(10, 10));

        Assert.That(heartbeat.NextDue, Is.EqualTo(At(13)));
        Assert.That(heartbeat.Advance(At(13), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Overdue));
        Assert.That(heartbeat.Advance(At(13), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Ping));
    }

    [Test]
    public void With_a_timeout_as_long_as_the_beat_a_ping_written_a_little_late_is_judged_all_the_same()
    {
        var heartbeat = new Heartbeat(Timings(10, 10), At(0), At(3));
        heartbeat.Advance(At(3), TimeSpan.Zero);
        heartbeat.PingWritten(At(3.001));

        Assert.That(heartbeat.Advance(At(13), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Ping), "on the beat");
        heartbeat.PingWritten(At(13));
        Assert.That(heartbeat.NextDue, Is.EqualTo(At(13.001)));
        Assert.That(heartbeat.Advance(At(13.001), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Overdue), "the first");
        Assert.That(heartbeat.Advance(At(13.001), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.None));
        Assert.That(heartbeat.Advance(At(23), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Overdue), "the second");
        Assert.That(heartbeat.Advance(At(23), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Ping));
    }

    [Test]
    public void Life_between_two_pings_answers_the_first_and_not_the_second()
    {
        var heartbeat = new Heartbeat(Timings(10, 10), At(0), At(3));
        heartbeat.Advance(At(3), TimeSpan.Zero);
        heartbeat.PingWritten(At(3.001));
        heartbeat.BytesReceived(At(12));
        heartbeat.Advance(At(13), TimeSpan.Zero);
        heartbeat.PingWritten(At(13));

        Assert.That(heartbeat.Advance(At(13.001), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.None));
        Assert.That(heartbeat.Advance(At(23), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Overdue));
    }

    [Test]
    public void Life_after_two_pings_and_before_both_deadlines_answers_both()
    {
        var heartbeat = new Heartbeat(Timings(10, 10), At(0), At(3));
        heartbeat.Advance(At(3), TimeSpan.Zero);
        heartbeat.PingWritten(At(5));
        heartbeat.Advance(At(13), TimeSpan.Zero);
        heartbeat.PingWritten(At(13));
        heartbeat.BytesReceived(At(14));

        Assert.That(heartbeat.Advance(At(15), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.None));
        Assert.That(heartbeat.Advance(At(23), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Ping));
    }

    [Test]
    public void The_pong_of_the_second_of_two_pings_leaves_nothing_to_judge()
    {
        var heartbeat = new Heartbeat(Timings(10, 10), At(0), At(3));
        heartbeat.Advance(At(3), TimeSpan.Zero);
        heartbeat.PingWritten(At(5));
        heartbeat.Advance(At(13), TimeSpan.Zero);
        heartbeat.PingWritten(At(13));
        heartbeat.BytesReceived(At(14));
        heartbeat.PongReceived([0, 0, 0, 0, 0, 0, 0, 2], At(14), TimeSpan.Zero, out bool isLate);

        Assert.That(isLate, Is.False);
        Assert.That(heartbeat.NextDue, Is.EqualTo(At(23)));

        // The next ping is judged once, and no older ping is judged after it.
        Assert.That(heartbeat.Advance(At(23), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Ping));
        heartbeat.PingWritten(At(23));
        Assert.That(heartbeat.Advance(At(33), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Overdue));
        Assert.That(heartbeat.Advance(At(33), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Ping));
    }

    [Test]
    public void A_stall_over_two_deadlines_moves_both()
    {
        var heartbeat = new Heartbeat(Timings(10, 10), At(0), At(3));
        heartbeat.Advance(At(3), TimeSpan.Zero);
        heartbeat.PingWritten(At(12));
        heartbeat.Advance(At(13), TimeSpan.Zero);
        heartbeat.PingWritten(At(13));

        // A stall from 21 to 24 s moves the deadline of 22 s to 25 s, and the one of 23 s to 26 s. The ping of 23 s is late.
        Assert.That(heartbeat.Advance(At(24), At(3)), Is.EqualTo(HeartbeatStep.Ping));
        Assert.That(heartbeat.NextDue, Is.EqualTo(At(25)));
        Assert.That(heartbeat.Advance(At(25), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Overdue));
        Assert.That(heartbeat.NextDue, Is.EqualTo(At(26)));
    }

    private static HeartbeatTimings Timings(double ping, double timeout) => new(At(ping), At(timeout), 3);

    /// <summary>A heartbeat whose first ping was written at 3 s.</summary>
    private static Heartbeat Pinged(HeartbeatTimings timings)
    {
        var heartbeat = new Heartbeat(timings, At(0), timings.Ping == TimeSpan.Zero ? Heartbeat.Never : At(3));
        Assert.That(heartbeat.Advance(At(3), TimeSpan.Zero), Is.EqualTo(HeartbeatStep.Ping));
        heartbeat.PingWritten(At(3));
        return heartbeat;
    }

    private static TimeSpan At(double seconds) => TimeSpan.FromMicroseconds(Math.Round(seconds * 1e6));
}
