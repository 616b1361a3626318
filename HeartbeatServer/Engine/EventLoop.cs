using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Net.Sockets;
using System.Runtime.Versioning;

namespace HeartbeatServer.Engine;

/// <summary>
/// One thread that serves some of the connections. It waits until one of their sockets is ready or their wheel has to tick, and does
/// what is to be done there and then: nothing on it may block.
/// </summary>
/// <remarks>
/// With sockets and beats on one thread, the answers to the pings of a tick are there when the last of them was sent, and no thread has to be
/// woken for them. Where there is no epoll the loop only ticks, and the framework's threads serve the sockets.
/// </remarks>
internal sealed class EventLoop : IDisposable
{
    /// <summary>For those of low priority between two looks at the others: a quarter of a tick.</summary>
    private static readonly TimeSpan LowPriorityTime = TimingWheel.Tick / 4;

    private readonly ManualResetEventSlim _wanted = new();

    // Those of low priority that are ready and have not had their turn, in the order in which they were reported.
    private readonly Dictionary<IReady, Readiness> _deferred = [];
    private readonly Queue<IReady> _turns = new();
    private readonly Thread _thread;
    private volatile bool _stopped;

    /// <param name="wheel">Driven by this loop alone.</param>
    /// <param name="epoll">Whether an epoll instance serves the sockets. Only Linux has it.</param>
    /// <exception cref="IOException">No descriptor is left.</exception>
    public EventLoop(TimingWheel wheel, bool epoll = true)
    {
        Wheel = wheel;
        Epoll = epoll && OperatingSystem.IsLinux() ? new Epoll() : null;
        _thread = new Thread(Run, 256 * 1024) { IsBackground = true, Name = "heartbeat" };
        wheel.Wanted = Wake;
    }

    public TimingWheel Wheel { get; }

    /// <summary>Null where there is none.</summary>
    public Epoll? Epoll { get; }

    /// <summary>Whether this loop serves its sockets itself. Without an epoll instance the framework's threads do.</summary>
    [SupportedOSPlatformGuard("linux")]
    [MemberNotNullWhen(true, nameof(Epoll))]
    public bool HasEpoll => Epoll is not null;

    public void Start() => _thread.Start();

    /// <summary>Makes a socket one of this loop's.</summary>
    /// <param name="socket">Connected, and waited for by nobody else. The transport owns it.</param>
    public SocketTransport Attach(Socket socket) => HasEpoll ? new EpollTransport(socket, Epoll) : new PortableTransport(socket);

    /// <summary>Accepts on this loop's thread the connections of a socket that listens. The loop must have an epoll instance.</summary>
    /// <inheritdoc cref="Acceptor(Socket, Epoll, Func{Socket, SocketError, bool})"/>
    [SupportedOSPlatform("linux")]
    public Acceptor Accept(Socket socket, Func<Socket?, SocketError, bool> accepted) => new(socket, Epoll!, accepted);

    public void Dispose()
    {
        _stopped = true;
        Wake();
        if (!_thread.ThreadState.HasFlag(System.Threading.ThreadState.Unstarted))
            _thread.Join();
        if (HasEpoll)
            Epoll.Dispose();
        _wanted.Dispose();
    }

    private void Wake()
    {
        if (Thread.CurrentThread == _thread)
            return;
        if (HasEpoll)
            Epoll.Wake();
        else
            _wanted.Set();
    }

    private void Run()
    {
        while (!_stopped)
        {
            // With no connection there is no tick. A loop that is late does not wait: a negative time would be for ever.
            int milliseconds = Wheel.UntilTick is { } until ? Math.Max(0, (int)Math.Ceiling(until.TotalMilliseconds)) : Timeout.Infinite;
            if (HasEpoll)
            {
                Serve(milliseconds);
            }
            else
            {
                _wanted.Wait(milliseconds);
                _wanted.Reset();
            }
            Wheel.Advance();
        }
    }

    /// <summary>
    /// One round: waits until sockets are ready, and calls whom they concern. Those of low priority come last, and some of them perhaps not before
    /// the next round. The loop's own thread calls this.
    /// </summary>
    /// <param name="milliseconds">To wait at most; -1 for no limit.</param>
    /// <returns>How many sockets were ready.</returns>
    [SupportedOSPlatform("linux")]
    public int Serve(int milliseconds)
    {
        int count = Epoll!.Wait(_deferred.Count > 0 ? 0 : milliseconds);
        for (int i = 0; i < count; i++)
        {
            if (Epoll.Event(i, out Readiness ready) is not { } target)
                continue;
            if (target.IsLowPriority)
                Defer(target, ready);
            else
                target.OnReady(ready);
        }
        ServeDeferred();
        return count;
    }

    /// <summary>The epoll reports a socket in each round until somebody reads from it. Here it waits once.</summary>
    private void Defer(IReady target, Readiness ready)
    {
        if (!_deferred.TryAdd(target, ready))
            _deferred[target] |= ready;
        else
            _turns.Enqueue(target);
    }

    private void ServeDeferred()
    {
        if (_turns.Count == 0)
            return;
        long start = Stopwatch.GetTimestamp();
        do
        {
            IReady target = _turns.Dequeue();
            _deferred.Remove(target, out Readiness ready);
            target.OnReady(ready);
        }
        while (_turns.Count > 0 && Stopwatch.GetElapsedTime(start) < LowPriorityTime);
    }
}
