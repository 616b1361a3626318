using System.Threading.Tasks.Sources;

namespace HeartbeatServer.Engine;

/// <summary>
/// Whether a <see cref="TlsTransport"/> has content to read, and who waits for it. Content comes by steps: at most one is in progress, and it goes on if the
/// wait for it is cancelled.
/// </summary>
internal sealed class ContentWait : IValueTaskSource<int>
{
    private ManualResetValueTaskSourceCore<int> _core;

    // The loop's thread and others share these fields. The gate guards them.
    private readonly Lock _gate = new();
    private bool _isStepping;
    private bool _isReadable;
    private bool _isWaiting;
    private bool _isCancelled;
    private volatile bool _isClosed;

    /// <summary>Whether the socket is closed.</summary>
    public bool IsClosed => _isClosed;

    /// <summary>Notes that the socket is closed. The caller ends the step in progress, and so the wait.</summary>
    public void Close()
    {
        lock (_gate)
            _isClosed = true;
    }

    /// <summary>Asks for a step, unless one is in progress or nothing is to be waited for.</summary>
    /// <param name="isReadable">Whether a read would complete at once.</param>
    /// <returns>Whether the caller is to make a step. <see cref="EndStep"/> follows.</returns>
    public bool TryBeginStep(out bool isReadable)
    {
        lock (_gate)
        {
            isReadable = _isReadable;
            return !isReadable && !_isStepping && (_isStepping = true);
        }
    }

    /// <summary>Notes that a step has brought content, the end or a failure. A wait is over.</summary>
    public void EndStep()
    {
        bool isWaiting;
        lock (_gate)
        {
            (_isStepping, _isReadable) = (false, true);
            (isWaiting, _isWaiting) = (_isWaiting, false);
        }
        if (isWaiting)
            _core.SetResult(0);
    }

    /// <summary>Notes a read. Behind content there has to be another step, and behind the end there is none.</summary>
    public void OnRead(bool isEnd)
    {
        lock (_gate)
            _isReadable = isEnd;
    }

    /// <summary>Waits for the end of the step in progress.</summary>
    /// <returns>0, or <see cref="Transport.Cancelled"/>.</returns>
    public ValueTask<int> WaitAsync()
    {
        lock (_gate)
        {
            if (_isReadable)
                return new(0);
            if (_isCancelled)
            {
                _isCancelled = false;
                return new(Transport.Cancelled);
            }
            Begin();
            return new(this, _core.Version);
        }
    }

    /// <summary>Has the end of the step in progress, or a cancellation, call this.</summary>
    /// <returns>False if a read would complete at once. Then nobody calls it.</returns>
    public bool TryWait(Action ready)
    {
        lock (_gate)
        {
            if (_isReadable)
                return false;
            Begin();
            _core.OnCompleted(static ready => ((Action)ready!)(), ready, _core.Version, ValueTaskSourceOnCompletedFlags.None);
            return true;
        }
    }

    /// <summary>Ends the wait in progress, or the next one. What goes on with it runs in the thread pool.</summary>
    public void Cancel()
    {
        bool isWaiting;
        lock (_gate)
        {
            if (_isClosed)
                return;
            (isWaiting, _isWaiting) = (_isWaiting, false);
            _isCancelled = !isWaiting;
        }
        if (isWaiting)
            ThreadPool.UnsafeQueueUserWorkItem(static wait => wait._core.SetResult(Transport.Cancelled), this, preferLocal: false);
    }

    int IValueTaskSource<int>.GetResult(short token) => _core.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<int>.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource<int>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    private void Begin()
    {
        _core.Reset();
        _isWaiting = true;
    }
}
