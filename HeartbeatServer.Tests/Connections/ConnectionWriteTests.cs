using System.Text;
using HeartbeatServer.Connections;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Connections;

/// <summary>In which order frames leave, and what happens when a client does not read.</summary>
public sealed class ConnectionWriteTests
{
    private static readonly byte[] Large = [.. Enumerable.Range(0, 300_000).Select(i => (byte)(i % 251))];

    [Test]
    public async Task Replies_come_in_the_order_of_what_they_answer()
    {
        await using var rig = new ConnectionRig();

        foreach (int i in Enumerable.Range(0, 20))
        {
            rig.Pipe.Send(
                ClientFrames.Text($"text {i}"),
                ClientFrames.Frame(Opcode.Ping, Encoding.ASCII.GetBytes($"ping {i}")),
                ClientFrames.Frame(Opcode.Binary, Encoding.ASCII.GetBytes(new string('x', 200) + i)),
                ClientFrames.Frame(Opcode.Text, "frag"u8, fin: false),
                ClientFrames.Frame(Opcode.Ping, "inside"u8),
                ClientFrames.Frame(Opcode.Continuation, Encoding.ASCII.GetBytes($"ment {i}")));
            await rig.Pipe.UntilIdleAsync();
        }

        string[] expected = [.. Enumerable.Range(0, 20).SelectMany(i => new[]
        {
            $"Text text {i}", $"Pong ping {i}", $"Binary {new string('x', 200)}{i}", "Pong inside", $"Text fragment {i}",
        })];
        Assert.That(rig.Pipe.Frames.Select(frame => $"{frame.Opcode} {frame.Text}"), Is.EqualTo(expected));
        Assert.That(rig.Pipe.Frames.Select(frame => frame.Fin), Is.All.True);
    }

    [Test]
    public async Task All_replies_to_one_receive_leave_in_one_write()
    {
        await using var rig = new ConnectionRig();

        rig.Pipe.Send(ClientFrames.Text("a"), ClientFrames.Frame(Opcode.Ping, "b"u8), ClientFrames.Text("c"), ClientFrames.Text("d"));

        Assert.That(rig.Pipe.Writes, Has.Count.EqualTo(1));
        Assert.That(rig.Pipe.Frames.Select(frame => frame.Text), Is.EqualTo(new[] { "a", "b", "c", "d" }));
    }

    [Test]
    public async Task A_burst_of_short_messages_is_answered_in_few_writes([Values(0, 4, 10, 14, 26, 34, 64, 74)] int length)
    {
        await using var rig = new ConnectionRig();
        string text = new('x', length);
        byte[] message = ClientFrames.Text(text);
        const int count = 1000;

        rig.Pipe.Send([.. Enumerable.Repeat(message, count)]);
        await rig.Pipe.UntilFramesAsync(count);
        await rig.Pipe.UntilIdleAsync();

        Assert.That(rig.Pipe.Frames, Has.Count.EqualTo(count));
        Assert.That(rig.Pipe.Frames.Select(frame => frame.Text), Is.All.EqualTo(text));
        Assert.That(rig.Pipe.Writes, Has.Count.LessThan(20));
    }

    [Test]
    public async Task A_message_comes_back_whole_however_it_was_cut(
        [Values(0, 1, 125, 126, 153, 154, 155, 160, 400, 16_384, 70_000)] int length, [Values(1, 7, 160, 4096, 100_000)] int piece)
    {
        await using var rig = new ConnectionRig();
        byte[] payload = Large[..length];
        byte[] bytes = [.. ClientFrames.Frame(Opcode.Binary, payload), .. ClientFrames.Text("behind")];
        piece = Math.Max(piece, bytes.Length / 500);

        foreach (byte[] part in bytes.Chunk(piece))
        {
            rig.Pipe.Send(part);
            await rig.Pipe.UntilIdleAsync();
        }

        Assert.That(rig.Pipe.Frames, Has.Count.EqualTo(2));
        Assert.That(rig.Pipe.Frames[0].Payload, Is.EqualTo(payload));
        Assert.That(rig.Pipe.Frames[1].Text, Is.EqualTo("behind"));
        Assert.That(rig.Connection.Figures().BytesIn, Is.EqualTo(bytes.Length));
        Assert.That(rig.Connection.Figures().BytesOut, Is.EqualTo(rig.Pipe.Writes.Sum(write => write.Length)));
    }

    [Test]
    public async Task With_discard_data_is_counted_and_not_answered()
    {
        await using var rig = new ConnectionRig(echo: false);

        rig.Pipe.Send(ClientFrames.Text("a"), ClientFrames.Frame(Opcode.Ping, "p"u8), ClientFrames.Frame(Opcode.Binary, Large));
        await rig.Pipe.UntilIdleAsync();

        Assert.That(rig.Pipe.Frames.Select(frame => frame.Opcode), Is.EqualTo(new[] { Opcode.Pong }));
        Assert.That((rig.Connection.Figures().MessagesIn, rig.Connection.Figures().MessagesOut), Is.EqualTo((2, 0)));
    }

    [Test]
    public async Task A_client_that_does_not_read_is_not_read_from()
    {
        await using var rig = new ConnectionRig(pingMs: 0);
        rig.Pipe.HoldWrites();

        rig.Pipe.Send(ClientFrames.Text("first"));
        rig.Pipe.Send(ClientFrames.Text("second"));
        Assert.That(rig.Pipe.IsWriting, Is.True);
        Assert.That(rig.Pipe.IsReading, Is.False);
        Assert.That(rig.Connection.Figures().MessagesIn, Is.EqualTo(1));
        Assert.That(rig.Connection.Figures().IsBlocked, Is.True);

        rig.Pipe.ReleaseWrites();
        await rig.Pipe.UntilFramesAsync(2);
        Assert.That(rig.Pipe.Frames.Select(frame => frame.Text), Is.EqualTo(new[] { "first", "second" }));
        Assert.That(rig.Connection.Figures().IsBlocked, Is.False);
    }

    [Test]
    public async Task A_ping_that_is_due_during_a_write_leaves_right_behind_it()
    {
        await using var rig = new ConnectionRig(pingMs: 2000);
        rig.Pipe.HoldWrites();
        rig.Pipe.Send(ClientFrames.Frame(Opcode.Binary, Large));
        await rig.Pipe.UntilWritingAsync();

        rig.Clock.Advance(2400);
        Assert.That(rig.Connection.Figures().Pings, Is.Zero, "it is owed");
        rig.Pipe.ReleaseWrite();
        Assert.That(rig.Pipe.Writes, Has.Count.EqualTo(1));
        Assert.That(rig.Pipe.Frames, Is.Empty, "the frame is not whole yet, and nothing goes into it");
        rig.Pipe.ReleaseWrites();
        await rig.Pipe.UntilFramesAsync(2);

        Assert.That(rig.Pipe.Frames.Select(frame => frame.Opcode), Is.EqualTo(new[] { Opcode.Binary, Opcode.Ping }));
        Assert.That(rig.Pipe.Frames[0].Payload, Is.EqualTo(Large));

        // The deadline of the ping runs from its write. The time of the next ping does not change.
        rig.Clock.Advance(496);
        Assert.That(rig.Connection.Figures().Missed, Is.Zero);
        rig.Clock.Advance(8);
        Assert.That(rig.Connection.Figures().Missed, Is.EqualTo(1));
        rig.Clock.Advance(4000 - 2400 - 504);
        Assert.That(rig.Connection.Figures().Pings, Is.EqualTo(2));
    }

    [Test]
    public async Task Several_pings_that_were_due_during_one_write_are_one()
    {
        await using var rig = new ConnectionRig(pingMs: 1000);
        rig.Pipe.HoldWrites();
        rig.Pipe.Send(ClientFrames.Text("a"));

        rig.Clock.Advance(5500);
        rig.Pipe.ReleaseWrites();
        await rig.Pipe.UntilFramesAsync(2);

        Assert.That(rig.Pipe.Frames.Select(frame => frame.Opcode), Is.EqualTo(new[] { Opcode.Text, Opcode.Ping }));
        Assert.That(rig.Pipe.Frames[1].Number, Is.EqualTo(1));
    }

    [Test]
    public async Task A_reply_waits_for_the_ping_in_progress()
    {
        await using var rig = new ConnectionRig(pingMs: 2000);
        rig.Pipe.HoldWrites();
        rig.Clock.Advance(2000);
        await rig.Pipe.UntilWritingAsync();

        rig.Pipe.Send(ClientFrames.Text("reply"));
        rig.Pipe.ReleaseWrites();
        await rig.Pipe.UntilFramesAsync(2);

        Assert.That(rig.Pipe.Frames.Select(frame => frame.Opcode), Is.EqualTo(new[] { Opcode.Ping, Opcode.Text }));
    }

    [Test]
    public async Task A_ping_that_the_client_does_not_take_is_no_strike_but_makes_a_slow_consumer()
    {
        await using var rig = new ConnectionRig(pingMs: 2000, timeoutMs: 500, maxMissed: 1);
        rig.Pipe.HoldWrites();

        rig.Clock.Advance(2000);
        await rig.Pipe.UntilWritingAsync();
        rig.Clock.Advance(29_992);
        Assert.That(rig.Running.IsCompleted, Is.False);
        Assert.That(rig.Connection.Figures().Missed, Is.Zero);
        rig.Clock.Advance(16);

        Assert.That(await rig.CauseAsync(), Is.EqualTo(DisconnectCause.SlowConsumer));
        Assert.That(rig.Metrics.Strikes, Is.Zero);
    }

    [Test]
    public async Task A_client_that_takes_nothing_for_the_write_timeout_is_a_slow_consumer()
    {
        await using var rig = new ConnectionRig(pingMs: 0);
        rig.Pipe.HoldWrites();
        rig.Pipe.Send(ClientFrames.Text("a"));

        rig.Clock.Advance(29_992);
        Assert.That(rig.Running.IsCompleted, Is.False);
        rig.Clock.Advance(8);

        Disconnect end = await rig.Running.InTime();
        Assert.That(end.Cause, Is.EqualTo(DisconnectCause.SlowConsumer));
        Assert.That(end.Detail, Does.Contain("30s"));
    }

    [Test]
    public async Task A_client_that_takes_a_part_in_time_is_not_cut()
    {
        await using var rig = new ConnectionRig(pingMs: 0);
        rig.Pipe.HoldWrites();
        rig.Pipe.Send(ClientFrames.Frame(Opcode.Binary, Large));

        for (int part = 0; part < (Large.Length / ConnectionWriter.OutputLimit) + 1; part++)
        {
            await rig.Pipe.UntilWritingAsync();
            rig.Clock.Advance(29_900);
            rig.Pipe.ReleaseWrite();
        }
        rig.Clock.Advance(60_000);

        Assert.That(rig.Pipe.Frames[0].Payload, Is.EqualTo(Large));
        Assert.That(rig.Running.IsCompleted, Is.False);
    }

    [Test]
    public async Task A_strike_needs_a_client_that_could_be_heard_and_comes_once_it_reads_again()
    {
        await using var rig = new ConnectionRig(pingMs: 2000, timeoutMs: 500, maxMissed: 1);
        rig.Pipe.HoldWrites();
        rig.Clock.Advance(3000);
        rig.Pipe.ReleaseWrites();
        // The echo leaves after the ping.
        rig.Pipe.Send(ClientFrames.Text("here I am"));
        await rig.Pipe.UntilFramesAsync(2);

        rig.Clock.Advance(1000 + 600);
        rig.Pipe.SendFin();

        Assert.That(await rig.CauseAsync(), Is.EqualTo(DisconnectCause.PongTimeout), "the next ping is judged again");
    }
}
