using System.Runtime.Versioning;
using HeartbeatServer.Engine;
using HeartbeatServer.Http;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Relay;

/// <summary>
/// The client of a page: the body of its request comes from it, and the answer goes to it. It is watched all the time: whether it is still there, whether it
/// takes bytes that wait for it, and whether it sends those that are awaited. Reads and writes run in the thread pool, and the looks on the event loop.
/// </summary>
[SupportedOSPlatform("linux")]
internal sealed class PageClient : WheelEntry, IAsyncDisposable
{
    /// <summary>How long a client may take to read the end of its answer and to close its connection.</summary>
    private static readonly TimeSpan LingerFor = TimeSpan.FromSeconds(5);

    /// <summary>How often to look at a client within its patience.</summary>
    private const int Looks = 4;

    private readonly EpollTransport _transport;
    private readonly EventLoop _loop;
    private readonly TimeSpan _patience;
    private ReadOnlyMemory<byte> _early;
    private Action<Refusal>? _failed;
    private Func<Refusal?>? _look;
    private Task _wait = Task.CompletedTask;

    // The pool's threads say what is awaited, and the loop's thread looks. The lock guards these fields. The transport knows one wait or watch at a time.
    private readonly Lock _gate = new();
    private bool _isWatched;
    private bool _isWaiting;
    private bool _isOver;
    private bool _hasAnswer;
    private readonly SendProgress _progress = new();
    private TimeSpan _readSince = Heartbeat.Never;
    private TimeSpan _lingersUntil = Heartbeat.Never;
    private bool _isWriting;

    /// <param name="transport">The client's connection, from which nobody else reads. The page's client owns it.</param>
    /// <param name="early">The bytes that came behind the head.</param>
    /// <param name="loop">The event loop of the connection.</param>
    /// <param name="patience">How long the client may take no byte that waits for it, or send none that is awaited (<c>--write-timeout</c>).</param>
    public PageClient(EpollTransport transport, ReadOnlyMemory<byte> early, EventLoop loop, TimeSpan patience)
    {
        (_transport, _loop, _patience) = (transport, loop, patience);
        transport.GoesOnInPool = true;
        _early = early.ToArray(); // a copy: the head stands in the same array
    }

    /// <summary>Answers a request that is refused before its body was read.</summary>
    /// <exception cref="IOException">The client has gone.</exception>
    public static async Task RefuseAsync(HttpRequest request, Refusal refusal)
    {
        await using var client = new PageClient(request.TakeOver(out _), early: default, request.Loop, patience: LingerFor);
        await client.WriteAsync(HttpReply.To(refusal).ToBytes(isToHead: request.Head.Method == "HEAD"));
        await client.EndAsync();
    }

    /// <summary>Begins to watch the client.</summary>
    /// <param name="failed">Called when the client has gone, or does not do what is awaited. It may be called more than once, on any thread.</param>
    /// <param name="look">Looks at the other leg, whenever the client is looked at. It returns what is wrong there; null if nothing is.</param>
    public void Begin(Action<Refusal> failed, Func<Refusal?> look)
    {
        (_failed, _look) = (failed, look);
        _loop.Wheel.Schedule(this, _loop.Wheel.Now + (_patience / Looks));
        Watch();
    }

    /// <summary>Waits until the client has sent something, or has ended the connection. <see cref="TryRead"/> tells which.</summary>
    /// <exception cref="IOException">The kernel has no room to watch the socket.</exception>
    /// <exception cref="OperationCanceledException"><see cref="StopReading"/> was called.</exception>
    public Task WaitAsync()
    {
        lock (_gate)
        {
            if (!_early.IsEmpty)
                return Task.CompletedTask;
            _readSince = _loop.Wheel.Now;
            return _wait = WaitReadableAsync(_isWatched);
        }
    }

    /// <inheritdoc cref="Transport.TryRead"/>
    public int TryRead(Memory<byte> buffer)
    {
        if (_early.IsEmpty)
            return _transport.TryRead(buffer);
        int count = Math.Min(buffer.Length, _early.Length);
        _early[..count].CopyTo(buffer);
        _early = _early[count..];
        return count;
    }

    /// <summary>Ends a wait that is in progress, and lets none begin.</summary>
    public void StopReading()
    {
        lock (_gate)
        {
            if (!_isOver && _isWaiting)
                _transport.CancelRead();
            _isOver = true;
        }
    }

    /// <summary>Watches whether the client has gone. The bytes that it sends meanwhile stay with the kernel.</summary>
    public void Watch()
    {
        try
        {
            lock (_gate)
            {
                if (_isWatched || _isOver)
                    return;
                _isWatched = true;
                _transport.WhenEnded(() => _failed!(Refusals.Gone));
            }
        }
        catch (IOException)
        {
            _failed!(Refusals.Gone); // the kernel has no room to watch the socket
        }
    }

    /// <summary>Asks for the body of a client that waits for that (RFC 9110 section 15.2.1), unless it has its answer already.</summary>
    /// <exception cref="IOException">The client has gone.</exception>
    public void Continue()
    {
        lock (_gate)
        {
            if (!_hasAnswer)
                _transport.Send("HTTP/1.1 100 Continue\r\n\r\n"u8);
        }
    }

    /// <exception cref="IOException">The client has gone.</exception>
    public async ValueTask WriteAsync(ReadOnlyMemory<byte> bytes)
    {
        lock (_gate)
            _hasAnswer = true;
        ValueTask write = _transport.WriteAsync(bytes);
        if (!write.IsCompleted)
        {
            lock (_gate)
            {
                _progress.Begin(_loop.Wheel.Now);
                _isWriting = true;
            }
        }
        try
        {
            await write;
        }
        finally
        {
            lock (_gate)
                _isWriting = false;
        }
    }

    /// <summary>Sends FIN behind the answer, and waits for the client's own. What the client sends meanwhile is thrown away.</summary>
    /// <remarks>
    /// If the connection were closed at once, the kernel would answer the rest of a body, or a second request, with RST. RST may destroy the answer on its way
    /// (RFC 9112 section 9.6).
    /// </remarks>
    public async Task EndAsync()
    {
        TimeSpan until = _loop.Wheel.Now + LingerFor;
        lock (_gate)
            _lingersUntil = until;
        _loop.Wheel.Schedule(this, until);
        _transport.ShutdownSend();
        StopReading();
        await _wait.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        try
        {
            await _loop.ReturnAsync(); // there the waits below take the place of the watch
            int count;
            do
            {
                await _transport.WaitReadableAsync(isBusy: true);
                byte[] ignored = LoopBuffer.Take(isSmall: false);
                count = _transport.TryRead(ignored);
                LoopBuffer.Return(ignored);
            }
            while (count != 0);
        }
        catch (IOException)
        {
            // The kernel has no room to watch the socket.
        }
    }

    /// <summary>Closes the connection with RST: a client that has no other sign sees that its answer is not whole.</summary>
    public void Abort() => _transport.Abort();

    /// <summary>Closes the connection. What has left goes on to the client.</summary>
    public void Close() => _transport.Dispose();

    public ValueTask DisposeAsync()
    {
        _loop.Wheel.Remove(this);
        return _transport.DisposeAsync();
    }

    protected internal override TimeSpan OnDue(TimeSpan now, TimeSpan stall)
    {
        Refusal? failure = null;
        lock (_gate)
        {
            if (now >= _lingersUntil)
            {
                _transport.Dispose();
                return Heartbeat.Never;
            }
            if (_readSince != Heartbeat.Never)
            {
                _readSince += stall;
                if (now - _readSince >= _patience)
                    failure = new Refusal(RefusalReason.RequestTimeout, $"nothing of the request's body came for {_patience.TotalSeconds:0.###}s");
            }
            if (_isWriting)
            {
                _progress.Forgive(stall);
                if (_transport.Tcp is { } tcp)
                    _progress.Look(tcp, now);
                if (now - _progress.LastMove >= _patience)
                    failure = new Refusal(RefusalReason.ClientGone, $"the client took no byte for {_patience.TotalSeconds:0.###}s, though bytes wait for it");
            }
        }
        if ((failure ?? _look!()) is { } reason)
            _failed!(reason);
        return now + (_patience / Looks);
    }

    private async Task WaitReadableAsync(bool isWatched)
    {
        try
        {
            // On the loop's thread the wait takes the place of the watch.
            if (isWatched)
                await _loop.ReturnAsync();
            ValueTask<int> wait;
            lock (_gate)
            {
                if (_isOver)
                    throw new OperationCanceledException();
                (_isWatched, _isWaiting) = (false, true);
                wait = _transport.WaitReadableAsync(isBusy: false);
            }
            if (await wait == Transport.Cancelled)
                throw new OperationCanceledException();
        }
        finally
        {
            lock (_gate)
                (_isWaiting, _readSince) = (false, Heartbeat.Never);
        }
    }
}
