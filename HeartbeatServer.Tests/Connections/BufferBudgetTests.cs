using HeartbeatServer.Connections;
using HeartbeatServer.Engine;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Connections;

/// <summary>Several connections, and the memory that they may hold together.</summary>
public sealed class BufferBudgetTests
{
    private const int KiB = 1024;

    // The arrays of these messages are powers of two. The last is filled from the one before: at that moment both count.
    private static readonly byte[] Large = ClientFrames.Frame(Opcode.Binary, new byte[100 * KiB]);
    private const int HeldByLarge = 128 * KiB;
    private const int GrowingLarge = (128 + 64) * KiB;
    private static readonly byte[] Small = ClientFrames.Frame(Opcode.Binary, new byte[20 * KiB]);
    private const int HeldBySmall = 32 * KiB;
    private const int GrowingSmall = (32 + 16) * KiB;

    [Test]
    public async Task Within_the_limit_nobody_goes_and_everything_is_given_back()
    {
        var table = new ConnectionTable(maxBuffered: 1024 * KiB);
        await using var one = Rig(1, table);
        await using var other = Rig(2, table);

        one.Pipe.Send(Large[..^1]);
        other.Pipe.Send(Small[..^1]);
        Assert.That(table.Buffers.Used, Is.EqualTo(HeldByLarge + HeldBySmall));

        one.Pipe.Send(Large[^1..]);
        other.Pipe.Send(Small[^1..]);
        Assert.That(new[] { one, other }.Select(rig => rig.Pipe.Count(Opcode.Binary)), Is.All.EqualTo(1));
        Assert.That(table.Buffers.Used, Is.Zero);
    }

    [Test]
    public async Task An_idle_connection_and_messages_that_come_whole_hold_nothing()
    {
        var table = new ConnectionTable(maxBuffered: 0);
        await using var rig = Rig(1, table);

        rig.Pipe.Send(ClientFrames.Text("a short message"), ClientFrames.Ping(), ClientFrames.Text("another"));

        Assert.That(rig.Pipe.Count(Opcode.Text), Is.EqualTo(2));
        Assert.That(table.Buffers.Used, Is.Zero);
    }

    [Test]
    public async Task Past_the_limit_the_largest_unfinished_message_goes_with_1013()
    {
        var table = new ConnectionTable(maxBuffered: GrowingLarge + HeldBySmall);
        await using var small = Rig(1, table);
        await using var large = Rig(2, table);
        await using var second = Rig(3, table);
        small.Clock.Advance(100);
        small.Pipe.Send(Small[..^1]);
        large.Pipe.Send(Large[..^1]);

        second.Pipe.Send(Small);
        Assert.That(second.Pipe.Count(Opcode.Binary), Is.EqualTo(1), "there is room for a small one");
        second.Pipe.Send(Small[..^1]);
        Assert.That(large.Pipe.Count(Opcode.Close), Is.Zero, "and for another");
        small.Pipe.Send(Small[^1..], Large[..^1]);

        await large.Pipe.UntilFramesAsync(1);
        Assert.That(large.Pipe.LastFrame(Opcode.Close).Close, Is.EqualTo("1013 try again later"));
        Assert.That(large.Pipe.IsHalfClosed, Is.True);
        Assert.That(large.Running.IsCompleted, Is.False, "the client has time to answer");
        await Safety.UntilAsync(() => table.Buffers.Used == HeldByLarge + HeldBySmall, "the memory of the one that goes, at once");

        large.Pipe.SendFin();
        Disconnect end = await large.Running.InTime();
        Assert.That(end.Cause, Is.EqualTo(DisconnectCause.BufferLimit));
        Assert.That(end.Detail, Does.StartWith("sent Close 1013: its unfinished message was the largest, 0.1 MiB, when all connections"));
        small.Pipe.Send(Large[^1..]);
        second.Pipe.Send(Small[^1..]);
        Assert.That(new[] { small, second }.Select(rig => rig.Pipe.Count(Opcode.Binary)), Is.All.EqualTo(2), "the others live");
        Assert.That(table.Buffers.Used, Is.Zero);
    }

    [Test]
    public async Task The_connection_whose_message_grows_goes_itself_if_it_is_the_largest()
    {
        var table = new ConnectionTable(maxBuffered: HeldByLarge);
        await using var small = Rig(1, table);
        await using var large = Rig(2, table);
        small.Pipe.Send(Small[..^1]);

        large.Pipe.Send(Large[..^1]);

        Assert.That(large.Pipe.LastFrame(Opcode.Close).Close, Is.EqualTo("1013 try again later"));
        Assert.That(table.Buffers.Used, Is.EqualTo(HeldBySmall));
        large.Pipe.SendFin();
        Assert.That(await large.CauseAsync(), Is.EqualTo(DisconnectCause.BufferLimit));
        small.Pipe.Send(Small[^1..]);
        Assert.That(small.Pipe.Count(Opcode.Binary), Is.EqualTo(1));
    }

    [Test]
    public async Task Of_two_equally_large_the_one_that_was_silent_for_longer_goes([Values] bool firstIsSilent)
    {
        var table = new ConnectionTable(maxBuffered: HeldByLarge + GrowingLarge);
        await using var first = Rig(1, table);
        await using var second = Rig(2, table);
        await using var third = Rig(3, table);
        (ConnectionRig silent, ConnectionRig active) = firstIsSilent ? (first, second) : (second, first);
        active.Clock.Advance(100);
        third.Clock.Advance(200);
        first.Pipe.Send(Large[..^1]);
        second.Pipe.Send(Large[..^1]);

        third.Pipe.Send(Large[..^1]);

        await silent.Pipe.UntilFramesAsync(1);
        Assert.That(silent.Pipe.LastFrame(Opcode.Close).Close, Is.EqualTo("1013 try again later"));
        Assert.That(active.Pipe.Frames.Concat(third.Pipe.Frames), Is.Empty);
    }

    [Test]
    public async Task Of_those_who_do_not_take_their_replies_the_slowest_is_cut()
    {
        var table = new ConnectionTable(maxBuffered: HeldByLarge + GrowingLarge);
        await using var slowest = Rig(1, table);
        await using var slow = Rig(2, table);
        await using var last = Rig(3, table);
        slow.Clock.Advance(100);
        last.Clock.Advance(200);
        foreach (ConnectionRig rig in (ConnectionRig[])[slowest, slow, last])
        {
            rig.Pipe.HoldWrites();
            rig.Pipe.Send(Large);
            await rig.Pipe.UntilWritingAsync();
        }

        Disconnect end = await slowest.Running.InTime();
        Assert.That(end.Cause, Is.EqualTo(DisconnectCause.BufferLimit));
        Assert.That(end.Detail, Does.StartWith("cut: its replies, 0.1 MiB, had waited the longest when all connections"));
        slow.Pipe.ReleaseWrites();
        last.Pipe.ReleaseWrites();
        Assert.That(new[] { slow, last }.Select(rig => rig.Pipe.Count(Opcode.Binary)), Is.All.EqualTo(1));
        Assert.That(table.Buffers.Used, Is.Zero);
    }

    [Test]
    public async Task Short_replies_count_while_they_wait()
    {
        var table = new ConnectionTable(maxBuffered: 1024 * KiB);
        await using var rig = Rig(1, table);
        rig.Pipe.HoldWrites();

        rig.Pipe.Send(ClientFrames.Text("a reply"));
        Assert.That(table.Buffers.Used, Is.Positive);

        rig.Pipe.ReleaseWrites();
        Assert.That(table.Buffers.Used, Is.Zero);
    }

    [Test]
    public async Task Many_who_do_not_read_do_not_cost_the_one_who_sends()
    {
        // A small message comes in one piece, and its reply keeps the array of the thread.
        var table = new ConnectionTable(maxBuffered: (3 * LoopBuffer.Size) + GrowingSmall);
        await using var sender = Rig(1, table);
        sender.Pipe.Send(Small[..^1]);
        var readers = new List<ConnectionRig>();
        for (int i = 2; i < 10; i++)
        {
            var rig = Rig(i, table);
            readers.Add(rig);
            rig.Clock.Advance(i);
            rig.Pipe.HoldWrites();
            rig.Pipe.Send(Small);
            await rig.Pipe.UntilWritingAsync();
        }

        sender.Pipe.Send(Small[^1..]);

        Assert.That(sender.Pipe.Count(Opcode.Binary), Is.EqualTo(1));
        await Safety.UntilAsync(() => readers.Count(rig => rig.Running.IsCompleted) == readers.Count - 3, "all but the last");
        Assert.That(readers.TakeLast(3).Select(rig => rig.Running.IsCompleted), Is.All.False);
        foreach (ConnectionRig rig in readers)
            await rig.DisposeAsync();
        Assert.That(table.Buffers.Used, Is.Zero);
    }

    [Test]
    public async Task A_message_that_breaks_a_rule_gives_its_memory_back_at_once()
    {
        var table = new ConnectionTable(maxBuffered: 1024 * KiB);
        await using var rig = Rig(1, table);

        rig.Pipe.Send(ClientFrames.Frame(Opcode.Binary, new byte[100 * KiB], fin: false), ClientFrames.Text("no continuation"));

        Assert.That(rig.Pipe.LastFrame(Opcode.Close).Close, Does.StartWith("1002 "));
        Assert.That(rig.Running.IsCompleted, Is.False);
        Assert.That(table.Buffers.Used, Is.Zero);
    }

    [Test]
    public async Task A_connection_that_ends_in_the_middle_of_a_message_gives_everything_back()
    {
        var table = new ConnectionTable(maxBuffered: 1024 * KiB);
        await using var rig = Rig(1, table);
        rig.Pipe.Send(Large[..^1]);

        rig.Pipe.SendFin();

        await rig.Running.InTime();
        Assert.That(table.Buffers.Used, Is.Zero);
    }

    [Test]
    public void The_limit_by_default_is_a_quarter_of_what_the_process_may_use()
    {
        Assert.That(BufferBudget.DefaultLimit, Is.EqualTo(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 4).And.Positive);
    }

    /// <summary>Without pings: only what the test sends happens.</summary>
    private static ConnectionRig Rig(int id, ConnectionTable table) => new(pingMs: 0, timeoutMs: 0, id: id, table: table);
}
