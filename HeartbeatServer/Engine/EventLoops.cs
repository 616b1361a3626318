using System.Runtime.Versioning;

namespace HeartbeatServer.Engine;

/// <summary>As many event loops as there are processors to run them; connections are dealt out to them in turn.</summary>
internal sealed class EventLoops : IDisposable
{
    /// <summary>Each wakes up for its ticks: more than that would mostly do so for nothing.</summary>
    private const int Most = 16;

    private readonly EventLoop[] _loops;
    private uint _next;

    /// <param name="wheel">Makes the wheel of a loop.</param>
    /// <param name="count">How many; one for each processor, within reason, by default.</param>
    /// <param name="epoll">See <see cref="EventLoop"/>.</param>
    /// <param name="failed">See <see cref="EventLoop"/>.</param>
    /// <exception cref="IOException">No descriptor is left.</exception>
    public EventLoops(Func<TimingWheel> wheel, int? count = null, bool epoll = true, Action<Exception>? failed = null) =>
        _loops = [.. Enumerable.Range(0, count ?? Math.Clamp(Environment.ProcessorCount, 1, Most)).Select(_ => new EventLoop(wheel(), epoll, failed))];

    /// <inheritdoc cref="EventLoop.HasEpoll"/>
    [SupportedOSPlatformGuard("linux")]
    public bool HasEpoll => First.HasEpoll;

    /// <summary>Monotonic time, the same for all.</summary>
    public TimeSpan Now => First.Wheel.Now;

    /// <summary>For what concerns no connection.</summary>
    public EventLoop First => _loops[0];

    /// <summary>The last <see cref="TimingWheel.Lateness"/> of the one that was latest, of those that have connections.</summary>
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
