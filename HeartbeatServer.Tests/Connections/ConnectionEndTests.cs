using HeartbeatServer.Connections;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Connections;

/// <summary>Every end has exactly one cause, and the server tells the client in the right way.</summary>
public sealed class ConnectionEndTests
{
    private static readonly Disconnect Shutdown = new(DisconnectCause.ServerShutdown, "test");

    [TestCase(1000, "")]
    [TestCase(1001, "going to lunch")]
    [TestCase(3000, "library")]
    [TestCase(4999, "application")]
    public async Task The_clients_Close_gets_its_code_back(int code, string reason)
    {
        await using var rig = new ConnectionRig();

        rig.Pipe.Send(ClientFrames.Close((ushort)code, reason));

        Disconnect end = await rig.Running.InTime();
        Assert.That(end.Cause, Is.EqualTo(DisconnectCause.ClientClosed));
        Assert.That(end.Detail, Is.EqualTo(reason.Length == 0 ? $"Close {code}" : $"Close {code} \"{reason}\""));
        Assert.That(rig.Pipe.Frames.Select(frame => $"{frame.Opcode} {frame.Close}"), Is.EqualTo(new[] { $"Close {code}" }));
    }

    [Test]
    public async Task A_Close_without_a_body_gets_one_without_a_body()
    {
        await using var rig = new ConnectionRig();

        rig.Pipe.Send(ClientFrames.Frame(Opcode.Close, []));

        Assert.That((await rig.Running.InTime()).Detail, Is.EqualTo("Close without a code"));
        Assert.That(rig.Pipe.Writes, Is.EqualTo(new[] { new byte[] { 0x88, 0 } }));
    }

    [Test]
    public async Task What_came_before_the_Close_is_answered_first_and_what_came_behind_it_never()
    {
        await using var rig = new ConnectionRig();

        rig.Pipe.Send(ClientFrames.Text("before"), ClientFrames.Close(1000), ClientFrames.Text("behind"));

        Assert.That(await rig.CauseAsync(), Is.EqualTo(DisconnectCause.ClientClosed));
        Assert.That(rig.Pipe.Frames.Select(frame => frame.Opcode), Is.EqualTo(new[] { Opcode.Text, Opcode.Close }));
    }

    [Test]
    public async Task FIN_without_a_Close_is_a_client_that_vanished()
    {
        await using var rig = new ConnectionRig();

        rig.Pipe.SendFin();

        Assert.That(await rig.CauseAsync(), Is.EqualTo(DisconnectCause.ClientVanished));
        Assert.That(rig.Pipe.Writes, Is.Empty);
    }

    [Test]
    public async Task FIN_in_the_middle_of_a_frame_is_a_client_that_vanished()
    {
        await using var rig = new ConnectionRig();

        rig.Pipe.Send(ClientFrames.Header(0x80 | (int)Opcode.Binary, 1000), new byte[500]);
        rig.Pipe.SendFin();

        Assert.That(await rig.CauseAsync(), Is.EqualTo(DisconnectCause.ClientVanished));
    }

    [Test]
    public async Task A_read_that_fails_is_a_reset()
    {
        await using var rig = new ConnectionRig();

        rig.Pipe.FailRead(new IOException("the cable is out"));

        Disconnect end = await rig.Running.InTime();
        Assert.That((end.Cause, end.Detail), Is.EqualTo((DisconnectCause.ConnectionReset, "the cable is out")));
    }

    [Test]
    public async Task A_ping_that_cannot_be_written_ends_the_connection_with_its_cause()
    {
        await using var rig = new ConnectionRig(pingMs: 2000);
        rig.Pipe.WriteError = new IOException("broken pipe");

        rig.Clock.Advance(2000);
        rig.Pipe.SendFin();

        Disconnect end = await rig.Running.InTime();
        Assert.That((end.Cause, end.Detail), Is.EqualTo((DisconnectCause.ConnectionReset, "write failed: broken pipe")));
    }

    [Test]
    public async Task A_reply_that_cannot_be_written_ends_the_connection_with_its_cause()
    {
        await using var rig = new ConnectionRig();
        rig.Pipe.WriteError = new IOException("broken pipe");

        rig.Pipe.Send(ClientFrames.Text("a"));
        rig.Pipe.SendFin();

        Assert.That(await rig.CauseAsync(), Is.EqualTo(DisconnectCause.ConnectionReset));
    }

    [Test]
    public async Task What_the_client_sent_before_a_write_failed_is_read_and_explains_the_end([Values] bool aPing)
    {
        await using var rig = new ConnectionRig(pingMs: 2000);
        rig.Pipe.WriteError = new IOException("broken pipe");

        if (aPing)
            rig.Clock.Advance(2000);
        else
            rig.Pipe.Send(ClientFrames.Text("a"));
        rig.Pipe.Send(ClientFrames.Close(4001, "enough"));

        Disconnect end = await rig.Running.InTime();
        Assert.That((end.Cause, end.Detail), Is.EqualTo((DisconnectCause.ClientClosed, "Close 4001 \"enough\"")));
    }

    [Test]
    public async Task After_a_write_that_failed_a_client_that_does_not_end_has_3_seconds()
    {
        await using var rig = new ConnectionRig(pingMs: 0);
        rig.Pipe.WriteError = new IOException("no buffers");
        rig.Pipe.Send(ClientFrames.Text("a"));

        rig.Clock.Advance(2992);
        rig.Pipe.Send(ClientFrames.Text("b"));
        Assert.That(rig.Running.IsCompleted, Is.False);
        rig.Clock.Advance(16);

        Disconnect end = await rig.Running.InTime();
        Assert.That((end.Cause, end.Detail), Is.EqualTo((DisconnectCause.ConnectionReset, "write failed: no buffers")));
    }

    [Test]
    public async Task A_bug_while_reading_is_an_internal_error_with_Close_1011()
    {
        await using var rig = new ConnectionRig();
        var bug = new InvalidOperationException("a bug");

        rig.Pipe.FailRead(bug);

        Disconnect end = await rig.Running.InTime();
        Assert.That((end.Cause, end.Error), Is.EqualTo((DisconnectCause.InternalError, bug)));
        Assert.That(rig.Pipe.Frames.Single().Close, Is.EqualTo("1011 internal error"));
    }

    [Test]
    public async Task A_bug_while_replying_is_an_internal_error([Values] bool atOnce)
    {
        await using var rig = new ConnectionRig();
        var bug = new InvalidOperationException("a bug");
        (rig.Pipe.WriteError, rig.Pipe.ThrowsAtOnce) = (bug, atOnce);

        rig.Pipe.Send(ClientFrames.Text("a"));

        Disconnect end = await rig.Running.InTime();
        Assert.That((end.Cause, end.Error), Is.EqualTo((DisconnectCause.InternalError, bug)));
    }

    [Test]
    public async Task A_bug_while_pinging_is_an_internal_error_and_the_wheel_goes_on([Values] bool atOnce)
    {
        await using var rig = new ConnectionRig(pingMs: 2000);
        var bug = new InvalidOperationException("a bug");
        (rig.Pipe.WriteError, rig.Pipe.ThrowsAtOnce) = (bug, atOnce);

        Assert.That(() => rig.Clock.Advance(2000), Throws.Nothing);

        Disconnect end = await rig.Running.InTime();
        Assert.That((end.Cause, end.Error), Is.EqualTo((DisconnectCause.InternalError, bug)));
    }

    [TestCase(new byte[] { 0x81, 0x01, 0x61 }, 1002, "protocol_error", "not masked")]
    [TestCase(new byte[] { 0xC1, 0x80, 0, 0, 0, 0 }, 1002, "protocol_error", "reserved bit")]
    [TestCase(new byte[] { 0x81, 0x81, 0, 0, 0, 0, 0xFF }, 1007, "invalid_payload", "UTF-8")]
    [TestCase(new byte[] { 0x82, 0xFF, 0, 0, 0, 0, 0, 0x10, 0, 1, 0, 0, 0, 0 }, 1009, "message_too_big", "longer than 1048576")]
    public async Task A_broken_rule_gets_its_Close_and_3_seconds_of_patience(byte[] bytes, int code, string cause, string rule)
    {
        await using var rig = new ConnectionRig(pingMs: 1000, timeoutMs: 500, maxMissed: 1);

        rig.Pipe.Send(ClientFrames.Text("before"), bytes);
        await rig.Pipe.UntilIdleAsync();
        Assert.That(rig.Pipe.Frames.Select(frame => frame.Opcode), Is.EqualTo(new[] { Opcode.Text, Opcode.Close }), "replies that are due, then Close");
        Assert.That(rig.Pipe.Frames[1].Close, Does.StartWith($"{code} ").And.Contain(rule));

        // The server discards what the client still sends: there is no echo, no pong and no second Close. It sends no pings, either.
        rig.Pipe.Send(ClientFrames.Text("behind"), ClientFrames.Frame(Opcode.Ping, []), ClientFrames.Close(1000), new byte[100_000]);
        rig.Clock.Advance(2992);
        Assert.That(rig.Running.IsCompleted, Is.False);
        Assert.That(rig.Pipe.Frames, Has.Count.EqualTo(2));
        rig.Clock.Advance(8);

        Disconnect end = await rig.Running.InTime();
        Assert.That(end.Cause.Name(), Is.EqualTo(cause));
        Assert.That(end.Detail, Does.Contain($"{code}").And.Contain(rule).And.Contain("RFC 6455 section"));
    }

    [Test]
    public async Task After_a_broken_rule_the_clients_FIN_ends_it_at_once()
    {
        await using var rig = new ConnectionRig();

        rig.Pipe.Send([0x81, 0x01, 0x61]);
        rig.Pipe.SendFin();

        Assert.That(await rig.CauseAsync(), Is.EqualTo(DisconnectCause.ProtocolError));
    }

    [Test]
    public async Task When_we_close_first_the_clients_Close_is_the_answer()
    {
        await using var rig = new ConnectionRig();

        rig.Connection.Close(Shutdown, CloseCode.GoingAway, "goodbye");
        Assert.That(rig.Pipe.Frames.Single().Close, Is.EqualTo("1001 goodbye"));
        Assert.That(rig.Running.IsCompleted, Is.False, "it waits for the answer");
        rig.Pipe.Send(ClientFrames.Close(1001));

        Assert.That(await rig.Running.InTime(), Is.SameAs(Shutdown));
        Assert.That(rig.Pipe.Frames, Has.Count.EqualTo(1), "one Close each");
    }

    [Test]
    public async Task After_our_Close_nothing_more_is_written()
    {
        await using var rig = new ConnectionRig(pingMs: 1000, timeoutMs: 500, maxMissed: 1);
        rig.Connection.Close(Shutdown, CloseCode.GoingAway, "goodbye");

        rig.Pipe.Send(ClientFrames.Text("too late"), ClientFrames.Frame(Opcode.Ping, []));
        rig.Connection.Close(Shutdown, CloseCode.GoingAway, "again");
        rig.Clock.Advance(60_000);

        Assert.That(rig.Pipe.Frames, Has.Count.EqualTo(1));
        Assert.That(rig.Running.IsCompleted, Is.False, "how long to wait is the caller's business");
    }

    [Test]
    public async Task Our_Close_leaves_behind_the_frame_in_progress_and_before_a_ping_that_is_owed()
    {
        await using var rig = new ConnectionRig(pingMs: 1000);
        rig.Pipe.HoldWrites();
        rig.Pipe.Send(ClientFrames.Frame(Opcode.Binary, new byte[200_000]));
        await rig.Pipe.UntilWritingAsync();
        rig.Clock.Advance(1000);

        rig.Connection.Close(Shutdown, CloseCode.GoingAway, "goodbye");
        rig.Pipe.ReleaseWrites();
        await rig.Pipe.UntilFramesAsync(2);
        await rig.Pipe.UntilIdleAsync();

        Assert.That(rig.Pipe.Frames.Select(frame => frame.Opcode), Is.EqualTo(new[] { Opcode.Binary, Opcode.Close }));
    }

    [Test]
    public async Task Our_answer_to_a_Close_waits_for_the_ping_in_progress()
    {
        await using var rig = new ConnectionRig(pingMs: 1000);
        rig.Pipe.HoldWrites();
        rig.Clock.Advance(1000);
        await rig.Pipe.UntilWritingAsync();

        rig.Pipe.Send(ClientFrames.Close(1000));
        rig.Pipe.ReleaseWrites();

        Assert.That(await rig.CauseAsync(), Is.EqualTo(DisconnectCause.ClientClosed));
        Assert.That(rig.Pipe.Frames.Select(frame => frame.Opcode), Is.EqualTo(new[] { Opcode.Ping, Opcode.Close }));
    }

    [Test]
    public async Task Our_Close_for_a_broken_rule_waits_for_the_ping_in_progress()
    {
        await using var rig = new ConnectionRig(pingMs: 1000);
        rig.Pipe.HoldWrites();
        rig.Clock.Advance(1000);
        await rig.Pipe.UntilWritingAsync();

        rig.Pipe.Send([0x81, 0x01, 0x61]);
        rig.Pipe.ReleaseWrites();
        await rig.Pipe.UntilFramesAsync(2);
        rig.Pipe.SendFin();

        Assert.That(await rig.CauseAsync(), Is.EqualTo(DisconnectCause.ProtocolError));
        Assert.That(rig.Pipe.Frames.Select(frame => frame.Opcode), Is.EqualTo(new[] { Opcode.Ping, Opcode.Close }));
    }

    [Test]
    public async Task A_client_that_takes_no_Close_is_cut_all_the_same()
    {
        await using var rig = new ConnectionRig(pingMs: 0);
        rig.Pipe.HoldWrites();

        rig.Pipe.Send([0x81, 0x01, 0x61]);
        await rig.Pipe.UntilWritingAsync();
        rig.Clock.Advance(10_000);

        Assert.That(await rig.CauseAsync(), Is.EqualTo(DisconnectCause.ProtocolError), "the first cause");
    }

    [Test]
    public async Task Cut_ends_it_at_once_without_a_Close()
    {
        await using var rig = new ConnectionRig();

        rig.Connection.Cut(Shutdown);

        Assert.That(await rig.Running.InTime(), Is.SameAs(Shutdown));
        Assert.That(rig.Pipe.Writes, Is.Empty);
    }

    [Test]
    public async Task The_first_cause_wins()
    {
        await using var rig = new ConnectionRig();

        rig.Connection.Close(Shutdown, CloseCode.GoingAway, "goodbye");
        rig.Connection.Cut(new Disconnect(DisconnectCause.SlowConsumer, "second"));
        rig.Pipe.SendFin();

        Assert.That(await rig.Running.InTime(), Is.SameAs(Shutdown));
    }

    [Test]
    public async Task Exactly_one_cause_wins_a_race()
    {
        for (int round = 0; round < 200; round++)
        {
            await using var rig = new ConnectionRig(pingMs: 1000, timeoutMs: 500, maxMissed: 1);
            rig.Clock.Advance(1496);
            using var start = new Barrier(4);
            Action[] racers =
            [
                () => rig.Connection.Close(Shutdown, CloseCode.GoingAway, "goodbye"),
                () => rig.Connection.Cut(new Disconnect(DisconnectCause.SlowConsumer, "cut")),
                () => rig.Pipe.Send(ClientFrames.Text("a"), ClientFrames.Close(1000)),
                () => rig.Clock.Advance(8),
            ];
            await Task.WhenAll(racers.Select(racer => Task.Factory.StartNew(
                () =>
                {
                    start.SignalAndWait(Safety.Limit);
                    racer();
                },
                CancellationToken.None,
                TaskCreationOptions.LongRunning,
                TaskScheduler.Default))).InTime();

            Disconnect end = await rig.Running.InTime();
            Assert.That(
                end.Cause,
                Is.AnyOf(DisconnectCause.ServerShutdown, DisconnectCause.SlowConsumer, DisconnectCause.ClientClosed, DisconnectCause.PongTimeout));
            Assert.That(rig.Pipe.Count(Opcode.Close), Is.LessThanOrEqualTo(1));
        }
    }
}
