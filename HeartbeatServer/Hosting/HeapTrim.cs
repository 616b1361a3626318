using HeartbeatServer.Connections;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Hosting;

/// <summary>
/// Gives memory back when a burst of upgrades, refusals or ends is over. HttpListener leaves some 9 KB of garbage behind each upgrade, and afterwards an
/// idle server allocates too little for the collector to look again. docs/decisions/0006 has the figures.
/// </summary>
/// <param name="metrics">The counts that show a burst.</param>
/// <param name="heap">Returns the bytes on the heap, garbage included, without what the connections hold for messages and replies.</param>
/// <param name="collect">Collects all garbage.</param>
internal sealed class HeapTrim(ServerMetrics metrics, Func<long> heap, Action collect)
{
    /// <summary>The interval between two looks. A burst is over when nothing happened between two of them.</summary>
    public static readonly TimeSpan Quiet = TimeSpan.FromSeconds(1);

    /// <summary>So many upgrades, refusals and ends are a burst; fewer are one if they left <see cref="MuchGarbage"/>.</summary>
    private const int Burst = 100;
    private const long MuchGarbage = 16 * 1024 * 1024;

    /// <summary>With more connections nothing is collected: a collection takes about a millisecond for 500 of them, and no ping leaves meanwhile.</summary>
    private const int MostConnections = 50_000;

    /// <summary>
    /// What is on the heap beyond this, and beyond <see cref="BytesPerConnection"/>, is garbage, burst or not: clients may press on with requests that
    /// are refused.
    /// </summary>
    private const long Swollen = 64 * 1024 * 1024;
    private const int BytesPerConnection = 8 * 1024;

    private long _trimmedAt;
    private long _sizeThen;
    private long _seen;

    /// <summary>Trims the heap of this process.</summary>
    public HeapTrim(ServerMetrics metrics, BufferBudget buffers)
        : this(metrics, () => GC.GetTotalMemory(forceFullCollection: false) - buffers.Used, CollectAll)
    {
    }

    /// <summary>
    /// Collects all garbage and returns its memory to the operating system. Objects that wait for their finalizer, as those of refused requests do, take
    /// a second collection. If few wait there is no second one, because no ping leaves during a collection.
    /// </summary>
    private static void CollectAll()
    {
        Collect();
        if (GC.GetGCMemoryInfo(GCKind.FullBlocking).FinalizationPendingCount < Burst)
            return;
        GC.WaitForPendingFinalizers();
        Collect();

        static void Collect() => GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
    }

    /// <summary>Collects if a burst is over, or if the heap is swollen.</summary>
    public void Look()
    {
        long churn = metrics.Opened + metrics.Refused + metrics.Ended;
        long connections = metrics.Opened - metrics.Ended;
        long size = heap();
        bool isOver = churn == _seen && churn != _trimmedAt && (churn - _trimmedAt >= Burst || size - _sizeThen > MuchGarbage);
        if (connections <= MostConnections && (isOver || size > Swollen + (connections * BytesPerConnection)))
        {
            _trimmedAt = churn;
            collect();
            _sizeThen = heap();
        }
        _seen = churn;
    }
}
