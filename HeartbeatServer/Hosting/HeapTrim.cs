using HeartbeatServer.Telemetry;


namespace HeartbeatServer.Hosting;

/// <summary>
/// Gives memory back after a burst of upgrades, refusals or ends, once it is over. HttpListener leaves some 9 KB of garbage behind each upgrade, and an
/// idle server allocates too little for the collector to look again. docs/decisions/0006 has the figures.
/// </summary>
/// <param name="metrics">Tells a burst.</param>
/// <param name="heap">Bytes on the heap, garbage included.</param>
/// <param name="collect">Collects all.</param>
internal sealed class HeapTrim(ServerMetrics metrics, Func<long> heap, Action collect)
{
    /// <summary>How long nothing must have happened. The interval between two looks.</summary>
    public static readonly TimeSpan Quiet = TimeSpan.FromSeconds(1);

    /// <summary>Upgrades, refusals and ends that make a burst; or fewer, if they left so many bytes.</summary>
    private const int Burst = 100;
    private const long MuchGarbage = 16 * 1024 * 1024;

    /// <summary>A collection takes about a millisecond for 500 connections, and no ping leaves meanwhile: not with more than this.</summary>
    private const int MostConnections = 50_000;

    /// <summary>A heap beyond this and beyond what the connections explain is garbage: clients that press on with requests that are refused.</summary>
    private const long Swollen = 64 * 1024 * 1024;
    private const int BytesPerConnection = 8 * 1024;

    private long _trimmedAt;
    private long _sizeThen;
    private long _seen;

    /// <summary>
    /// Collects all that can be collected and returns it to the operating system. Objects that wait for their finalizer, as those of refused
    /// requests do, take a second collection; it is spared where they are few, for no ping leaves meanwhile.
    /// </summary>
    public static void CollectAll()
    {
        Collect();
        if (GC.GetGCMemoryInfo(GCKind.FullBlocking).FinalizationPendingCount < Burst)
            return;
        GC.WaitForPendingFinalizers();
        Collect();

        static void Collect() => GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
    }

    /// <summary>Collects if there was a burst, and nothing since the last look; or if the heap is swollen.</summary>
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
