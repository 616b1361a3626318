using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Tests.Protocol;

public sealed class OutboxTests
{
    private static readonly byte[] Goodbye = FrameWriter.Close(CloseCode.GoingAway, "bye");

    private Outbox _outbox = null!;

    [SetUp]
    public void SetUp() => _outbox = new Outbox();

    [Test]
    public void Nothing_leaves_while_nothing_is_owed() => Assert.That(Next(), Is.EqualTo(Outgoing.None));

    [Test]
    public void A_ping_that_is_owed_leaves_once()
    {
        _outbox.OwePing();

        Assert.That(Next(), Is.EqualTo(Outgoing.Ping));
        _outbox.Written();
        Assert.That(Next(), Is.EqualTo(Outgoing.None));
    }

    [Test]
    public void Two_pings_that_could_not_leave_are_one()
    {
        _outbox.TryBegin(10);
        _outbox.OwePing();
        _outbox.OwePing();
        _outbox.Written();

        Assert.That(Next(), Is.EqualTo(Outgoing.Ping));
        _outbox.Written();
        Assert.That(Next(), Is.EqualTo(Outgoing.None));
    }

    [Test]
    public void Nothing_leaves_inside_a_write()
    {
        Assert.That(_outbox.TryBegin(10), Is.True);
        _outbox.OwePing();
        _outbox.OweClose(Goodbye);

        Assert.That(Next(), Is.EqualTo(Outgoing.None));
        Assert.That(_outbox.TryBegin(10), Is.False);
        Assert.That(_outbox.IsWriting, Is.True);
    }

    [Test]
    public void The_Close_frame_leaves_before_a_ping_and_nothing_leaves_after_it()
    {
        _outbox.OwePing();
        _outbox.OweClose(Goodbye);

        Assert.That(Next(), Is.EqualTo(Outgoing.Close));
        Assert.That(_outbox.CloseFrame, Is.SameAs(Goodbye));
        _outbox.Written();
        Assert.That(Next(), Is.EqualTo(Outgoing.None));
        Assert.That(_outbox.TryBegin(10), Is.False);
        Assert.That(_outbox.IsClosed, Is.True);
    }

    [Test]
    public void Only_the_first_Close_frame_counts()
    {
        _outbox.OweClose(Goodbye);
        _outbox.OweClose(FrameWriter.Close(CloseCode.InternalError));

        Assert.That(_outbox.CloseFrame, Is.SameAs(Goodbye));
    }

    [Test]
    public void A_write_that_waits_is_looked_after_and_so_is_what_it_leaves_in_the_kernel()
    {
        _outbox.TryBegin(10);
        Assert.That(_outbox.LookDue, Is.EqualTo(Heartbeat.Never));

        _outbox.Wait(TimeSpan.FromSeconds(10));
        Assert.That((_outbox.IsWaiting, _outbox.LookDue), Is.EqualTo((true, TimeSpan.FromSeconds(10))));

        _outbox.Written();
        Assert.That((_outbox.IsWaiting, _outbox.LookDue), Is.EqualTo((false, TimeSpan.FromSeconds(10))), "our kernel may still have some of it");

        _outbox.Wait(TimeSpan.FromSeconds(12));
        Assert.That(_outbox.LookDue, Is.EqualTo(TimeSpan.FromSeconds(10)), "a look is never put off");
        _outbox.LookAt(Heartbeat.Never);
        Assert.That(_outbox.LookDue, Is.EqualTo(Heartbeat.Never));
    }

    [Test]
    public void Bytes_count_when_their_write_begins()
    {
        _outbox.TryBegin(1000);
        _outbox.OwePing();
        Assert.That(_outbox.BytesOut, Is.EqualTo(1000));

        _outbox.Written();
        Next();
        Assert.That(_outbox.BytesOut, Is.EqualTo(1000 + FrameWriter.PingSize));

        _outbox.Written();
        _outbox.OweClose(Goodbye);
        Next();
        Assert.That(_outbox.BytesOut, Is.EqualTo(1000 + FrameWriter.PingSize + Goodbye.Length));
    }

    [Test]
    public void After_a_stop_nothing_leaves_and_nobody_waits([Values] bool duringAWrite)
    {
        if (duringAWrite)
        {
            _outbox.TryBegin(10);
            _outbox.Wait(TimeSpan.FromSeconds(10));
        }
        _outbox.OweClose(Goodbye);
        _outbox.OwePing();

        _outbox.Stop();

        Assert.That(Next(), Is.EqualTo(Outgoing.None));
        Assert.That(_outbox.TryBegin(10), Is.False);
        Assert.That((_outbox.IsWriting, _outbox.IsClosed, _outbox.LookDue), Is.EqualTo((false, true, Heartbeat.Never)));
    }

    private Outgoing Next() => _outbox.Next(FrameWriter.PingSize);

    [Test]
    public void Nothing_leaves_inside_a_frame_whose_rest_is_to_come()
    {
        var outbox = new Outbox();
        Assert.That(outbox.TryBegin(100, Ending.InsideFrame), Is.True);
        outbox.Written();
        outbox.OwePing();
        Assert.That((outbox.Next(10), outbox.Owes, outbox.CanPing), Is.EqualTo((Outgoing.None, true, false)));

        Assert.That(outbox.TryBegin(50), Is.True, "the rest");
        outbox.Written();
        Assert.That(outbox.CanPing, Is.True);
        Assert.That(outbox.Next(10), Is.EqualTo(Outgoing.Ping));
    }

    [Test]
    public void Nothing_leaves_behind_a_Close_frame_that_passes()
    {
        var outbox = new Outbox();
        outbox.OwePing();
        Assert.That(outbox.TryBegin(4, Ending.Close), Is.True);
        outbox.Written();

        Assert.That((outbox.Next(10), outbox.TryBegin(1)), Is.EqualTo((Outgoing.None, false)));
    }
}
