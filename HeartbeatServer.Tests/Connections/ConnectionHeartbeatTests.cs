using System.Text;
using HeartbeatServer.Connections;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Connections;

/// <summary>The heartbeat of a whole connection, with a clock that the test moves.</summary>
public sealed class ConnectionHeartbeatTests
{
    [Test]
    public async Task Pings_go_out_on_a_fixed_beat_and_count_from_1()
    {
        await using var rig = new ConnectionRig(pingMs: 2000, phase: 0.5);

        rig.Clock.Advance(992);
        Assert.That(rig.Pipe.Writes, Is.Empty);
        rig.Clock.Advance(8);
        for (int number = 1; number <= 5; number++)
        {
            Assert.That(rig.Pipe.Writes, Has.Count.EqualTo(number));
            Assert.That(rig.Pipe.Writes[^1], Is.EqualTo(new byte[] { 0x89, 8, 0, 0, 0, 0, 0, 0, 0, (byte)number }));
            rig.Pong();
            rig.Clock.Advance(1992);
            Assert.That(rig.Pipe.Writes, Has.Count.EqualTo(number), "not before its time");
            rig.Clock.Advance(8);
        }
    }

    [TestCase(0.0, 8)]
    [TestCase(0.25, 504)]
    [TestCase(1.0, 2000)]
    public async Task The_phase_is_the_part_of_a_beat_before_the_first_ping(double phase, int milliseconds)
    {
        await using var rig = new ConnectionRig(pingMs: 2000, phase: phase);

        rig.Clock.Advance(milliseconds - 8);
        Assert.That(rig.Pipe.Writes, Is.Empty);
        rig.Clock.Advance(8);
        Assert.That(rig.Pipe.Writes, Has.Count.EqualTo(1));
    }

    [Test]
    public async Task Traffic_does_not_move_the_beat()
    {
        await using var rig = new ConnectionRig(pingMs: 2000);

        for (int i = 0; i < 1999; i++)
        {
            rig.Clock.Advance(1);
            rig.Pipe.Send(ClientFrames.Text("a"));
            await rig.Pipe.UntilIdleAsync();
        }
        Assert.That(rig.Pipe.Count(Opcode.Ping), Is.Zero);
        rig.Clock.Advance(1);
        Assert.That(rig.Pipe.Count(Opcode.Ping), Is.EqualTo(1));
    }

    [Test]
    public async Task Half_a_record_is_a_sign_of_life_and_its_end_is_awaited_no_longer()
    {
        await using var rig = new ConnectionRig(pingMs: 2000, maxMissed: 1);
        for (int beat = 0; beat < 5; beat++)
        {
            rig.Clock.Advance(2000);
            rig.Pipe.Records += 100;
        }
        Assert.That(rig.Metrics.Strikes, Is.Zero);

        rig.Clock.Advance(2000 + 512);

        Assert.That(rig.Metrics.Strikes, Is.EqualTo(1));
    }

    [Test]
    public async Task A_pong_gives_the_round_trip_from_the_write_of_its_ping()
    {
        await using var rig = new ConnectionRig(pingMs: 2000);
        foreach (int milliseconds in new[] { 40, 160, 100 })
        {
            rig.Clock.Advance(rig.Pipe.Writes.Count == 0 ? 2000 : 1000);
            rig.Clock.Advance(milliseconds);
            rig.Pong();
            rig.Clock.Advance(1000 - milliseconds);
        }

        ConnectionFigures figures = rig.Connection.Figures();
        Assert.That(figures.RoundTrips.Last, Is.EqualTo(TimeSpan.FromMilliseconds(100)));
        Assert.That(figures.RoundTrips.Mean, Is.EqualTo(TimeSpan.FromMilliseconds(100)));
        Assert.That((figures.Pings, figures.Pongs, figures.Missed, figures.Late), Is.EqualTo((3UL, 3, 0, 0)));
        Assert.That(rig.Log.Containing("Debug #7 pong, round trip"), Is.EqualTo(new[]
        {
            "Debug #7 pong, round trip 40.00ms", "Debug #7 pong, round trip 160.00ms", "Debug #7 pong, round trip 100.00ms",
        }));
    }

    [Test]
    public async Task An_unsolicited_pong_is_legal_and_gives_no_round_trip()
    {
        await using var rig = new ConnectionRig(pingMs: 2000);
        rig.Clock.Advance(2000);
        ServerFrame ping = rig.Pipe.Frames[0];

        rig.Pipe.Send(ClientFrames.Frame(Opcode.Pong, []));
        rig.Pipe.Send(ClientFrames.Frame(Opcode.Pong, [0, 0, 0, 0, 0, 0, 0, 2]));
        await rig.Pipe.UntilIdleAsync();
        Assert.That(rig.Connection.Figures().Pongs, Is.Zero);

        rig.Pipe.Send(ClientFrames.Pong(ping.Payload), ClientFrames.Pong(ping.Payload));
        await rig.Pipe.UntilIdleAsync();
        Assert.That(rig.Connection.Figures().Pongs, Is.EqualTo(1), "the second of two equal pongs is unsolicited");
        Assert.That(rig.Log.Containing("unsolicited pong"), Has.Count.EqualTo(3));
        Assert.That(rig.Running.IsCompleted, Is.False);
    }

    [Test]
    public async Task A_mute_client_is_cut_after_max_missed_strikes()
    {
        await using var rig = new ConnectionRig(pingMs: 2000, timeoutMs: 500, maxMissed: 3);

        rig.Clock.Advance(2000 + 496);
        Assert.That(rig.Connection.Figures().Strikes, Is.Zero);
        rig.Clock.Advance(8);
        Assert.That(rig.Connection.Figures().Strikes, Is.EqualTo(1));
        rig.Clock.Advance(2000);
        Assert.That(rig.Connection.Figures().Strikes, Is.EqualTo(2));
        Assert.That(rig.Running.IsCompleted, Is.False);
        rig.Clock.Advance(1992);
        Assert.That(rig.Pipe.Count(Opcode.Close), Is.Zero, "not before the third deadline");
        rig.Clock.Advance(8);
        Assert.That(rig.Pipe.Count(Opcode.Close), Is.EqualTo(1));
        TimeSpan age = rig.Connection.Figures().Age;
        rig.Clock.Advance(3000);

        Disconnect end = await rig.Running.InTime();
        Assert.That(rig.Connection.Figures().Age, Is.EqualTo(age), "it ended when that was decided");
        Assert.That(end.Cause, Is.EqualTo(DisconnectCause.PongTimeout));
        Assert.That(end.Detail, Does.Contain("3 ping(s)").And.Contain("500ms"));
        Assert.That(rig.Pipe.Frames.Select(frame => frame.Opcode), Is.EqualTo(new[] { Opcode.Ping, Opcode.Ping, Opcode.Ping, Opcode.Close }));
        Assert.That(rig.Pipe.Frames[^1].Close, Is.EqualTo("1011 pong timeout"));
        Assert.That(rig.Metrics.Strikes, Is.EqualTo(3));
        IReadOnlyList<string> warnings = rig.Log.Containing("is suspect");
        Assert.That(warnings, Has.Count.EqualTo(3));
        Assert.That(warnings[1], Does.StartWith("Warning #7 192.0.2.1:50123 is suspect").And.Contain("500ms").And.Contain("strike 2 of 3"));
    }

    /// <summary>When a reset comes, a proxy on the way throws away the bytes that it still has for the client.</summary>
    [Test]
    public async Task Behind_Close_1011_comes_FIN_and_what_the_client_still_says_is_thrown_away()
    {
        await using var rig = new ConnectionRig(pingMs: 2000, timeoutMs: 500, maxMissed: 1);
        rig.Clock.Advance(2504);
        Assert.That(rig.Pipe.Frames[^1].Close, Is.EqualTo("1011 pong timeout"));
        Assert.That(rig.Pipe.IsHalfClosed, Is.True);
        Assert.That(rig.Running.IsCompleted, Is.False, "no reset yet");

        rig.Pipe.Send(ClientFrames.Text("too late"));
        rig.Pipe.Send([0xFF, 0xFF, 0xFF]);
        rig.Pipe.SendFin();

        Disconnect end = await rig.Running.InTime();
        Assert.That(end.Cause, Is.EqualTo(DisconnectCause.PongTimeout));
        Assert.That(rig.Pipe.Frames.Select(frame => frame.Opcode), Is.EqualTo(new[] { Opcode.Ping, Opcode.Close }));
        Assert.That(rig.Connection.Figures().MessagesIn, Is.Zero);
    }

    [Test]
    public async Task With_max_missed_1_the_first_missed_pong_cuts()
    {
        await using var rig = new ConnectionRig(pingMs: 2000, timeoutMs: 500, maxMissed: 1);

        rig.Clock.Advance(2496);
        Assert.That(rig.Pipe.Count(Opcode.Close), Is.Zero);
        rig.Clock.Advance(8);
        Assert.That(rig.Pipe.Count(Opcode.Close), Is.EqualTo(1));
        rig.Pipe.SendFin();

        Assert.That(await rig.CauseAsync(), Is.EqualTo(DisconnectCause.PongTimeout));
        Assert.That(rig.Pipe.Count(Opcode.Ping), Is.EqualTo(1));
    }

    [Test]
    public async Task With_a_timeout_as_long_as_the_beat_every_ping_is_judged()
    {
        await using var rig = new ConnectionRig(pingMs: 1000, timeoutMs: 1000, maxMissed: 3);

        rig.Clock.Advance(3992);
        Assert.That(rig.Pipe.Count(Opcode.Close), Is.Zero);
        rig.Clock.Advance(16);
        Assert.That(rig.Pipe.Count(Opcode.Close), Is.EqualTo(1));
        rig.Pipe.SendFin();

        Assert.That(await rig.CauseAsync(), Is.EqualTo(DisconnectCause.PongTimeout));
        Assert.That(rig.Connection.Figures().Missed, Is.EqualTo(3));
    }

    [Test]
    public async Task A_late_client_is_kept_for_ever_and_its_late_pongs_are_counted()
    {
        await using var rig = new ConnectionRig(pingMs: 2000, timeoutMs: 500, maxMissed: 3);
        rig.Clock.Advance(2000);

        const int beats = 20;
        for (int i = 0; i < beats; i++)
        {
            rig.Clock.Advance(700);
            Assert.That(rig.Connection.Figures().Strikes, Is.EqualTo(1));
            rig.Pong();
            Assert.That(rig.Connection.Figures().Strikes, Is.Zero);
            rig.Clock.Advance(1300);
        }

        ConnectionFigures figures = rig.Connection.Figures();
        Assert.That((figures.Pongs, figures.Missed, figures.Late), Is.EqualTo((beats, beats, beats)));
        Assert.That(figures.RoundTrips.Mean, Is.EqualTo(TimeSpan.FromMilliseconds(700)), "the true round trip");
        Assert.That(rig.Metrics.LatePongs, Is.EqualTo(beats));
        Assert.That(rig.Running.IsCompleted, Is.False);
    }

    [Test]
    public async Task A_client_that_stays_late_is_told_once_and_again_when_it_recovers()
    {
        await using var rig = new ConnectionRig(pingMs: 2000, timeoutMs: 500, maxMissed: 3);
        rig.Clock.Advance(2000);

        for (int i = 0; i < 20; i++)
            PongAfter(700);
        for (int i = 0; i < 20; i++)
            PongAfter(96);

        Assert.That(rig.Log.Lines.Where(line => !line.StartsWith("Debug", StringComparison.Ordinal)), Is.EqualTo(new[]
        {
            "Warning #7 192.0.2.1:50123 is suspect: no sign of life 500ms after a ping, strike 1 of 3, last byte 2.5s ago",
            "Information #7 192.0.2.1:50123 late pong, round trip 700.00ms, 1 strike(s) cleared",
            "Information #7 192.0.2.1:50123 has answered 10 pings in time again, round trip 96.00ms",
        }));

        void PongAfter(int milliseconds)
        {
            rig.Clock.Advance(milliseconds);
            rig.Pong();
            rig.Clock.Advance(2000 - milliseconds);
        }
    }

    [TestCase(1, true)]
    [TestCase(3, true)]
    [TestCase(4, false)]
    public async Task Of_the_first_three_connections_the_first_round_trip_is_told(long id, bool isTold)
    {
        await using var rig = new ConnectionRig(pingMs: 2000, id: id);

        for (int i = 0; i < 2; i++)
        {
            rig.Clock.Advance(2000);
            rig.Pong();
        }

        Assert.That(rig.Log.Containing("Information").Count(line => line.Contains("first pong", StringComparison.Ordinal)), Is.EqualTo(isTold ? 1 : 0));
    }

    [Test]
    public async Task Data_instead_of_a_pong_is_a_sign_of_life()
    {
        await using var rig = new ConnectionRig(pingMs: 2000, timeoutMs: 500, maxMissed: 1);

        rig.Clock.Advance(2000);
        for (int i = 0; i < 10; i++)
        {
            rig.Clock.Advance(400);
            rig.Pipe.Send(ClientFrames.Text("busy"));
            rig.Clock.Advance(1600);
        }

        Assert.That(rig.Connection.Figures().Missed, Is.Zero);

        Assert.That(rig.Running.IsCompleted, Is.False);
    }

    [Test]
    public async Task Data_after_the_deadline_clears_the_strikes_and_is_told()
    {
        await using var rig = new ConnectionRig(pingMs: 2000, timeoutMs: 500, maxMissed: 3);
        rig.Clock.Advance(4000 + 600);
        Assert.That(rig.Connection.Figures().Strikes, Is.EqualTo(2));

        rig.Pipe.Send(ClientFrames.Text("back again"));

        Assert.That(rig.Connection.Figures().Strikes, Is.Zero);
        Assert.That(rig.Log.Containing("is alive again, 2 strike(s) cleared"), Has.Count.EqualTo(1));
        rig.Clock.Advance(2000);
        Assert.That((rig.Connection.Figures().Strikes, rig.Connection.Figures().Missed), Is.EqualTo((1, 3)), "counted from 1 again");
    }

    [Test]
    public async Task One_byte_of_a_long_upload_is_a_sign_of_life()
    {
        await using var rig = new ConnectionRig(pingMs: 2000, timeoutMs: 500, maxMissed: 1);
        rig.Pipe.Send(ClientFrames.Header(0x80 | (int)Opcode.Binary, 100_000));

        for (int i = 0; i < 50; i++)
        {
            rig.Clock.Advance(400);
            rig.Pipe.Send([(byte)i]);
        }

        Assert.That(rig.Connection.Figures().Missed, Is.Zero);
        Assert.That(rig.Pipe.Count(Opcode.Ping), Is.EqualTo(10));
        Assert.That(rig.Running.IsCompleted, Is.False);
    }

    [Test]
    public async Task With_ping_0_there_is_no_ping_and_no_judgement()
    {
        await using var rig = new ConnectionRig(pingMs: 0);

        rig.Clock.Advance(120_000);

        Assert.That(rig.Pipe.Writes, Is.Empty);
        Assert.That(rig.Clock.Wheel.Count, Is.Zero, "nothing to be called for");
        Assert.That(rig.Running.IsCompleted, Is.False);
    }

    [Test]
    public async Task With_timeout_0_pings_go_out_and_nobody_judges()
    {
        await using var rig = new ConnectionRig(pingMs: 2000, timeoutMs: 0);

        rig.Clock.Advance(60_000);
        rig.Pong();

        Assert.That(rig.Pipe.Count(Opcode.Ping), Is.EqualTo(30));
        ConnectionFigures figures = rig.Connection.Figures();
        Assert.That((figures.Pongs, figures.Missed, figures.Late), Is.EqualTo((1, 0, 0)));
        Assert.That(rig.Running.IsCompleted, Is.False);
    }

    [Test]
    public async Task A_pong_that_comes_with_the_end_of_our_own_stall_is_no_strike()
    {
        await using var rig = new ConnectionRig(pingMs: 2000, timeoutMs: 500, maxMissed: 1);
        rig.Clock.Advance(2000);

        // The deadline falls into the stall. The pong has come when the server wakes up, but the wheel judges before the server reads.
        rig.Clock.Stall(800);
        Assert.That(rig.Connection.Figures().Missed, Is.Zero);
        rig.Pong();
        rig.Clock.Advance(1000);

        Assert.That(rig.Connection.Figures().Missed, Is.Zero);
        Assert.That(rig.Clock.Wheel.MaxLateness, Is.GreaterThan(TimeSpan.FromMilliseconds(500)));
        Assert.That(rig.Running.IsCompleted, Is.False);
    }

    [Test]
    public async Task After_our_own_stall_a_mute_client_still_strikes()
    {
        await using var rig = new ConnectionRig(pingMs: 2000, timeoutMs: 500, maxMissed: 1);
        rig.Clock.Advance(2000);

        rig.Clock.Stall(800);
        rig.Clock.Advance(1200);
        rig.Pipe.SendFin();

        Assert.That(await rig.CauseAsync(), Is.EqualTo(DisconnectCause.PongTimeout));
    }

    [Test]
    public async Task Each_ping_is_a_debug_line()
    {
        await using var rig = new ConnectionRig(pingMs: 1000);

        rig.Clock.Advance(1000);
        rig.Pong();
        rig.Clock.Advance(1000);

        Assert.That(rig.Log.Containing(" ping "), Is.EqualTo(new[] { "Debug #7 ping 1", "Debug #7 ping 2" }));
    }

    [Test]
    public async Task Pings_of_the_client_are_answered_with_their_payload()
    {
        await using var rig = new ConnectionRig(pingMs: 2000);
        byte[] longest = Encoding.ASCII.GetBytes(new string('x', 125));

        rig.Pipe.Send(ClientFrames.Frame(Opcode.Ping, longest), ClientFrames.Frame(Opcode.Ping, []));

        Assert.That(rig.Pipe.Frames.Select(frame => frame.Opcode), Is.EqualTo(new[] { Opcode.Pong, Opcode.Pong }));
        Assert.That(rig.Pipe.Frames.Select(frame => frame.Payload), Is.EqualTo(new[] { longest, [] }));
    }

    [Test]
    public async Task An_idle_connection_waits_without_a_buffer_and_has_one_entry_of_the_wheel()
    {
        await using var rig = new ConnectionRig(pingMs: 2000);
        rig.Clock.Advance(2000);
        rig.Pong();
        rig.Pipe.Send(ClientFrames.Frame(Opcode.Binary, new byte[100_000]));
        await rig.Pipe.UntilIdleAsync();

        rig.Clock.Advance(2000);
        rig.Pong();
        await rig.Pipe.UntilIdleAsync();

        Assert.That(rig.Pipe.IsReading, Is.True);
        Assert.That(rig.Pipe.RoomOfRead, Is.Zero);
        Assert.That(rig.Connection.HeldBuffers().Bytes, Is.Zero);
        Assert.That(rig.Pipe.IsWriting, Is.False);
        Assert.That(rig.Clock.Wheel.Count, Is.EqualTo(1));
    }
}
