using HeartbeatServer.Connections;


namespace HeartbeatServer.Tests.Connections;

public sealed class ReceiveBufferTests
{
    /// <summary>The largest control frame of a client.</summary>
    private const int ControlFrame = 131;

    private ReceiveBuffer _buffer;

    [SetUp]
    public void SetUp() => _buffer = new ReceiveBuffer();

    [TearDown]
    public void TearDown() => _buffer.Dispose();

    [Test]
    public void At_rest_it_is_small_and_has_room_for_any_control_frame()
    {
        Assert.That(_buffer.Prepare(insideFrame: false).Length, Is.InRange(ControlFrame, 256));
    }

    [Test]
    public void A_receive_that_does_not_fill_it_rents_nothing([Values] bool insideFrame)
    {
        byte[] resting = _buffer.Array;
        Receive(resting.Length - 1);

        _buffer.Prepare(insideFrame);

        Assert.That(_buffer.Array, Is.SameAs(resting));
    }

    [Test]
    public void A_receive_that_fills_it_with_whole_frames_rents_nothing()
    {
        byte[] resting = _buffer.Array;
        Receive(resting.Length);
        _buffer.Start = _buffer.End;

        _buffer.Prepare(insideFrame: false);

        Assert.That(_buffer.Array, Is.SameAs(resting));
    }

    [Test]
    public void A_receive_that_fills_it_inside_a_frame_rents_one_for_a_burst_and_another_a_large_one()
    {
        Fill();
        Memory<byte> room = _buffer.Prepare(insideFrame: true);
        Assert.That(room.Length, Is.EqualTo(ReceiveBuffer.BurstSize));

        Fill();
        room = _buffer.Prepare(insideFrame: true);
        Assert.That(room.Length, Is.EqualTo(16 * 1024));

        Fill();
        room = _buffer.Prepare(insideFrame: true);
        Assert.That(room.Length, Is.EqualTo(16 * 1024));
    }

    [Test]
    public void While_bursts_come_it_has_room_for_one_and_after_them_it_rests()
    {
        byte[] resting = _buffer.Array;
        Fill();
        Fill();
        Receive(1120);
        _buffer.Start = _buffer.End;
        Assert.That(_buffer.Prepare(insideFrame: false).Length, Is.EqualTo(ReceiveBuffer.BurstSize), "a burst that did not fill it");

        Receive(14);
        _buffer.Start = _buffer.End;
        _buffer.Prepare(insideFrame: false);
        Assert.That(_buffer.Array, Is.SameAs(resting), "a pong");
    }

    [Test]
    public void Unread_bytes_come_along_into_the_rented_array()
    {
        byte[] resting = _buffer.Array;
        Receive(resting.Length, first: 10);
        _buffer.Start = resting.Length - 40;

        Memory<byte> room = _buffer.Prepare(insideFrame: false);

        Assert.That((_buffer.Start, _buffer.End), Is.EqualTo((0, 40)));
        Assert.That(_buffer.Array[..40], Is.EqualTo(Numbers(40, first: 10 + resting.Length - 40)));
        Assert.That(room.Length, Is.EqualTo(_buffer.Array.Length - 40));
    }

    [Test]
    public void Unread_bytes_come_along_back_into_the_resting_one()
    {
        byte[] resting = _buffer.Array;
        Fill();
        _buffer.Prepare(insideFrame: true);
        byte[] rented = _buffer.Array;
        Receive(100);
        _buffer.Start = 70;

        _buffer.Prepare(insideFrame: false);

        Assert.That(_buffer.Array == resting && _buffer.Array != rented, "the resting array");
        Assert.That(_buffer.Array.AsSpan(_buffer.Start, _buffer.End).ToArray(), Is.EqualTo(Numbers(30, first: 70)));
    }

    [Test]
    public void Unread_bytes_that_do_not_begin_at_the_start_move_there()
    {
        Receive(20);
        _buffer.Start = 5;

        _buffer.Prepare(insideFrame: false);

        Assert.That((_buffer.Start, _buffer.End), Is.EqualTo((0, 15)));
        Assert.That(_buffer.Array[..15], Is.EqualTo(Numbers(15, first: 5)));
    }

    [Test]
    public void Disposing_of_it_leaves_nothing_rented_and_may_be_repeated()
    {
        byte[] resting = _buffer.Array;
        Receive(resting.Length);
        _buffer.Prepare(insideFrame: true);

        _buffer.Dispose();
        _buffer.Dispose();

        Assert.That(_buffer.Array, Is.SameAs(resting));
        Assert.That((_buffer.Start, _buffer.End), Is.EqualTo((0, 0)));
    }

    /// <summary>Receives as many bytes as there is room for, and reads them all.</summary>
    private void Fill()
    {
        Receive(_buffer.Prepare(insideFrame: true).Length);
        _buffer.Start = _buffer.End;
    }

    /// <summary>Receives bytes that count up, so that each value shows its place.</summary>
    private void Receive(int count, int first = 0)
    {
        Memory<byte> room = _buffer.Prepare(insideFrame: true);
        Numbers(count, first).CopyTo(room);
        _buffer.Received(count);
    }

    private static byte[] Numbers(int count, int first) => [.. Enumerable.Range(first, count).Select(i => (byte)i)];
}
