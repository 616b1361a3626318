using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Net.Security;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.Versioning;

namespace HeartbeatServer.Engine;

/// <summary>
/// One thread that serves some of the connections. It waits until one of their sockets is ready or their wheel has to tick, and then does the work
/// itself. So nothing that runs on this thread may block.
/// </summary>
/// <remarks>
/// Sockets and beats share the thread. When the last ping of a tick has left, the answers to the first pings are already there, and no other thread
/// has to wake up to read them. Where there is no epoll, the loop only ticks, and the framework's threads serve the sockets.
/// </remarks>
internal sealed class EventLoop : IDisposable
{
    /// <summary>In each round the sockets of low priority get this much time, and the busy ones as much again: a quarter of a tick.</summary>
    private static readonly TimeSpan WaitersTime = TimingWheel.Tick / 4;

    /// <summary>Sockets that are served between two looks at the clock: less than a millisecond, if they have small messages.</summary>
    private const int CallsBetweenLooks = 8;

    private readonly Action<Exception>? _failed;
    private readonly ManualResetEventSlim _wanted = new();
    private readonly ConcurrentQueue<Action> _returning = new();
    private readonly WaitingLine _low = new();
    private readonly WaitingLine _busy = new();
    private readonly Thread _thread;
    private uint _calls;
    private volatile bool _stopped;

    /// <param name="wheel">The wheel of these connections. Only this loop drives it.</param>
    /// <param name="epoll">Whether an epoll instance serves the sockets. Only Linux has epoll.</param>
    /// <param name="failed">
    /// Called with an exception that the call of a socket or of a wheel entry has thrown. The loop and all others go on. With null the exception
    /// ends the process, as on any thread.
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

    /// <summary>The epoll instance; null where the framework's threads serve the sockets.</summary>
    public Epoll? Epoll { get; }

    /// <summary>Whether this loop serves its sockets itself. Without an epoll instance the framework's threads do.</summary>
    [SupportedOSPlatformGuard("linux")]
    [MemberNotNullWhen(true, nameof(Epoll))]
    public bool HasEpoll => Epoll is not null;

    public void Start() => _thread.Start();

    /// <summary>Lets this loop serve a socket.</summary>
    /// <param name="socket">A connected socket that nobody else waits for. From here on the transport owns it.</param>
    public SocketTransport Attach(Socket socket) => HasEpoll ? new EpollTransport(socket, Epoll) : new PortableTransport(socket);

    /// <summary>Lets this loop serve a socket whose peer speaks TLS. The loop must have an epoll instance.</summary>
    /// <inheritdoc cref="TlsTransport(Socket, Epoll, Func{SslStream, Task})"/>
    [SupportedOSPlatform("linux")]
    public TlsTransport AttachTls(Socket socket, Func<SslStream, Task> authenticate) => new(socket, Epoll!, authenticate);

    /// <summary>Accepts the connections of a listening socket on this loop's thread. The loop must have an epoll instance.</summary>
    /// <inheritdoc cref="Acceptor(Socket, Epoll, Func{Socket, SocketError, bool})"/>
    [SupportedOSPlatform("linux")]
    public Acceptor Accept(Socket socket, Func<Socket?, SocketError, bool> accepted) => new(socket, Epoll!, accepted);

    /// <summary>
    /// Brings code back to this loop's thread: what follows the await runs there. Code that has waited for something else than a socket of the loop may
    /// be on any thread.
    /// </summary>
    public Return ReturnAsync() => new(this);

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
                // Without a connection there is no tick. A loop that is late does not wait at all: a negative time would mean "for ever".
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
                while (_returning.TryDequeue(out Action? goOn))
                    goOn();
                Wheel.Advance();
            }
#pragma warning disable CA1031 // The loop never dies: it beats for all its connections.
            catch (Exception e) when (_failed is not null)
#pragma warning restore CA1031
            {
                Failed(e);
                Thread.Sleep(TimingWheel.Tick); // memory or descriptors may be there again after a tick
            }
        }
    }

    /// <summary>
    /// Does one round: waits until sockets are ready, and calls their targets. The wheel ticks in between when it is due. The sockets of low priority
    /// come after the others, and the busy ones come last. Some of both have their turn in each round. The loop's own thread calls this.
    /// </summary>
    /// <param name="milliseconds">The longest wait; -1 for no limit.</param>
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

    /// <summary>Serves the sockets of a line for <see cref="WaitersTime"/>. At least the first one has its turn.</summary>
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
#pragma warning disable CA1031 // A failure ends the target that it concerns, and nobody else.
        catch (Exception e) when (_failed is not null)
#pragma warning restore CA1031
        {
            Failed(e);
            target.Abort();
        }
        // A round may be long. The connections whose beat is due do not wait for its end. To ask for the time costs a hundredth of an echo, so the loop does
        // not ask after each socket.
        if (++_calls % CallsBetweenLooks == 0 && Wheel.UntilTick <= TimeSpan.Zero)
            Tick();
    }

    /// <summary>Lets the wheel tick in the middle of a round. The sockets that are left in the round have their turn in any case: epoll may not report them again.</summary>
    private void Tick()
    {
        try
        {
            Wheel.Advance();
        }
#pragma warning disable CA1031 // As above.
        catch (Exception e) when (_failed is not null)
#pragma warning restore CA1031
        {
            Failed(e);
        }
    }

    private void Failed(Exception error)
    {
        try
        {
            _failed!(error);
        }
        catch (OutOfMemoryException)
        {
            // There is no memory even for a line in the log. The next failure may find memory for its line.
        }
    }

    /// <summary>What <see cref="ReturnAsync"/> awaits: completed on the loop's thread, and nowhere else.</summary>
    internal readonly struct Return(EventLoop loop) : INotifyCompletion
    {
        public bool IsCompleted => Thread.CurrentThread == loop._thread;

        public Return GetAwaiter() => this;

        public void OnCompleted(Action continuation)
        {
            loop._returning.Enqueue(continuation);
            loop.Wake();
        }

        public void GetResult()
        {
            // There is no result, and nothing fails.
        }
    }

    /// <summary>The targets whose sockets are ready and that wait for their turn, in the order of the reports.</summary>
    private sealed class WaitingLine
    {
        private readonly Dictionary<IReady, Readiness> _ready = [];
        private readonly Queue<IReady> _order = new();

        public bool IsEmpty => _order.Count == 0;

        /// <summary>
        /// Puts a target in the line. Epoll reports a socket in each round until somebody reads from it, but its target stands here once.
        /// </summary>
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
