using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Connections;

/// <summary>The server does not cut a client that is alive, and finds one that is dead, whatever waits in our kernel.</summary>
public sealed class ConnectionFairnessTests
{
    private static readonly byte[] Reply = ClientFrames.Frame(Opcode.Binary, new byte[100_000]);

    [Test]
    public async Task A_ping_that_waits_in_our_kernel_is_no_strike_as_long_as_the_client_takes_bytes()
    {
        await using var rig = new ConnectionRig(pingMs: 1000, timeoutMs: 500, maxMissed: 3);
        for (uint second = 0; second < 60; second++)
        {
            rig.Pipe.Kernel = new TcpInfo { BytesAcked = 32_000 * second, NotSent = 2_000_000 - (32_000 * second), SendWindow = 32_000 };
            rig.Clock.Advance(1000);
        }

        Assert.That(rig.Pipe.Count(Opcode.Ping), Is.GreaterThan(50), "the beat goes on");
        Assert.That(rig.Connection.Figures().Missed, Is.Zero);
        Assert.That(rig.Running.IsCompleted, Is.False);
    }

    [Test]
    public async Task A_client_that_takes_nothing_of_what_is_before_the_ping_is_a_slow_consumer()
    {
        await using var rig = new ConnectionRig(pingMs: 1000, timeoutMs: 500, maxMissed: 3);
        rig.Pipe.Kernel = new TcpInfo { BytesAcked = 50_000, NotSent = 90_000, SinceAck = TimeSpan.FromSeconds(20) };

        rig.Clock.Advance(1500 + 29_900);
        Assert.That(rig.Running.IsCompleted, Is.False);
        Assert.That(rig.Connection.Figures().Missed, Is.Zero);
        rig.Clock.Advance(200);

        Assert.That((await rig.Running.InTime()).Detail, Does.StartWith("took no byte for 30s"));
    }

    [Test]
    public async Task A_dead_path_is_found_in_time_though_our_ping_waits_behind_a_reply()
    {
        await using var rig = new ConnectionRig(pingMs: 1000, timeoutMs: 500, maxMissed: 3);
        rig.Pipe.HoldWrites();
        rig.Pipe.Send(Reply);
        await rig.Pipe.UntilWritingAsync();

        for (int ms = 0; ms < 3500; ms += 100)
        {
            rig.Pipe.Kernel = new TcpInfo { Unacknowledged = 5, NotSent = 60_000, SinceAck = TimeSpan.FromMilliseconds(ms) };
            rig.Clock.Advance(100);
        }
        Assert.That(rig.Running.IsCompleted, Is.False, "3 pings and a timeout are 3.5 s");
        rig.Pipe.Kernel = new TcpInfo { Unacknowledged = 5, NotSent = 60_000, SinceAck = TimeSpan.FromMilliseconds(3600) };
        rig.Clock.Advance(1000);

        Disconnect end = await rig.Running.InTime();
        Assert.That((end.Cause, end.Verdict), Is.EqualTo((DisconnectCause.PongTimeout, PathVerdict.PathDead)));
        Assert.That(rig.Connection.Figures().Pings, Is.Zero);
    }

    [Test]
    public async Task A_client_behind_a_closed_window_whose_kernel_lives_is_not_dead()
    {
        await using var rig = new ConnectionRig(pingMs: 1000, timeoutMs: 500, maxMissed: 3);
        rig.Pipe.HoldWrites();
        rig.Pipe.Send(Reply);
        rig.Pipe.Kernel = new TcpInfo { NotSent = 60_000, SinceAck = TimeSpan.FromSeconds(45.7) };

        rig.Clock.Advance(29_900);

        Assert.That(rig.Running.IsCompleted, Is.False);
    }

    [Test]
    public async Task A_write_that_takes_long_is_no_slow_consumer_while_bytes_are_acknowledged()
    {
        await using var rig = new ConnectionRig(pingMs: 0);
        rig.Pipe.HoldWrites();
        rig.Pipe.Send(Reply);
        await rig.Pipe.UntilWritingAsync();
        for (uint second = 0; second < 300; second++)
        {
            rig.Pipe.Kernel = new TcpInfo { BytesAcked = second, NotSent = 60_000 };
            rig.Clock.Advance(1000);
        }
        Assert.That(rig.Running.IsCompleted, Is.False);

        rig.Clock.Advance(40_000);

        Assert.That(await rig.CauseAsync(), Is.EqualTo(DisconnectCause.SlowConsumer), "it takes nothing any more");
    }

    [Test]
    public async Task Without_pings_too_a_path_whose_kernel_is_silent_is_no_slow_consumer()
    {
        await using var rig = new ConnectionRig(pingMs: 0);
        rig.Pipe.HoldWrites();
        rig.Pipe.Send(Reply);
        await rig.Pipe.UntilWritingAsync();
        for (int second = 0; second < 30; second++)
        {
            rig.Pipe.Kernel = new TcpInfo { Unacknowledged = 5, NotSent = 60_000, SinceAck = TimeSpan.FromSeconds(second) };
            rig.Clock.Advance(1000);
        }
        rig.Clock.Advance(1000);

        Disconnect end = await rig.Running.InTime();
        Assert.That((end.Cause, end.Verdict), Is.EqualTo((DisconnectCause.PongTimeout, PathVerdict.PathDead)));
    }

    [Test]
    public async Task Our_own_stall_is_no_time_of_a_client_that_is_to_read()
    {
        await using var rig = new ConnectionRig(pingMs: 0);
        rig.Pipe.HoldWrites();
        rig.Pipe.Send(Reply);
        await rig.Pipe.UntilWritingAsync();
        rig.Clock.Advance(20_000);

        rig.Clock.Stall(20_000);
        Assert.That(rig.Running.IsCompleted, Is.False);
        rig.Clock.Advance(9_700); // the wheel may have slept for the first 256 ms of the stall
        Assert.That(rig.Running.IsCompleted, Is.False);
        rig.Clock.Advance(400);

        Assert.That(await rig.CauseAsync(), Is.EqualTo(DisconnectCause.SlowConsumer));
    }

    [Test]
    public async Task A_FIN_that_is_due_after_the_Close_frame_of_a_drain_leaves_at_once()
    {
        await using var rig = new ConnectionRig(pingMs: 0);
        rig.Connection.Close(new Disconnect(DisconnectCause.ServerShutdown, "drain"), CloseCode.GoingAway, "server shutdown");
        Assert.That(rig.Pipe.IsHalfClosed, Is.False);

        rig.Pipe.Send([0xFF, 0xFF]);

        Assert.That(rig.Pipe.IsHalfClosed, Is.True);
    }

    [Test]
    public async Task Our_own_stall_is_no_time_of_a_client_that_is_to_close()
    {
        await using var rig = new ConnectionRig(pingMs: 0);
        rig.Pipe.Send([0xFF, 0xFF]);
        Assert.That(rig.Pipe.IsHalfClosed, Is.True);

        rig.Clock.Advance(1000);
        rig.Clock.Stall(4000);
        Assert.That(rig.Running.IsCompleted, Is.False);
        rig.Clock.Advance(2100);

        Assert.That(await rig.CauseAsync(), Is.EqualTo(DisconnectCause.ProtocolError));
    }
}
