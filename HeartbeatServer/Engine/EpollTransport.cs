using System.Net.Sockets;
using System.Runtime.Versioning;
using System.Threading.Tasks.Sources;

namespace HeartbeatServer.Engine;

/// <summary>
/// A socket that an <see cref="Epoll"/> watches. A read waits to be told that there is something, and then receives once, on the thread of
/// the event loop, which goes on with whatever awaits it.
/// </summary>
[SupportedOSPlatform("linux")]
internal sealed class EpollTransport : SocketTransport, IReady, IValueTaskSource<int>
{
    private readonly Epoll _epoll;
    private readonly int _descriptor;
    private readonly int _token;

    // The gate guards what the loop's thread and others share: what is waited for, and what the kernel was asked to watch. The descriptor is
    // used under it only, and only before the socket is closed: its number may be another's afterwards.
    private readonly Lock _gate = new();
    private bool _reading;
    private TaskCompletionSource? _writable;
    private Readiness _watched;
    private bool _closed;

    // Of the read in progress, or the last.
    private Memory<byte> _buffer;
    private ManualResetValueTaskSourceCore<int> _read;
    private bool _filled;
    private int _turn;
    private bool _isBusy;
    private SocketError _receiveError;

    /// <param name="socket">Connected, and known to no other epoll instance.</param>
    /// <param name="epoll">That watches it.</param>
    public EpollTransport(Socket socket, Epoll epoll)
        : base(socket)
    {
        (_epoll, _descriptor) = (epoll, (int)socket.SafeHandle.DangerousGetHandle());
        _token = epoll.Enter(this);
    }

    public Priority Priority => IsLowPriority ? Priority.Low : _isBusy ? Priority.Busy : Priority.Normal;

    protected override SocketError ReceiveError => _receiveError;

    public void OnReady(Readiness ready)
    {
        bool isGone = (ready & (Readiness.HangUp | Readiness.Error)) != 0;
        bool reads;
        TaskCompletionSource? writable;
        try
        {
            lock (_gate)
            {
                if (_closed)
                    return;
                reads = _reading && (isGone || (ready & Readiness.Read) != 0);
                writable = isGone || (ready & Readiness.Write) != 0 ? _writable : null;
                // What was told and concerns nobody now would be told again at once. A reader is back before the next wait, as a rule, or
                // goes on waiting if it finds nothing: it stays watched.
                if (writable is not null || !reads)
                    Watch((_reading ? Readiness.Read : 0) | (_writable == writable ? 0 : Readiness.Write));
                if (reads)
                    _reading = false;
                if (writable is not null)
                    _writable = null;
            }
        }
        catch (IOException)
        {
            // The kernel does not know the socket: it was closed behind our back. Whoever waits for it is told so.
            CloseSocket();
            return;
        }
        if (reads && Receive(out int count))
            _read.SetResult(count);
        writable?.SetResult();
    }

    /// <summary>Receives what is there, without waiting.</summary>
    /// <returns>The bytes received; 0 for the end; -1 if there is nothing yet.</returns>
    public int TryRead(Memory<byte> buffer)
    {
        _buffer = buffer;
        return TryReceive();
    }

    public override void WhenReadable(Action ready)
    {
        (_buffer, _turn) = (default, 0);
        _read.Reset();
        // Before it is waited for: nobody else's thread shall go on with it.
        _read.OnCompleted(static ready => ((Action)ready!)(), ready, _read.Version, ValueTaskSourceOnCompletedFlags.None);
        lock (_gate)
        {
            if (_closed)
                return;
            Watch(_watched | Readiness.Read);
            _reading = true;
        }
    }

    public override void StopWaiting()
    {
        lock (_gate)
        {
            if (!_closed)
                Watch(Readiness.None);
        }
    }

    protected override ValueTask<int> ReceiveAsync(Memory<byte> buffer)
    {
        _buffer = buffer;
        // A full buffer is a sign that more is waiting; so is that of WhenReadable, which is full as soon as there is something.
        if (_filled && _turn++ < (IsLowPriority ? 1 : ReadsInTurn))
        {
            _filled = false;
            int count = TryReceive();
            if (count >= 0)
                return new(count);
        }
        // Its turn was not long enough for what the peer has sent.
        (_isBusy, _turn) = (_filled, 0);
        _read.Reset();
        try
        {
            lock (_gate)
            {
                if (_closed)
                    return new(End(SocketError.OperationAborted));
                Watch(_watched | Readiness.Read);
                _reading = true;
            }
        }
        catch (IOException e)
        {
            return ValueTask.FromException<int>(e);
        }
        return new(this, _read.Version);
    }

    protected override async ValueTask SendRestAsync(ReadOnlyMemory<byte> rest)
    {
        while (!rest.IsEmpty)
        {
            Task writable;
            lock (_gate)
            {
                ObjectDisposedException.ThrowIf(_closed, this);
                _writable = new TaskCompletionSource();
                writable = _writable.Task;
                Watch(_watched | Readiness.Write);
            }
            await writable;
            rest = rest[TrySend(rest.Span)..];
        }
    }

    protected override void CloseSocket()
    {
        bool reads;
        TaskCompletionSource? writable;
        lock (_gate)
        {
            if (_closed)
                return;
            _closed = true;
            (reads, _reading) = (_reading, false);
            (writable, _writable) = (_writable, null);
        }
        _epoll.Leave(_token);
        Socket.Dispose();
        if (!reads && writable is null)
            return;
        // Not on this thread: the caller may hold what they need.
        ThreadPool.UnsafeQueueUserWorkItem(static end => end(), Ended, preferLocal: false);

        void Ended()
        {
            if (reads)
                _read.SetResult(End(SocketError.OperationAborted));
            writable?.SetResult();
        }
    }

    int IValueTaskSource<int>.GetResult(short token) => _read.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<int>.GetStatus(short token) => _read.GetStatus(token);

    void IValueTaskSource<int>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _read.OnCompleted(continuation, state, token, flags);

    /// <summary>Asks the kernel for something else, if it is. Under the gate.</summary>
    private void Watch(Readiness wanted)
    {
        if (wanted == _watched)
            return;
        _epoll.Watch(_descriptor, _token, _watched, wanted);
        _watched = wanted;
    }

    /// <summary>Receives once.</summary>
    /// <returns>False if there was nothing after all, and the read goes on waiting.</returns>
    private bool Receive(out int count)
    {
        count = TryReceive();
        if (count >= 0)
            return true;
        lock (_gate)
        {
            if (!_closed)
            {
                _reading = true;
                return false;
            }
        }
        count = End(SocketError.OperationAborted);
        return true;
    }

    /// <returns>The bytes received; 0 for the end; -1 if there is nothing yet.</returns>
    private int TryReceive()
    {
        _filled = _buffer.IsEmpty;
        if (_filled)
            return 0;
        try
        {
            int count = Socket.Receive(_buffer.Span, SocketFlags.None, out SocketError error);
            if (error == SocketError.WouldBlock)
                return -1;
            if (error != SocketError.Success)
                return End(error);
            _filled = count == _buffer.Length;
            return count;
        }
        catch (ObjectDisposedException)
        {
            return End(SocketError.OperationAborted);
        }
    }

    private int End(SocketError error)
    {
        _receiveError = error;
        return 0;
    }
}
