using System.Diagnostics;
using System.Net.Sockets;
using System.Runtime.Versioning;
using HeartbeatServer.Engine;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Engine;

/// <summary>Each test runs the rounds of the event loop itself, so it sees what epoll reports, and how often.</summary>
[Platform("Linux")]
[SupportedOSPlatform("linux")]
public sealed class EpollTransportTests
{
    private const int Forever = 30_000;
    private const int Much = 24 * 1024 * 1024;

    private EventLoop _loop = null!;
    private Socket _peer = null!;
    private Socket _socket = null!;
    private EpollTransport _stream = null!;

    [SetUp]
    public void SetUp()
    {
        _loop = new EventLoop(new TestClock().Wheel);
        (_peer, _stream) = Connected();
    }

    [TearDown]
    public void TearDown()
    {
        _stream.Dispose();
        _peer.Dispose();
        _loop.Dispose();
    }

    [Test]
    public void A_read_is_done_by_the_thread_that_waits()
    {
        var buffer = new byte[10];
        ValueTask<int> read = _stream.ReadAsync(buffer);
        int thread = 0;
        Task done = ContinueAsync();
        _peer.Send([1, 2, 3]);

        Assert.That(_loop.Serve(Forever), Is.EqualTo(1));

        Assert.That(done.IsCompletedSuccessfully, Is.True);
        Assert.That(thread, Is.EqualTo(Environment.CurrentManagedThreadId));

        async Task ContinueAsync()
        {
            // A connection awaits without a synchronisation context, but NUnit has one for its tests.
            Assert.That(await read.ConfigureAwait(false), Is.EqualTo(3));
            thread = Environment.CurrentManagedThreadId;
        }
    }

    [Test]
    public void A_wait_without_a_buffer_ends_when_bytes_come_and_begins_anew_when_they_are_read()
    {
        _stream.IsEmptied = true;
        var buffer = new byte[10];
        for (int round = 0; round < 3; round++)
        {
            ValueTask<int> wait = _stream.WaitReadableAsync(isBusy: false);
            Assert.That(wait.IsCompleted, Is.False, "nothing is there");
            _peer.Send([1, 2, 3]);
            Assert.That(_loop.Serve(Forever), Is.EqualTo(1));
            Assert.That(wait.IsCompletedSuccessfully, Is.True);
            Assert.That(_stream.TryRead(buffer), Is.EqualTo(3));
        }
        Assert.That(_loop.Serve(0), Is.Zero, "an empty socket is not looked at again");
    }

    [Test]
    public void A_wait_after_a_full_read_finds_what_is_left()
    {
        _stream.IsEmptied = true;
        var buffer = new byte[2];
        ValueTask<int> wait = _stream.WaitReadableAsync(isBusy: false);
        _peer.Send([1, 2, 3]);
        _loop.Serve(Forever);
        Assert.That(wait.IsCompleted && _stream.TryRead(buffer) == 2, Is.True);

        wait = _stream.WaitReadableAsync(isBusy: true);
        while (!wait.IsCompleted)
            _loop.Serve(Forever);
        Assert.That(_stream.TryRead(buffer), Is.EqualTo(1));
    }

    [Test]
    public void A_wait_after_a_read_finds_an_end_that_came_with_the_bytes()
    {
        _stream.IsEmptied = true;
        var buffer = new byte[10];
        ValueTask<int> wait = _stream.WaitReadableAsync(isBusy: false);
        _peer.Send([1, 2, 3]);
        _peer.Shutdown(SocketShutdown.Send);
        _loop.Serve(Forever);
        Assert.That(wait.IsCompleted && _stream.TryRead(buffer) == 3, Is.True);

        wait = _stream.WaitReadableAsync(isBusy: false);
        while (!wait.IsCompleted)
            _loop.Serve(Forever);
        Assert.That((_stream.TryRead(buffer), _stream.Error), Is.EqualTo((0, SocketError.Success)));
    }

    [Test]
    public void An_end_is_seen_behind_bytes_that_nobody_reads()
    {
        bool hasEnded = false;
        _stream.WhenEnded(() => hasEnded = true);
        _peer.Send([1, 2, 3]);
        _loop.Serve(0);
        Assert.That(hasEnded, Is.False);

        _peer.Shutdown(SocketShutdown.Send);
        while (!hasEnded)
            _loop.Serve(Forever);
        Assert.That(_stream.UnreadBytes, Is.EqualTo(3));
    }

    [Test]
    public void Bytes_that_were_reported_before_are_not_taken_for_the_end()
    {
        bool hasEnded = false;
        _stream.WhenEnded(() => hasEnded = true);

        _stream.OnReady(Readiness.Read); // of the read before, on the way since then

        Assert.That(hasEnded, Is.False);
    }

    [Test]
    public void A_watch_that_was_ended_calls_nobody()
    {
        bool hasEnded = false;
        _stream.WhenEnded(() => hasEnded = true);
        _peer.Shutdown(SocketShutdown.Send);

        _stream.EndWatch();
        _loop.Serve(Forever);

        Assert.That(hasEnded, Is.False);
        Assert.That(_loop.Serve(0), Is.Zero, "nobody looks any more");
    }

    [Test]
    public void Bytes_are_not_taken_for_the_end_after_a_write_that_had_to_wait()
    {
        bool hasEnded = false;
        _stream.WhenEnded(() => hasEnded = true);
        ValueTask write = _stream.WriteAsync(new byte[Much]);
        Assert.That(write.IsCompleted, Is.False);
        _peer.Send([1, 2, 3]);
        var buffer = new byte[1024 * 1024];
        for (int read = 0; read < Much; read += _peer.Receive(buffer))
        {
            // A round only when the peer has taken all that is there: it blocks otherwise.
            while (_peer.Available == 0 && !write.IsCompleted)
                _loop.Serve(Forever);
        }
        Assert.That(write.IsCompletedSuccessfully, Is.True);
        _loop.Serve(0);
        Assert.That(hasEnded, Is.False);

        _peer.Shutdown(SocketShutdown.Send);
        while (!hasEnded)
            _loop.Serve(Forever);
    }

    [Test]
    public void A_transport_without_the_socket_of_the_framework_frees_its_token_when_it_is_closed()
    {
        int before = _loop.Epoll!.Count;
        _stream.LeaveSocket();
        Assert.That(_stream.Socket, Is.Null);
        Assert.That(_socket.SafeHandle.IsClosed, Is.True, "the socket of the framework has nothing to close");
        _stream.LeaveSocket(); // does nothing

        _stream.Dispose();

        Assert.That(_loop.Epoll.Count, Is.EqualTo(before - 1));
        Assert.That(_peer.Receive(new byte[1]), Is.Zero, "FIN");
        _stream.LeaveSocket(); // comes too late, and does nothing
    }

    [Test]
    public void A_token_has_no_new_owner_before_the_events_of_the_last_wait_are_told()
    {
        _peer.Send([1]);
        ValueTask<int> wait = _stream.WaitReadableAsync(isBusy: false);
        Assert.That(_loop.Epoll!.Wait(Forever), Is.EqualTo(1), "the event is on its way");
        _stream.Dispose();

        (Socket peer, EpollTransport next) = Connected();
        using (peer)
        using (next)
        {
            bool hasEnded = false;
            next.WhenEnded(() => hasEnded = true);
            Assert.That(_loop.Epoll.Event(0, out _), Is.Null);
            Assert.That(hasEnded, Is.False);
        }
    }

    [Test]
    public async Task Bytes_that_nobody_waits_for_are_reported_once_and_kept_for_the_next_read()
    {
        await ReadOneAsync();
        _peer.Send([7, 8]);

        Assert.That(_loop.Serve(Forever), Is.EqualTo(1));
        Assert.That(_loop.Serve(0), Is.Zero, "told again, and again: a loop that never sleeps");

        var buffer = new byte[10];
        ValueTask<int> read = _stream.ReadAsync(buffer);
        Assert.That(_loop.Serve(Forever), Is.EqualTo(1));
        Assert.That(await read, Is.EqualTo(2));
        Assert.That(buffer[..2], Is.EqualTo(new byte[] { 7, 8 }));
    }

    [Test]
    public async Task A_reset_that_nobody_waits_for_is_told_once_and_kept_for_the_next_read()
    {
        await ReadOneAsync();
        _peer.LingerState = new LingerOption(true, 0);
        _peer.Dispose();

        Assert.That(_loop.Serve(Forever), Is.EqualTo(1));
        Assert.That(_loop.Serve(0), Is.Zero, "told again, and again: a loop that never sleeps");

        ValueTask<int> read = _stream.ReadAsync(new byte[10]);
        Assert.That(_loop.Serve(Forever), Is.EqualTo(1));
        Assert.That(await read, Is.Zero);
        Assert.That(_stream.Error, Is.EqualTo(SocketError.ConnectionReset));
    }

    [Test]
    public async Task After_a_write_that_had_to_wait_readiness_to_write_is_told_no_more()
    {
        ValueTask write = WriteThatWaits();
        Task reading = Task.Run(ReadItAll);

        while (!write.IsCompleted)
            _loop.Serve(Forever);
        await write;
        await reading.InTime();

        Assert.That(_loop.Serve(0), Is.Zero);
    }

    /// <summary>Epoll reports that the socket can be read and written. Meanwhile another thread, for example, has already read the bytes.</summary>
    [Test]
    public async Task A_read_that_finds_nothing_goes_on_waiting_when_a_write_was_due_too()
    {
        ValueTask<int> read = _stream.ReadAsync(new byte[10]);
        ValueTask write = WriteThatWaits();
        Task reading = Task.Run(ReadItAll);

        while (!write.IsCompleted)
            _stream.OnReady(Readiness.Read | Readiness.Write);
        await write;
        await reading.InTime();
        Assert.That(read.IsCompleted, Is.False);

        _peer.Send([1, 2, 3]);
        Assert.That(_loop.Serve(Forever), Is.EqualTo(1), "deaf");
        Assert.That(await read, Is.EqualTo(3));
    }

    [Test]
    public async Task A_socket_that_somebody_else_closed_ends_the_write_and_not_the_process()
    {
        ValueTask write = WriteThatWaits();
        _socket.Dispose();

        _stream.OnReady(Readiness.Write);

        await Assert.ThatAsync(() => write.AsTask().InTime(), Throws.InstanceOf<IOException>());
        Assert.That(_loop.Epoll!.Count, Is.Zero);
    }

    [Test]
    public async Task A_buffer_that_was_filled_is_followed_by_a_receive_that_does_not_wait()
    {
        _peer.Send([1, 2, 3]);
        ValueTask<int> first = _stream.ReadAsync(new byte[2]);
        _loop.Serve(Forever);
        Assert.That(await first, Is.EqualTo(2));

        ValueTask<int> second = _stream.ReadAsync(new byte[2]);
        Assert.That(second.IsCompleted, Is.True);
        Assert.That(await second, Is.EqualTo(1));

        ValueTask<int> third = _stream.ReadAsync(new byte[2]);
        Assert.That(third.IsCompleted, Is.False, "the second did not fill its buffer, so nothing is left");
    }

    [Test]
    public async Task A_peer_that_always_has_more_to_send_leaves_the_others_their_turn()
    {
        _peer.Send(new byte[100]);
        ValueTask<int> told = _stream.ReadAsync(new byte[1]);
        _loop.Serve(Forever);
        Assert.That(await told, Is.EqualTo(1));

        int inARow = 0;
        ValueTask<int> read = _stream.ReadAsync(new byte[1]);
        while (read.IsCompleted)
        {
            Assert.That(await read, Is.EqualTo(1));
            Assert.That(++inARow, Is.LessThan(10));
            read = _stream.ReadAsync(new byte[1]);
        }

        // The read now waits for the next report, after others that are ready, and then completes.
        Assert.That(_loop.Serve(Forever), Is.EqualTo(1));
        Assert.That(await read, Is.EqualTo(1));
    }

    [Test]
    public async Task A_stream_that_was_closed_is_told_nothing_and_its_place_is_free()
    {
        var reads = new List<Task<int>>();
        for (int i = 0; i < 100; i++)
        {
            var (peer, stream) = Connected();
            reads.Add(stream.ReadAsync(new byte[1]).AsTask());
            peer.Send([1]);
            await stream.DisposeAsync();
            peer.Dispose();
        }

        Assert.That(_loop.Serve(0), Is.Zero);
        Assert.That(_loop.Epoll!.Count, Is.EqualTo(1), "the stream of the set-up");
        Assert.That(await Task.WhenAll(reads).InTime(), Is.All.Zero, "a close ends the read");
    }

    [Test]
    public async Task Many_streams_are_told_apart()
    {
        var all = new List<(Socket Peer, EpollTransport Stream)>();
        for (int i = 0; i < 300; i++)
            all.Add(Connected());
        byte[][] buffers = [.. all.Select(_ => new byte[4])];
        ValueTask<int>[] reads = [.. all.Select((pair, i) => pair.Stream.ReadAsync(buffers[i]))];
        for (int i = 0; i < all.Count; i++)
            all[i].Peer.Send(BitConverter.GetBytes(i));

        while (!reads.All(read => read.IsCompleted))
            _loop.Serve(Forever);

        for (int i = 0; i < all.Count; i++)
        {
            Assert.That(await reads[i], Is.EqualTo(4));
            Assert.That(BitConverter.ToInt32(buffers[i]), Is.EqualTo(i));
            await all[i].Stream.DisposeAsync();
            all[i].Peer.Dispose();
        }
    }

    [Test]
    public async Task Sockets_of_low_priority_come_last_and_none_is_forgotten()
    {
        const int each = 20;
        var all = new List<(Socket Peer, EpollTransport Stream)>();
        var told = new List<bool>();
        for (int i = 0; i < 2 * each; i++)
        {
            (Socket peer, EpollTransport stream) = Connected();
            stream.IsLowPriority = i < each;
            all.Add((peer, stream));
        }
        Task[] reads = [.. Enumerable.Range(0, all.Count).Select(ReadAsync)];
        foreach ((Socket peer, _) in all)
            peer.Send([1]);

        while (told.Count < all.Count)
            _loop.Serve(Forever);

        await Task.WhenAll(reads);
        Assert.That(told.Take(each), Is.All.False, "low priority");
        Assert.That(told.Skip(each), Is.All.True, "low priority");
        foreach ((Socket peer, EpollTransport stream) in all)
        {
            await stream.DisposeAsync();
            peer.Dispose();
        }

        async Task ReadAsync(int place)
        {
            EpollTransport stream = all[place].Stream;
            Assert.That(await stream.ReadAsync(new byte[10]).ConfigureAwait(false), Is.EqualTo(1));
            told.Add(stream.IsLowPriority);
        }
    }

    [Test]
    public async Task A_socket_of_low_priority_may_be_closed_by_one_of_those_before_it()
    {
        (Socket peer, EpollTransport low) = Connected();
        using (peer)
        {
            low.IsLowPriority = true;
            ValueTask<int> read = low.ReadAsync(new byte[10]);
            Task closing = CloseAsync();
            peer.Send([1]);
            _peer.Send([1]);

            _loop.Serve(Forever);

            await closing.InTime();
            Assert.That(await read.InTime(), Is.Zero);
            Assert.That(_loop.Serve(0), Is.Zero);
            Assert.That(_loop.Epoll!.Count, Is.EqualTo(1), "the stream of the set-up");
        }

        async Task CloseAsync()
        {
            Assert.That(await _stream.ReadAsync(new byte[10]).ConfigureAwait(false), Is.EqualTo(1));
            await low.DisposeAsync();
        }
    }

    [Test]
    public async Task A_peer_that_had_more_than_its_turn_comes_after_the_others()
    {
        var told = new List<Socket>();
        var others = new List<(Socket Peer, EpollTransport Stream)> { Connected(), Connected() };
        _peer.Send(new byte[1000]);
        Task busy = ReadBytesAsync((_peer, _stream), 1000, () => told.Add(_peer));
        _loop.Serve(Forever);
        int inATurn = told.Count;
        Assert.That(_stream.Priority, Is.EqualTo(Priority.Busy));

        told.Clear();
        Task[] reads = [.. others.Select(pair => ReadBytesAsync(pair, 1, () => told.Add(pair.Peer)))];
        foreach ((Socket peer, _) in others)
            peer.Send([1]);
        // The busy socket became ready before the others, and epoll reported it before them.
        while (told.Count < others.Count + 1)
            _loop.Serve(Forever);
        Assert.That(told.Take(others.Count), Is.EquivalentTo(others.Select(pair => pair.Peer)));

        while (!busy.IsCompleted)
            _loop.Serve(Forever);
        await Task.WhenAll([busy, .. reads]);
        Assert.That(inATurn, Is.LessThan(10));
        foreach ((Socket peer, EpollTransport stream) in others)
        {
            await stream.DisposeAsync();
            peer.Dispose();
        }
    }

    [Test]
    public async Task A_peer_that_was_busy_and_pauses_is_as_good_as_any()
    {
        _peer.Send(new byte[6]);
        var buffer = new byte[1];
        for (int i = 0; i < 6; i++)
        {
            ValueTask<int> read = _stream.ReadAsync(buffer);
            while (!read.IsCompleted)
                _loop.Serve(Forever);
            Assert.That(await read, Is.EqualTo(1));
        }

        ValueTask<int> last = _stream.ReadAsync(buffer);

        Assert.That(last.IsCompleted, Is.False);
        Assert.That(_stream.Priority, Is.EqualTo(Priority.Normal));
    }

    /// <summary>This holds however long the turns of the other sockets are.</summary>
    [Test]
    public async Task Newcomers_and_busy_peers_have_a_turn_each_in_every_round()
    {
        var low = new List<(Socket Peer, EpollTransport Stream)>();
        for (int i = 0; i < 5; i++)
        {
            low.Add(Connected());
            low[i].Stream.IsLowPriority = true;
            low[i].Peer.Send([1]);
        }
        _peer.Send(new byte[1000]);
        int newcomers = 0;
        int receives = 0;
        Task busy = ReadBytesAsync((_peer, _stream), 1000, () => receives++);
        while (_stream.Priority != Priority.Busy)
            _loop.Serve(Forever);
        Task[] reads = [.. low.Select(pair => ReadBytesAsync(pair, 1, () => { newcomers++; Spend(TimingWheel.Tick); }))];

        int rounds = 0;
        while (newcomers < low.Count)
        {
            int before = receives;
            _loop.Serve(Forever);
            Assert.That(newcomers, Is.EqualTo(++rounds));
            Assert.That(receives, Is.GreaterThan(before));
        }

        while (!busy.IsCompleted)
            _loop.Serve(Forever);
        await Task.WhenAll([busy, .. reads]);
        foreach ((Socket peer, EpollTransport stream) in low)
        {
            await stream.DisposeAsync();
            peer.Dispose();
        }

        static void Spend(TimeSpan time)
        {
            long start = Stopwatch.GetTimestamp();
            while (Stopwatch.GetElapsedTime(start) < time)
                Thread.SpinWait(100);
        }
    }

    [Test]
    public async Task The_wheel_ticks_in_the_middle_of_a_long_round()
    {
        const int sockets = 80;
        var clock = new TestClock();
        using var loop = new EventLoop(clock.Wheel);
        var entry = new Counter();
        clock.Wheel.Schedule(entry, clock.Now);
        var all = new List<(Socket Peer, EpollTransport Stream)>();
        for (int i = 0; i < sockets; i++)
        {
            (Socket peer, Socket socket) = SocketPair.Connect();
            all.Add((peer, (EpollTransport)loop.Attach(socket)));
        }
        int served = 0;
        Task[] reads = [.. all.Select(pair => ReadBytesAsync(pair, 1, ServeForAnEighthOfATick))];
        foreach ((Socket peer, _) in all)
            peer.Send([1]);

        while (served < sockets)
            loop.Serve(Forever);

        await Task.WhenAll(reads);
        Assert.That(entry.Calls, Is.EqualTo(sockets / 8), "once for each tick that passed");
        Assert.That(clock.Wheel.MaxLateness, Is.LessThanOrEqualTo(TimingWheel.Tick));
        foreach ((Socket peer, EpollTransport stream) in all)
        {
            await stream.DisposeAsync();
            peer.Dispose();
        }

        void ServeForAnEighthOfATick()
        {
            clock.Time.Advance(TimingWheel.Tick / 8);
            served++;
        }
    }

    [Test]
    public async Task A_read_that_is_cancelled_ends_and_the_next_goes_on()
    {
        var first = new byte[10];
        ValueTask<int> read = _stream.ReadAsync(first);

        _stream.CancelRead();

        Assert.That(await read.InTime(), Is.EqualTo(Transport.Cancelled));
        _peer.Send([1, 2, 3]);
        ValueTask<int> next = _stream.ReadAsync(new byte[10]);
        _loop.Serve(Forever);
        Assert.That(await next.InTime(), Is.EqualTo(3));
        Assert.That(first, Is.All.Zero, "its buffer is free");
    }

    [Test]
    public async Task A_cancellation_without_a_read_ends_the_next_one_and_no_other()
    {
        _stream.CancelRead();

        Assert.That(await _stream.ReadAsync(new byte[10]).InTime(), Is.EqualTo(Transport.Cancelled));
        ValueTask<int> read = _stream.ReadAsync(new byte[10]);
        Assert.That(read.IsCompleted, Is.False);
        _peer.Send([1]);
        _loop.Serve(Forever);
        Assert.That(await read.InTime(), Is.EqualTo(1));
    }

    [Test]
    public async Task A_closed_stream_has_nothing_to_cancel()
    {
        ValueTask<int> read = _stream.ReadAsync(new byte[10]);
        await _stream.DisposeAsync();

        _stream.CancelRead();

        Assert.That(await read.InTime(), Is.Zero);
        Assert.That(await _stream.ReadAsync(new byte[10]).InTime(), Is.Zero);
    }

    [Test]
    public async Task Wake_ends_a_wait_and_only_one()
    {
        Task<int> waiting = Task.Run(() => _loop.Serve(Forever));

        _loop.Epoll!.Wake();

        Assert.That(await waiting.InTime(), Is.EqualTo(1));
        Assert.That(_loop.Serve(0), Is.Zero);
    }

    /// <summary>Writes more than the kernel takes while the peer does not read.</summary>
    private ValueTask WriteThatWaits()
    {
        ValueTask write = _stream.WriteAsync(new byte[Much]);
        Assert.That(write.IsCompleted, Is.False, "it has to wait: the peer does not read");
        return write;
    }

    /// <summary>Lets the peer read all of it.</summary>
    private void ReadItAll()
    {
        var part = new byte[64 * 1024];
        for (int received = 0; received < Much;)
            received += _peer.Receive(part);
    }

    private async Task ReadOneAsync()
    {
        _peer.Send([1]);
        ValueTask<int> read = _stream.ReadAsync(new byte[10]);
        _loop.Serve(Forever);
        Assert.That(await read, Is.EqualTo(1));
    }

    private static async Task ReadBytesAsync((Socket Peer, EpollTransport Stream) pair, int count, Action done)
    {
        for (int i = 0; i < count; i++)
        {
            Assert.That(await pair.Stream.ReadAsync(new byte[1]).ConfigureAwait(false), Is.EqualTo(1));
            done();
        }
    }

    /// <summary>Wants to be called at each tick.</summary>
    private sealed class Counter : WheelEntry
    {
        public int Calls { get; private set; }

        protected internal override TimeSpan OnDue(TimeSpan now, TimeSpan stall)
        {
            Calls++;
            return now;
        }
    }

    private (Socket Peer, EpollTransport Stream) Connected()
    {
        (Socket peer, _socket) = SocketPair.Connect();
        return (peer, (EpollTransport)_loop.Attach(_socket));
    }
}
