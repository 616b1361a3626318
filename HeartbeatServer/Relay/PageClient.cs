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
    private Func<TimeSpan, TimeSpan, Refusal?>? _look;

    // The pool's threads say what is awaited, and the loop's thread looks. The lock guards these fields. The transport knows one wait or watch at a time.
    private readonly Lock _gate = new();
    private Reading _reading;
    private Deadline _deadline = new(Heartbeat.Never);
    private Task _wait = Task.CompletedTask;
    private Task _continue = Task.CompletedTask;
    private bool _hasAnswer;
    private bool _isWriting;
    private readonly SendProgress _progress = new();

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

    /// <summary>What is read from the client, and what for.</summary>
    private enum Reading
    {
        /// <summary>Nothing: its last bytes are on their way to the application.</summary>
        Nothing,
        /// <summary>Its end. What it sends stays with the kernel.</summary>
        End,
        /// <summary>More of its body. The wait for it is about to begin.</summary>
        BodySoon,
        /// <summary>More of its body. The wait for it can be cancelled.</summary>
        Body,
        /// <summary>Nothing any more.</summary>
        Over,
        /// <summary>All up to its end, which is thrown away. It has its answer.</summary>
        Rest,
    }

    /// <summary>The present time, as the looks have it.</summary>
    public TimeSpan Now => _loop.Wheel.Now;

    /// <summary>Answers a request that is refused before its body was read.</summary>
    public static async Task RefuseAsync(HttpRequest request, Refusal refusal)
    {
        try
        {
            await using var client = new PageClient(request.TakeOver(out _), early: default, request.Loop, patience: LingerFor);
            await client.WriteAsync(HttpReply.To(refusal).ToBytes(isToHead: request.Head.Method == "HEAD"));
            await client.EndAsync();
        }
        catch (IOException)
        {
            // The client has gone, and needs no answer.
        }
    }

    /// <summary>Begins to watch the client.</summary>
    /// <param name="failed">Called when the client has gone, or does not do what is awaited. It may be called more than once, on any thread.</param>
    /// <param name="look">
    /// Looks at the other leg, whenever the client is looked at. It gets the present time and how late the look is, and returns what is wrong there; null if nothing is.
    /// </param>
    public void Begin(Action<Refusal> failed, Func<TimeSpan, TimeSpan, Refusal?> look)
    {
        (_failed, _look) = (failed, look);
        _loop.Wheel.Schedule(this, Now + (_patience / Looks));
        Watch();
    }

    /// <summary>Waits until the client has sent something, or has ended the connection. <see cref="TryRead"/> tells which.</summary>
    /// <exception cref="UpstreamException">The kernel has no room to watch the socket.</exception>
    /// <exception cref="OperationCanceledException"><see cref="StopReading"/> was called.</exception>
    public Task WaitAsync()
    {
        if (!_early.IsEmpty)
            return Task.CompletedTask;
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        bool isWatched;
        lock (_gate)
        {
            if (_reading >= Reading.Over)
                throw new OperationCanceledException();
            isWatched = _reading == Reading.End;
            (_reading, _deadline, _wait) = (Reading.BodySoon, new Deadline(Now + _patience), ended.Task);
        }
        return WaitReadableAsync(isWatched, ended);
    }

    /// <inheritdoc cref="Transport.TryRead"/>
    /// <exception cref="UpstreamException">The client's TLS is no good.</exception>
    public int TryRead(Memory<byte> buffer)
    {
        if (!_early.IsEmpty)
        {
            int count = Math.Min(buffer.Length, _early.Length);
            _early[..count].CopyTo(buffer);
            _early = _early[count..];
            return count;
        }
        try
        {
            return _transport.TryRead(buffer);
        }
        catch (IOException e)
        {
            throw new UpstreamException(Refusals.Lost(e));
        }
    }

    /// <summary>Ends a wait that is in progress, and lets none begin.</summary>
    public void StopReading()
    {
        bool isWaiting;
        lock (_gate)
        {
            isWaiting = _reading == Reading.Body;
            if (_reading < Reading.Over)
                _reading = Reading.Over;
        }
        if (isWaiting)
            _transport.CancelRead();
    }

    /// <summary>Watches whether the client has gone. The bytes that it sends meanwhile stay with the kernel.</summary>
    public void Watch()
    {
        try
        {
            lock (_gate)
            {
                if (_reading != Reading.Nothing)
                    return;
                _reading = Reading.End;
                _transport.WhenEnded(() => _failed!(Refusals.Gone));
            }
        }
        catch (IOException e)
        {
            _failed!(Refusals.Lost(e)); // the kernel has no room to watch the socket
        }
    }

    /// <summary>Asks for the body of a client that waits for that (RFC 9110 section 15.2.1), unless it has its answer already.</summary>
    /// <exception cref="UpstreamException">The client has gone.</exception>
    public void Continue()
    {
        var sent = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            if (_hasAnswer)
                return;
            _continue = sent.Task;
        }
        try
        {
            _transport.Send("HTTP/1.1 100 Continue\r\n\r\n"u8);
        }
        catch (IOException e)
        {
            throw new UpstreamException(Refusals.Lost(e));
        }
        finally
        {
            sent.SetResult();
        }
    }

    /// <exception cref="IOException">The client has gone.</exception>
    public async ValueTask WriteAsync(ReadOnlyMemory<byte> bytes)
    {
        Task before;
        lock (_gate)
            (_hasAnswer, before) = (true, _continue);
        await before;
        ValueTask write = _transport.WriteAsync(bytes);
        if (!write.IsCompleted)
        {
            lock (_gate)
            {
                _progress.Begin(Now);
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
        TimeSpan until = Now + LingerFor;
        Task wait;
        StopReading();
        lock (_gate)
            (_reading, _deadline, wait) = (Reading.Rest, new Deadline(until), _wait);
        _loop.Wheel.Schedule(this, until);
        _transport.ShutdownSend();
        await wait;
        try
        {
            await _loop.ReturnAsync();
            _transport.EndWatch();
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
            // The kernel has no room to watch the socket, or the client's TLS is no good. It has its answer.
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
        bool isOver, lingers;
        lock (_gate)
        {
            (isOver, lingers) = (_deadline.IsOver(now, stall), _reading == Reading.Rest);
            if (isOver && !lingers)
                failure = new Refusal(RefusalReason.RequestTimeout, $"nothing of the request's body came for {_patience.TotalSeconds:0.###}s");
            if (_isWriting)
            {
                _progress.Forgive(stall);
                if (_transport.Tcp is { } tcp)
                    _progress.Look(tcp, now);
                if (now - _progress.LastMove >= _patience)
                    failure = new Refusal(RefusalReason.ClientGone, $"the client took no byte for {_patience.TotalSeconds:0.###}s, though bytes wait for it");
            }
        }
        if (lingers)
        {
            if (!isOver)
                return now + (LingerFor / Looks);
            _transport.Dispose();
            return Heartbeat.Never;
        }
        if ((failure ?? _look!(now, stall)) is { } reason)
            _failed!(reason);
        return now + (_patience / Looks);
    }

    private async Task WaitReadableAsync(bool isWatched, TaskCompletionSource ended)
    {
        try
        {
            if (isWatched)
            {
                await _loop.ReturnAsync();
                _transport.EndWatch();
            }
            ValueTask<int> wait = _transport.WaitReadableAsync(isBusy: false);
            bool isOver;
            lock (_gate)
            {
                isOver = _reading != Reading.BodySoon;
                if (!isOver)
                    _reading = Reading.Body;
            }
            // Nobody could cancel the wait before it began.
            if (isOver)
                _transport.CancelRead();
            if (await wait == Transport.Cancelled)
                throw new OperationCanceledException();
        }
        catch (IOException e)
        {
            throw new UpstreamException(Refusals.Lost(e));
        }
        finally
        {
            lock (_gate)
            {
                if (_reading < Reading.Over)
                    (_reading, _deadline) = (Reading.Nothing, new Deadline(Heartbeat.Never));
            }
            ended.SetResult();
        }
    }
}
