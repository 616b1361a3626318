using HeartbeatServer.Connections;
using HeartbeatServer.Engine;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Hosting;

/// <summary>
/// Gives memory back when a burst of upgrades, refusals or ends is over. HttpListener leaves some 9 KB of garbage behind each upgrade, and afterwards an
/// idle server allocates too little for the collector to look again. docs/decisions/0006 has the figures.
/// </summary>
/// <remarks>
/// A collection stops all threads, for about a millisecond for every 500 connections. So it has to pay: the garbage is measured by what lives, and
/// collections take at most a thousandth of the time. The trim is an entry of a wheel, so a server without connections does not wake up for it.
/// </remarks>
/// <param name="wheel">Calls the trim, on the thread of its loop.</param>
/// <param name="metrics">The counts that show a burst.</param>
/// <param name="heap">Returns the bytes on the heap, garbage included, without what the connections hold for messages and replies.</param>
/// <param name="collect">
/// Collects all garbage. Returns whether so many objects wait for their finalizers that a second collection pays, when these have run.
/// </param>
internal sealed class HeapTrim(TimingWheel wheel, ServerMetrics metrics, Func<long> heap, Func<bool> collect) : WheelEntry
{
    /// <summary>The interval between two looks at a burst. It is over when nothing happened between two of them.</summary>
    public static readonly TimeSpan Quiet = TimeSpan.FromSeconds(1);

    /// <summary>The interval between two looks without a burst, while there are connections: their messages may leave garbage, too.</summary>
    public static readonly TimeSpan Rarely = TimeSpan.FromSeconds(30);

    /// <summary>How long after a collection the next one may be, for each connection that it stops: a thousand times what it takes.</summary>
    private static readonly TimeSpan IntervalPerConnection = TimeSpan.FromMilliseconds(2);

    /// <summary>How long a heap that stays swollen is left alone. After each collection that brings little the time doubles.</summary>
    private static readonly TimeSpan LeastPatience = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan MostPatience = TimeSpan.FromHours(1);

    /// <summary>
    /// So many upgrades, refusals and ends are a burst, and as many as there are connections; fewer are one if they left <see cref="MuchGarbage"/>, and as
    /// much as lives.
    /// </summary>
    private const int Burst = 100;
    private const long MuchGarbage = 16 * 1024 * 1024;

    /// <summary>With more connections nothing is collected: the garbage of a burst, some 16 MB, is little beside them.</summary>
    private const int MostConnections = 20_000;

    /// <summary>
    /// What is on the heap beyond this, and beyond <see cref="BytesPerConnection"/>, is garbage, burst or not: clients may press on with requests that
    /// are refused, and the arrays of large messages stay in their pool.
    /// </summary>
    private const long Swollen = 64 * 1024 * 1024;
    private const int BytesPerConnection = 8 * 1024;

    private bool _isHalfDone;
    private long _churnSeen;
    private long _churnThen;
    private long _sizeThen;
    private TimeSpan? _collectedAt;
    private TimeSpan _patientUntil = TimeSpan.MinValue;
    private TimeSpan _patience = LeastPatience;

    /// <summary>Trims the heap of this process.</summary>
    public HeapTrim(TimingWheel wheel, ServerMetrics metrics, BufferBudget buffers)
        : this(wheel, metrics, () => GC.GetTotalMemory(forceFullCollection: false) - buffers.Used, CollectAll)
    {
    }

    /// <summary>Begins to look. Any thread may call this at each upgrade, refusal and end.</summary>
    public void OnChurn() => wheel.Schedule(this, wheel.Now + Quiet);

    protected internal override TimeSpan OnDue(TimeSpan now, TimeSpan stall)
    {
        long churn = metrics.Opened + metrics.Refused + metrics.Ended;
        long connections = metrics.Opened - metrics.Ended;
        bool isQuiet = churn == _churnSeen;
        _churnSeen = churn;
        if (connections <= MostConnections && (_isHalfDone || Pays(isQuiet, churn, connections, now)))
        {
            if (_collectedAt + (connections * IntervalPerConnection) is { } notBefore && now < notBefore)
                return notBefore;
            Collect(churn, now);
        }
        return !isQuiet || _isHalfDone ? now + Quiet : connections > 0 ? now + Rarely : TimeSpan.MaxValue;
    }

    private bool Pays(bool isQuiet, long churn, long connections, TimeSpan now)
    {
        long size = heap();
        if (size > Swollen + (connections * BytesPerConnection) && now >= _patientUntil)
            return true;
        return isQuiet && churn != _churnThen
            && (churn - _churnThen >= Math.Max(Burst, connections) || size - _sizeThen > Math.Max(MuchGarbage, _sizeThen));
    }

    private void Collect(long churn, TimeSpan now)
    {
        long before = heap();
        _isHalfDone = collect() && !_isHalfDone;
        (_churnThen, _sizeThen) = (churn, heap());
        bool isLittle = before - _sizeThen < _sizeThen / 4;
        _patience = !isLittle ? LeastPatience : _patience < MostPatience ? 2 * _patience : MostPatience;
        (_collectedAt, _patientUntil) = (now, now + _patience);
    }

    /// <summary>
    /// Objects that wait for their finalizer, as those of refused requests do, take a second collection. If few wait there is no second one. Nobody waits
    /// for the finalizers here: the loop that calls this has pings to send.
    /// </summary>
    private static bool CollectAll()
    {
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        return GC.GetGCMemoryInfo(GCKind.FullBlocking).FinalizationPendingCount >= Burst;
    }
}
