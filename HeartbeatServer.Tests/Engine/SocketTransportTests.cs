using System.Net.Sockets;
using HeartbeatServer.Engine;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Engine;

/// <summary>The tests use real sockets, because the behaviour of the kernel matters here.</summary>
[TestFixture(false, false)]
[TestFixture(true, false)]
[TestFixture(true, true)]
public sealed class SocketTransportTests(bool epoll, bool leavesSocket)
{
    private const int SmallBuffer = 8 * 1024;

    private EventLoop _loop = null!;
    private Socket _peer = null!;
    private Socket _socket = null!;
    private SocketTransport _stream = null!;

    [SetUp]
    public void SetUp()
    {
        if (epoll && !OperatingSystem.IsLinux())
            Assert.Ignore("epoll is Linux's");
        _loop = new EventLoop(new TestClock().Wheel, epoll);
        _loop.Start();
        (_peer, _socket) = SocketPair.Connect();
        _stream = _loop.Attach(_socket);
        if (leavesSocket && OperatingSystem.IsLinux())
        {
            _socket.SendBufferSize = SmallBuffer;
            ((EpollTransport)_stream).LeaveSocket();
        }
    }

    [TearDown]
    public async Task TearDown()
    {
        _peer.Dispose();
        await _stream.DisposeAsync();
        _loop.Dispose();
    }

    [Test]
    public async Task A_read_gives_what_the_peer_sent()
    {
        await _peer.SendAsync(new byte[] { 1, 2, 3 });

        Assert.That(await ReadAsync(10), Is.EqualTo(new byte[] { 1, 2, 3 }));
    }

    [Test]
    public async Task A_read_may_wait()
    {
        var buffer = new byte[10];
        ValueTask<int> read = _stream.ReadAsync(buffer);
        Assert.That(read.IsCompleted, Is.False);

        await _peer.SendAsync(new byte[] { 7 });

        Assert.That(await read.InTime(), Is.EqualTo(1));
        Assert.That(buffer[0], Is.EqualTo(7));
    }

    [Test]
    public async Task A_wait_leaves_the_bytes_to_the_read_that_follows([Values] bool isBusy)
    {
        var buffer = new byte[10];
        Assert.That(_stream.TryRead(buffer), Is.EqualTo(-1));
        ValueTask<int> wait = _stream.WaitReadableAsync(isBusy);
        Assert.That(wait.IsCompleted, Is.False);

        await _peer.SendAsync(new byte[] { 7, 8 });
        await wait.InTime();

        Assert.That(_stream.TryRead(buffer.AsMemory(0, 1)), Is.EqualTo(1));
        await _stream.WaitReadableAsync(isBusy).InTime();
        Assert.That(_stream.TryRead(buffer), Is.EqualTo(1));
        Assert.That(buffer[0], Is.EqualTo(8));
        Assert.That(_stream.TryRead(buffer), Is.EqualTo(-1));
    }

    [Test]
    public async Task A_wait_sees_the_end_and_the_read_tells_why([Values] bool isReset)
    {
        ValueTask<int> wait = _stream.WaitReadableAsync(isBusy: false);
        if (isReset)
            _peer.LingerState = new LingerOption(true, 0);

        _peer.Close();
        await wait.InTime();

        Assert.That(_stream.TryRead(new byte[1]), Is.Zero);
        Assert.That(_stream.Error, Is.EqualTo(isReset ? SocketError.ConnectionReset : SocketError.Success));
    }

    [Test]
    public async Task A_wait_ends_when_this_side_closes([Values] bool beforeTheWait)
    {
        ValueTask<int> wait = beforeTheWait ? default : _stream.WaitReadableAsync(isBusy: false);
        _stream.Abort();
        if (beforeTheWait)
            wait = _stream.WaitReadableAsync(isBusy: false);

        await wait.InTime();

        Assert.That(_stream.TryRead(new byte[1]), Is.Zero);
        Assert.That(_stream.Error, Is.EqualTo(SocketError.OperationAborted));
    }

    [Test]
    public async Task Bytes_that_were_read_too_early_are_read_first_and_end_a_wait()
    {
        _stream.Unread([1, 2, 3]);
        var buffer = new byte[2];

        await _stream.WaitReadableAsync(isBusy: false).InTime();
        Assert.That(_stream.TryRead(buffer), Is.EqualTo(2));
        Assert.That(buffer, Is.EqualTo(new byte[] { 1, 2 }));
        Assert.That(await _stream.ReadAsync(buffer).InTime(), Is.EqualTo(1));
        Assert.That(_stream.TryRead(buffer), Is.EqualTo(-1));
    }

    [Test]
    public async Task A_cancelled_wait_says_so_if_the_system_can_cancel()
    {
        ValueTask<int> wait = _stream.WaitReadableAsync(isBusy: false);

        _stream.CancelRead();

        Assert.That(await wait.InTime(), Is.EqualTo(epoll ? Transport.Cancelled : 0));
        if (!epoll)
            return;
        await _peer.SendAsync(new byte[] { 9 });
        await _stream.WaitReadableAsync(isBusy: false).InTime();
        Assert.That(_stream.TryRead(new byte[1]), Is.EqualTo(1));
    }

    [Test]
    public async Task A_cancelled_read_frees_its_buffer_if_need_be_at_the_cost_of_the_connection()
    {
        ValueTask<int> read = _stream.ReadAsync(new byte[10]);

        _stream.CancelRead();

        Assert.That(await read.InTime(), Is.EqualTo(epoll ? Transport.Cancelled : 0));
    }

    [Test]
    public async Task FIN_is_a_read_of_0_without_an_error([Values] bool beforeTheRead)
    {
        ValueTask<int> read = beforeTheRead ? default : _stream.ReadAsync(new byte[10]);
        _peer.Shutdown(SocketShutdown.Send);
        if (beforeTheRead)
            read = _stream.ReadAsync(new byte[10]);

        Assert.That(await read.InTime(), Is.Zero);
        Assert.That(_stream.Error, Is.EqualTo(SocketError.Success));
    }

    [Test]
    public async Task RST_is_a_read_of_0_with_its_error_and_no_exception([Values] bool beforeTheRead)
    {
        ValueTask<int> read = beforeTheRead ? default : _stream.ReadAsync(new byte[10]);
        _peer.LingerState = new LingerOption(true, 0);
        _peer.Dispose();
        if (beforeTheRead)
            read = _stream.ReadAsync(new byte[10]);

        Assert.That(await read.InTime(), Is.Zero);
        Assert.That(_stream.Error, Is.EqualTo(SocketError.ConnectionReset));
    }

    [Test]
    public async Task Bytes_that_are_given_back_come_first()
    {
        _stream.Unread([1, 2, 3, 4, 5]);
        await _peer.SendAsync(new byte[] { 6, 7 });
        var received = new List<byte>();
        var buffer = new byte[2];

        while (received.Count < 7)
            received.AddRange(buffer[..await _stream.ReadAsync(buffer).InTime()]);

        Assert.That(received, Is.EqualTo(new byte[] { 1, 2, 3, 4, 5, 6, 7 }));
    }

    [Test]
    public async Task A_small_write_is_done_before_the_call_returns()
    {
        ValueTask write = _stream.WriteAsync(new byte[] { 1, 2, 3 });

        Assert.That(write.IsCompletedSuccessfully, Is.True);
        await write;
        Assert.That(await ReceiveAsync(3), Is.EqualTo(new byte[] { 1, 2, 3 }));
    }

    /// <summary>
    /// A non-blocking send may take a part of the bytes and report WouldBlock together with their number. If the transport counted a byte wrongly
    /// there, the byte would come twice or never.
    /// </summary>
    [TestCase(8 * 1024 * 1024)]
    [TestCase(16 * 1024 * 1024 + 1)]
    [TestCase(24 * 1024 * 1024 - 3)]
    public async Task A_write_that_the_kernel_takes_in_parts_arrives_once_and_in_order(int size)
    {
        byte[] sent = Numbered(size);

        ValueTask write = _stream.WriteAsync(sent);
        Assert.That(write.IsCompleted, Is.False, "it has to wait: the peer does not read");
        byte[] received = await ReceiveAsync(size);
        await write.AsTask().InTime();
        _stream.ShutdownSend();

        Assert.That(received.AsSpan().SequenceEqual(sent), Is.True);
        Assert.That(await _peer.ReceiveAsync(new byte[1]).InTime(), Is.Zero, "nothing behind it");
    }

    [Test]
    public async Task Many_writes_into_a_small_send_buffer_arrive_once_and_in_order([Values(1_000, 10_007, 70_001)] int size)
    {
        const int total = 3_000_000;
        if (!leavesSocket)
            _socket.SendBufferSize = SmallBuffer;
        byte[] sent = Numbered(total);

        Task<byte[]> received = ReceiveAsync(total);
        for (int i = 0; i < total; i += size)
            await _stream.WriteAsync(sent.AsMemory(i, Math.Min(size, total - i))).AsTask().InTime();

        Assert.That((await received.InTime()).AsSpan().SequenceEqual(sent), Is.True);
    }

    [Test]
    public async Task A_partial_send_reports_the_bytes_it_took()
    {
        // WriteAsync relies on this: a part is a success with a smaller count, and WouldBlock comes with the number of bytes taken, which is
        // usually 0. If a runtime behaves otherwise, the tests above show that bytes are lost, and this one shows why.
        Assume.That(epoll, Is.False, "with epoll the transport calls the kernel itself");
        var bytes = new byte[24 * 1024 * 1024];
        int sent = 0;
        SocketError error = SocketError.Success;
        for (int sends = 0; error == SocketError.Success; sends++)
        {
            int part = _socket.Send(bytes, SocketFlags.None, out error);
            Assert.That(part, Is.LessThan(bytes.Length), "the kernel cannot take it all");
            Assert.That(sends, Is.LessThan(1000), "the peer does not read: it fills up");
            sent += part;
        }

        Assert.That(error, Is.EqualTo(SocketError.WouldBlock));
        Assert.That(sent, Is.Positive);
        _stream.ShutdownSend();
        int received = 0;
        while (await _peer.ReceiveAsync(bytes).InTime() is > 0 and int count)
            received += count;
        Assert.That(received, Is.EqualTo(sent));
    }

    [Test]
    public async Task A_write_after_RST_fails_as_an_IOException()
    {
        _peer.LingerState = new LingerOption(true, 0);
        _peer.Dispose();
        await _stream.ReadAsync(new byte[1]).InTime();

        await Assert.ThatAsync(() => _stream.WriteAsync(new byte[] { 1 }).AsTask(), Throws.InstanceOf<IOException>());
    }

    [Test]
    public async Task A_write_that_waits_fails_as_an_IOException_when_the_stream_is_aborted()
    {
        ValueTask write = _stream.WriteAsync(new byte[24 * 1024 * 1024]);
        Assert.That(write.IsCompleted, Is.False);

        _stream.Abort();

        await Assert.ThatAsync(() => write.AsTask().InTime(), Throws.InstanceOf<IOException>());
    }

    [Test]
    public async Task A_write_after_the_end_fails_as_an_IOException([Values] bool abort)
    {
        if (abort)
            _stream.Abort();
        else
            await _stream.DisposeAsync();

        await Assert.ThatAsync(() => _stream.WriteAsync(new byte[] { 1 }).AsTask(), Throws.InstanceOf<IOException>());
    }

    [Test]
    public async Task Abort_sends_RST_and_ends_a_read_in_progress()
    {
        ValueTask<int> read = _stream.ReadAsync(new byte[10]);

        _stream.Abort();

        Assert.That(await read.InTime(), Is.Zero);
        Assert.That(_stream.Error, Is.Not.EqualTo(SocketError.Success), "it is no FIN");
        var reset = Assert.ThrowsAsync<SocketException>(() => _peer.ReceiveAsync(new byte[1]).InTime());
        Assert.That(reset.SocketErrorCode, Is.EqualTo(SocketError.ConnectionReset));
    }

    [Test]
    public async Task After_Abort_a_read_is_0_and_all_else_is_harmless()
    {
        _stream.Abort();
        _stream.Abort();
        _stream.ShutdownSend();

        Assert.That(_stream.UnreadBytes, Is.Zero);
        Assert.That(await _stream.ReadAsync(new byte[1]).InTime(), Is.Zero);
        Assert.That(_stream.Error, Is.Not.EqualTo(SocketError.Success));
    }

    [Test]
    public async Task ShutdownSend_is_FIN_for_the_peer_and_reading_goes_on()
    {
        _stream.ShutdownSend();

        Assert.That(await _peer.ReceiveAsync(new byte[1]).InTime(), Is.Zero);
        await _peer.SendAsync(new byte[] { 9 });
        Assert.That(await ReadAsync(1), Is.EqualTo(new byte[] { 9 }));
    }

    [Test]
    public async Task UnreadBytes_says_how_much_waits_in_the_kernel()
    {
        Assert.That(_stream.UnreadBytes, Is.Zero);

        await _peer.SendAsync(new byte[] { 1, 2 });
        await Safety.UntilAsync(() => _stream.UnreadBytes == 2, "unread bytes");
        await ReadAsync(2);

        Assert.That(_stream.UnreadBytes, Is.Zero);
    }

    /// <summary>Makes bytes in which a lost, doubled or misplaced piece can be seen.</summary>
    private static byte[] Numbered(int size)
    {
        var bytes = new byte[size];
        new Random(size).NextBytes(bytes);
        return bytes;
    }

    private async Task<byte[]> ReadAsync(int count)
    {
        var buffer = new byte[count];
        return buffer[..await _stream.ReadAsync(buffer).InTime()];
    }

    /// <summary>Reads what the peer receives.</summary>
    private async Task<byte[]> ReceiveAsync(int count)
    {
        var bytes = new byte[count];
        for (int received = 0; received < count;)
        {
            int part = await _peer.ReceiveAsync(bytes.AsMemory(received)).InTime();
            Assert.That(part, Is.Positive, $"FIN after {received} of {count} bytes");
            received += part;
        }
        return bytes;
    }
}
