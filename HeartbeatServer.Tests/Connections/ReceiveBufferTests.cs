using HeartbeatServer.Connections;
using HeartbeatServer.Engine;

namespace HeartbeatServer.Tests.Connections;

/// <summary>All tests take the array of one thread: none of them waits for anything.</summary>
public sealed class ReceiveBufferTests
{
    private ReceiveBuffer _buffer;

    [TearDown]
    public void TearDown() => _buffer.Dispose();

    [Test]
    public void It_has_room_for_a_message_of_64_KiB_in_one_piece()
    {
        Assert.That(_buffer.Take().Length, Is.GreaterThanOrEqualTo((64 * 1024) + 14));
    }

    [Test]
    public void One_array_serves_one_buffer_after_the_other()
    {
        _buffer.Take();
        byte[] array = _buffer.Array;
        _buffer.Return();
        var other = new ReceiveBuffer();

        other.Take();
        Assert.That(other.Array, Is.SameAs(array));

        _buffer.Take();
        Assert.That(_buffer.Array, Is.Not.SameAs(array), "the other one still has it");
        other.Dispose();
    }

    [Test]
    public void Who_is_slow_gets_a_small_array()
    {
        Assert.That(_buffer.Take(isSmall: true).Length, Is.EqualTo(LoopBuffer.SmallSize));
    }

    [Test]
    public void Between_two_receives_it_has_no_array()
    {
        _buffer.Take();
        Receive(100);
        _buffer.Start = _buffer.End;

        _buffer.Return();

        Assert.That(_buffer.Array, Is.Empty);
        Assert.That(_buffer.IsKeeping, Is.False);
        Assert.That((_buffer.Start, _buffer.End), Is.EqualTo((0, 0)));
    }

    [Test]
    public void Bytes_that_were_not_read_stand_before_the_next_ones([Values] bool isSmall)
    {
        _buffer.Take();
        Receive(100);
        _buffer.Start = 70;
        _buffer.Return();
        Assert.That(_buffer.IsKeeping, Is.True);

        // Another connection uses the array meanwhile.
        var other = new ReceiveBuffer();
        other.Take().Span.Fill(0xEE);
        other.Return();
        Memory<byte> room = _buffer.Take(isSmall);

        Assert.That((_buffer.Start, _buffer.End), Is.EqualTo((0, 30)));
        Assert.That(_buffer.Array[..30], Is.EqualTo(Numbers(30, first: 70)));
        Assert.That(room.Length, Is.EqualTo(_buffer.Array.Length - 30));
        Assert.That(_buffer.IsKeeping, Is.False);
    }

    [Test]
    public void A_receive_that_brought_nothing_loses_nothing()
    {
        _buffer.Take();
        Receive(3);
        _buffer.Return();

        _buffer.Take();
        _buffer.Return();
        _buffer.Return();

        _buffer.Take();
        Assert.That(_buffer.Array[..3], Is.EqualTo(Numbers(3, first: 0)));
    }

    [Test]
    public void Disposing_of_it_forgets_what_it_kept_and_may_be_repeated()
    {
        _buffer.Take();
        Receive(3);

        _buffer.Dispose();
        _buffer.Dispose();

        Assert.That(_buffer.IsKeeping, Is.False);
        Assert.That(_buffer.Array, Is.Empty);
    }

    [Test]
    public void A_thread_keeps_one_array_and_lets_the_others_go()
    {
        byte[] first = LoopBuffer.Take(isSmall: false);
        byte[] second = LoopBuffer.Take(isSmall: false);
        LoopBuffer.Return(first);
        LoopBuffer.Return(second);

        Assert.That(LoopBuffer.Take(isSmall: false), Is.SameAs(first));
        Assert.That(LoopBuffer.Take(isSmall: false), Is.Not.SameAs(second));
    }

    /// <summary>Receives bytes that count up, so that each value shows its place.</summary>
    private void Receive(int count)
    {
        Numbers(count, first: 0).CopyTo(_buffer.Array.AsSpan(_buffer.End));
        _buffer.Received(count);
    }

    private static byte[] Numbers(int count, int first) => [.. Enumerable.Range(first, count).Select(i => (byte)i)];
}
