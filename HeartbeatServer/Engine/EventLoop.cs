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
    /// <summary>For those of low priority between two looks at the others, and for the busy ones: a quarter of a tick each.</summary>
    private static readonly TimeSpan WaitersTime = TimingWheel.Tick / 4;

    /// <summary>Sockets that are served between two looks at the clock: less than a millisecond, if they have small messages.</summary>
    private const int CallsBetweenLooks = 8;

    private readonly Action<Exception>? _failed;
    private readonly ManualResetEventSlim _wanted = new();
    private readonly WaitingLine _low = new();
    private readonly WaitingLine _busy = new();
    private readonly Thread _thread;
    private uint _calls;
    private volatile bool _stopped;

    /// <param name="wheel">Driven by this loop alone.</param>
    /// <param name="epoll">Whether an epoll instance serves the sockets. Only Linux has it.</param>
    /// <param name="failed">
    /// Told of an exception that a socket's or an entry's call has thrown. It costs that one, and neither the loop nor anybody else. If nobody is to be
    /// told, the exception ends the process, as it does on any thread.
    /// </param>
    /// <exception cref="IOException">No descriptor is left.</exception>
    public EventLoop(TimingWheel wheel, bool epoll = true, Action<Exception>? failed = null)
    {
        (Wheel, _failed) = (wheel, failed);
        Epoll = epoll && OperatingSystem.IsLinux() ? new Epoll() : null;
        _thread = new Thread(Run, 256 * 1024) { IsBackground = true, Name = "heartbeat" };
        wheel.Wanted = Wake;
        wheel.Failed = failed is null ? null : Failed;
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
            try
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
#pragma warning disable CA1031 // The loop never dies: it beats for all its connections.
            catch (Exception e) when (_failed is not null)
#pragma warning restore CA1031
            {
                Failed(e);
                Thread.Sleep(TimingWheel.Tick); // what was lacking may be there again
            }
        }
    }

    /// <summary>
    /// One round: waits until sockets are ready, and calls whom they concern. The wheel ticks in between when it is due. Those of low priority come after
    /// the others, and then the busy ones; a few of both have their turn in each round. The loop's own thread calls this.
    /// </summary>
    /// <param name="milliseconds">To wait at most; -1 for no limit.</param>
    /// <returns>How many sockets were ready.</returns>
    [SupportedOSPlatform("linux")]
    public int Serve(int milliseconds)
    {
        int count = Epoll!.Wait(_low.IsEmpty && _busy.IsEmpty ? milliseconds : 0);
        for (int i = 0; i < count; i++)
        {
            if (Epoll.Event(i, out Readiness ready) is not { } target)
                continue;
            switch (target.Priority)
            {
                case Priority.Low:
                    _low.Add(target, ready);
                    break;
                case Priority.Busy:
                    _busy.Add(target, ready);
                    break;
                default:
                    Call(target, ready);
                    break;
            }
        }
        Serve(_low);
        Serve(_busy);
        return count;
    }

    /// <summary>Serves those who waited, for <see cref="WaitersTime"/>; the first of them in any case.</summary>
    private void Serve(WaitingLine line)
    {
        if (line.IsEmpty)
            return;
        long start = Stopwatch.GetTimestamp();
        do
        {
            IReady target = line.Take(out Readiness ready);
            Call(target, ready);
        }
        while (!line.IsEmpty && Stopwatch.GetElapsedTime(start) < WaitersTime);
    }

    private void Call(IReady target, Readiness ready)
    {
        try
        {
            target.OnReady(ready);
        }
#pragma warning disable CA1031 // It costs the one that it concerns, and nobody else.
        catch (Exception e) when (_failed is not null)
#pragma warning restore CA1031
        {
            Failed(e);
            target.Abort();
        }
        // A round may be long. Those who are in their beat do not wait for its end. Asking for the time costs a hundredth of an echo, so it is asked now and
        // then only.
        if (++_calls % CallsBetweenLooks == 0 && Wheel.UntilTick <= TimeSpan.Zero)
            Wheel.Advance();
    }

    private void Failed(Exception error)
    {
        try
        {
            _failed!(error);
        }
        catch (OutOfMemoryException)
        {
            // There is no memory even for a line in the log. The next failure may have it.
        }
    }

    /// <summary>Those who are ready and wait for their turn, in the order in which they were reported.</summary>
    private sealed class WaitingLine
    {
        private readonly Dictionary<IReady, Readiness> _ready = [];
        private readonly Queue<IReady> _order = new();

        public bool IsEmpty => _order.Count == 0;

        /// <summary>The epoll reports a socket in each round until somebody reads from it. Here it stands once.</summary>
        public void Add(IReady target, Readiness ready)
        {
            if (!_ready.TryGetValue(target, out Readiness before))
                _order.Enqueue(target);
            _ready[target] = before | ready;
        }

        public IReady Take(out Readiness ready)
        {
            IReady target = _order.Dequeue();
            _ready.Remove(target, out ready);
            return target;
        }
    }
}
