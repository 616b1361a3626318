using System.Diagnostics.CodeAnalysis;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using System.Threading.Tasks.Sources;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Engine;

/// <summary>
/// A socket that an <see cref="Epoll"/> watches. A read waits until epoll reports the socket. Then the thread of the event loop receives once, and
/// runs the code that awaits the read.
/// </summary>
[SupportedOSPlatform("linux")]
[SuppressMessage("Usage", "CA2213", Justification = "CloseSocket disposes of it.")]
internal class EpollTransport : SocketTransport, IReady, IValueTaskSource<int>
{
    private readonly Epoll _epoll;
    private readonly int _descriptor;
    private readonly int _token;

    // The descriptor, in the framework's socket or out of it. Calls on it are counted, and its number is not that of another file meanwhile.
    private SafeHandle _handle;

    // The loop's thread and others share these fields: what the read in progress waits for (nothing if there is none), who waits to write, and what the
    // kernel was asked to watch. The gate guards them. Epoll takes the bare number of the descriptor. It gets that only under the gate, and only before the
    // socket is closed: afterwards the number may belong to another file.
    private readonly Lock _gate = new();
    private Readiness _awaited;
    private TaskCompletionSource? _writable;
    private Readiness _watched;
    private bool _isCancelled;
    private bool _closed;

    // These fields describe the read in progress, or the last read.
    private Memory<byte> _buffer;
    private ManualResetValueTaskSourceCore<int> _read;
    private bool _filled;
    private int _turn;
    private bool _isBusy;
    private bool _hasEnded;

    /// <param name="socket">A connected socket, which no other epoll instance watches.</param>
    /// <param name="epoll">The instance that is to watch the socket.</param>
    public EpollTransport(Socket socket, Epoll epoll)
    {
        (Socket, _handle, _epoll) = (socket, socket.SafeHandle, epoll);
        _descriptor = (int)_handle.DangerousGetHandle();
        _token = epoll.Enter(this);
    }

    /// <summary>The framework's socket, which the transport owns; null after <see cref="LeaveSocket"/>.</summary>
    public Socket? Socket { get; private set; }

    public override TcpInfo? Tcp => TcpHandle.Info(_handle);

    /// <summary>Whether the event loop serves the other ready sockets first.</summary>
    public bool IsLowPriority { get; set; }

    /// <summary>
    /// Whether a wait that is not busy means that the socket is empty: its last receive did not fill the buffer. Then the kernel need not look again
    /// before something comes, which is a tenth of the cost of a small message.
    /// </summary>
    public bool IsEmptied { get; set; }

    /// <summary>
    /// Whether what awaits a read, a wait or a write goes on in the thread pool, and not on the thread of the event loop. It is set before the first of them.
    /// </summary>
    public bool GoesOnInPool
    {
        get => _read.RunContinuationsAsynchronously;
        set => _read.RunContinuationsAsynchronously = value;
    }

    public Priority Priority => IsLowPriority ? Priority.Low : _isBusy ? Priority.Busy : Priority.Normal;

    public void OnReady(Readiness ready)
    {
        bool isGone = (ready & (Readiness.HangUp | Readiness.Error)) != 0;
        Readiness read = Readiness.None;
        TaskCompletionSource? writable;
        try
        {
            lock (_gate)
            {
                if (_closed)
                    return;
                _hasEnded |= isGone || (ready & Readiness.PeerEnd) != 0;
                if (isGone || IsAnswered(_awaited, ready))
                    (read, _awaited) = (_awaited, Readiness.None);
                writable = isGone || (ready & Readiness.Write) != 0 ? _writable : null;
                // Epoll would report again at once what nobody waits for, so that watch ends here. The watch for a reader stays: as a rule
                // the reader waits again before the next round. A reader that finds nothing goes on waiting.
                if (writable is not null || read == Readiness.None)
                    Watch(_awaited | read | (_writable == writable ? 0 : Readiness.Write));
                if (writable is not null)
                    _writable = null;
            }
        }
        catch (IOException)
        {
            // The kernel does not know the socket, because somebody else has closed it. Closing our side ends the reads and writes that wait.
            CloseSocket();
            return;
        }
        if (read != Readiness.None && Receive(read, out int count))
            _read.SetResult(count);
        writable?.SetResult();
    }

    /// <summary>
    /// Takes the descriptor out of the framework's socket, which nobody needs any more and which is not small. No read or write may be in progress.
    /// </summary>
    public void LeaveSocket()
    {
        lock (_gate)
        {
            if (_closed || Socket is null)
                return;
            _handle = new TcpHandle(Socket, () => _epoll.Leave(_token));
            Socket = null;
        }
    }

    /// <summary>
    /// Calls <paramref name="ready"/> once, when there are bytes to read or the connection has ended. The call comes on the thread that serves this
    /// socket, unless another thread has closed the socket. A read or a wait that begins on that thread before the call takes its place.
    /// </summary>
    /// <exception cref="IOException">The kernel has no room to watch the socket.</exception>
    public virtual void WhenReadable(Action ready) => When(Readiness.Read, ready);

    /// <summary>Calls <paramref name="ready"/> once, when the peer has ended the connection. It leaves the bytes before the end to the kernel.</summary>
    /// <inheritdoc cref="WhenReadable"/>
    public virtual void WhenEnded(Action ready) => When(Readiness.PeerEnd, ready);

    /// <summary>Waits until the peer has ended the connection. It leaves the bytes before the end to the kernel. No step of TLS may be in progress.</summary>
    /// <returns>0; <see cref="SocketTransport.Error"/> says how it has ended.</returns>
    /// <exception cref="IOException">The kernel has no room to watch the socket.</exception>
    public async ValueTask<int> WaitEndAsync()
    {
        (_buffer, _turn, _isBusy) = (default, 0, false);
        await WaitAsync(Readiness.PeerEnd);
        LearnEnd();
        return 0;
    }

    /// <summary>
    /// Asks the kernel how the peer has ended the connection, for somebody who does not read up to the end. From then on <see cref="SocketTransport.Error"/>
    /// says it.
    /// </summary>
    public void LearnEnd()
    {
        if (ReceiveError == SocketError.Success)
            ReceiveError = TcpHandle.TakeError(_handle);
    }

    /// <summary>Ends what <see cref="WhenReadable"/> or <see cref="WhenEnded"/> has begun, without a call. The thread that serves this socket calls this.</summary>
    public void EndWatch()
    {
        lock (_gate)
            _awaited = Readiness.None;
    }

    protected override ValueTask<int> WaitAsync(bool isBusy)
    {
        (_buffer, _turn, _isBusy) = (default, 0, isBusy);
        // The kernel tells once of bytes and of the end behind them. If the end is there already, it has to tell again.
        bool isEmpty = IsEmptied && !isBusy && !_hasEnded;
        return WaitAsync(isEmpty ? Readiness.Read | Readiness.PeerEnd | Readiness.Edge : Readiness.Read);
    }

    public override void StopWaiting()
    {
        lock (_gate)
        {
            if (!_closed)
                Watch(Readiness.None);
        }
    }

    public override void CancelRead()
    {
        bool reads;
        lock (_gate)
        {
            if (_closed)
                return;
            (reads, _awaited) = (_awaited != Readiness.None, Readiness.None);
            _isCancelled = !reads;
        }
        if (reads)
            ThreadPool.UnsafeQueueUserWorkItem(static transport => transport.EndCancelled(), this, preferLocal: false);
    }

    protected override ValueTask<int> ReceiveAsync(Memory<byte> buffer)
    {
        _buffer = buffer;
        // When the last receive filled its buffer, more bytes are probably waiting. The empty buffer of WhenReadable counts as full.
        if (_filled && _turn++ < (IsLowPriority ? 1 : ReadsInTurn))
        {
            _filled = false;
            int count = TryReceive();
            if (count >= 0)
                return new(count);
        }
        // If the last receive filled its buffer, the turn was too short for all that the peer has sent.
        (_isBusy, _turn) = (_filled, 0);
        return WaitAsync(Readiness.Read);
    }

    protected override async ValueTask SendRestAsync(ReadOnlyMemory<byte> rest)
    {
        while (!rest.IsEmpty)
        {
            Task writable;
            lock (_gate)
            {
                ObjectDisposedException.ThrowIf(_closed, this);
                _writable = new TaskCompletionSource(GoesOnInPool ? TaskCreationOptions.RunContinuationsAsynchronously : TaskCreationOptions.None);
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
            (reads, _awaited) = (_awaited != Readiness.None, Readiness.None);
            (writable, _writable) = (_writable, null);
        }
        // The token becomes free after the close: as long as the descriptor is open, the kernel may report it.
        if (Socket is null)
        {
            _handle.Dispose();
        }
        else
        {
            Socket.Dispose();
            _epoll.Leave(_token);
        }
        if (!reads && writable is null)
            return;
        // The waiting code does not run on this thread: the caller may hold a lock that it needs.
        ThreadPool.UnsafeQueueUserWorkItem(static end => end(), Ended, preferLocal: false);

        void Ended()
        {
            if (reads)
                _read.SetResult(End(SocketError.OperationAborted));
            writable?.SetResult();
        }
    }

    protected override int Send(ReadOnlySpan<byte> bytes, out SocketError error) => TcpHandle.Send(_handle, bytes, out error);

    protected override int Receive(Span<byte> buffer, out SocketError error) => TcpHandle.Receive(_handle, buffer, peek: false, out error);

    protected override int Available() => TcpHandle.Available(_handle);

    protected override void EndSending() => TcpHandle.ShutdownSend(_handle);

    protected override void ResetOnClose() => TcpHandle.ResetOnClose(_handle);

    /// <inheritdoc cref="TcpHandle.Receive(SafeHandle, Span{byte}, bool, out SocketError)"/>
    protected int LookAt(Span<byte> buffer, out SocketError error) => TcpHandle.Receive(_handle, buffer, peek: true, out error);

    int IValueTaskSource<int>.GetResult(short token) => _read.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<int>.GetStatus(short token) => _read.GetStatus(token);

    void IValueTaskSource<int>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _read.OnCompleted(continuation, state, token, flags);

    private void When(Readiness wanted, Action ready)
    {
        (_buffer, _turn) = (default, 0);
        _read.Reset();
        // The callback is registered before the socket is watched, so that only the loop's thread runs it.
        _read.OnCompleted(static ready => ((Action)ready!)(), ready, _read.Version, ValueTaskSourceOnCompletedFlags.None);
        lock (_gate)
        {
            if (!_closed)
                Wait(wanted);
        }
    }

    private ValueTask<int> WaitAsync(Readiness wanted)
    {
        _read.Reset();
        try
        {
            lock (_gate)
            {
                if (_closed)
                    return new(End(SocketError.OperationAborted));
                if (TakeCancellation())
                    return new(Cancelled);
                Wait(wanted);
            }
        }
        catch (IOException e)
        {
            return ValueTask.FromException<int>(e);
        }
        return new(this, _read.Version);
    }

    /// <summary>Under the gate.</summary>
    private void Wait(Readiness wanted)
    {
        Watch((_watched & Readiness.Write) | wanted);
        _awaited = wanted;
    }

    /// <summary>Whether an event is what a read waits for. An event may be older than the read: it may report bytes to a read that waits for the end alone.</summary>
    private static bool IsAnswered(Readiness awaited, Readiness ready) =>
        (ready & Readiness.PeerEnd) != 0 ? awaited != Readiness.None : (ready & awaited & Readiness.Read) != 0;

    /// <summary>Changes what the kernel watches, if the wish has changed. The caller holds the gate.</summary>
    private void Watch(Readiness wanted)
    {
        if (wanted == _watched)
            return;
        _epoll.Watch(_descriptor, _token, _watched, wanted);
        _watched = wanted;
    }

    /// <summary>Receives once for the read that waits.</summary>
    /// <param name="awaited">What the read waits for.</param>
    /// <param name="count">The result of the read.</param>
    /// <returns>False if there was nothing to receive after all, and the read goes on waiting.</returns>
    private bool Receive(Readiness awaited, out int count)
    {
        count = TryReceive();
        if (count >= 0)
            return true;
        lock (_gate)
        {
            if (TakeCancellation())
            {
                count = Cancelled;
                return true;
            }
            if (!_closed)
            {
                _awaited = awaited;
                return false;
            }
        }
        count = End(SocketError.OperationAborted);
        return true;
    }

    private void EndCancelled() => _read.SetResult(Cancelled);

    /// <summary>Whether the read that is about to wait was cancelled before. Under the gate.</summary>
    private bool TakeCancellation()
    {
        bool taken = _isCancelled;
        _isCancelled = false;
        return taken;
    }

    /// <summary>Receives into the buffer of the read. A wait has none, and leaves the bytes where they are.</summary>
    /// <inheritdoc cref="SocketTransport.TryReceive"/>
    private int TryReceive()
    {
        int count = _buffer.IsEmpty ? 0 : TryReceive(_buffer);
        _filled = count == _buffer.Length;
        return count;
    }
}
