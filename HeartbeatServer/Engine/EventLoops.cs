using System.Runtime.Versioning;

namespace HeartbeatServer.Engine;

/// <summary>The event loops, as a rule one for each processor. New connections go to the loops in turn.</summary>
internal sealed class EventLoops : IDisposable
{
    /// <summary>The most loops. Each one wakes up for its own ticks, and more loops would mostly wake up for nothing.</summary>
    private const int Most = 16;

    private readonly EventLoop[] _loops;
    private uint _next;

    /// <param name="wheel">Makes the wheel of one loop.</param>
    /// <param name="count">How many loops to make; null for one for each processor, up to <see cref="Most"/>.</param>
    /// <param name="epoll">Whether each loop has an epoll instance that serves its sockets. Only Linux has epoll.</param>
    /// <param name="failed">Called with an exception that a call on a loop has thrown; with null the exception ends the process.</param>
    /// <exception cref="IOException">No descriptor is left.</exception>
    public EventLoops(Func<TimingWheel> wheel, int? count = null, bool epoll = true, Action<Exception>? failed = null) =>
        _loops = [.. Enumerable.Range(0, count ?? Math.Clamp(Environment.ProcessorCount, 1, Most))
            .Select(_ => new EventLoop(wheel(), epoll, failed))];

    /// <inheritdoc cref="EventLoop.HasEpoll"/>
    [SupportedOSPlatformGuard("linux")]
    public bool HasEpoll => First.HasEpoll;

    /// <summary>Monotonic time. All loops have the same clock.</summary>
    public TimeSpan Now => First.Wheel.Now;

    /// <summary>The loop for work that belongs to no connection, such as accepting.</summary>
    public EventLoop First => _loops[0];

    /// <summary>The largest last <see cref="TimingWheel.Lateness"/> among the loops that have connections.</summary>
    public TimeSpan Lateness => _loops.Max(loop => loop.Wheel.Count == 0 ? TimeSpan.Zero : loop.Wheel.Lateness);

    public void Start()
    {
        foreach (EventLoop loop in _loops)
            loop.Start();
    }

    /// <summary>The loop for the next connection.</summary>
    public EventLoop Next() => _loops[Interlocked.Increment(ref _next) % _loops.Length];

    public void Dispose()
    {
        foreach (EventLoop loop in _loops)
            loop.Dispose();
    }
}
