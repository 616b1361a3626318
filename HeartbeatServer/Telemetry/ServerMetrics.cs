using HeartbeatServer.Protocol;

namespace HeartbeatServer.Telemetry;

/// <summary>What the server counts. Any thread may count; a reader may see one count before another.</summary>
internal sealed class ServerMetrics
{
    private readonly long[] _ends = new long[DisconnectCauses.All.Length];
    private readonly long[] _refusals = new long[RefusalReasons.All.Length];
    private long _opened;
    private long _ended;
    private long _refused;
    private long _strikes;
    private long _latePongs;
    private int _peak;

    /// <summary>From a ping handed to the socket to its pong read, of all connections.</summary>
    public LatencyHistogram RoundTrips { get; } = new();

    /// <summary>How late each tick of the wheel was.</summary>
    public LatencyHistogram BeatLateness { get; } = new();

    /// <summary>Connections upgraded since the start.</summary>
    public long Opened => Interlocked.Read(ref _opened);

    /// <summary>Connections ended since the start.</summary>
    public long Ended => Interlocked.Read(ref _ended);

    /// <summary>Upgrade requests that were refused.</summary>
    public long Refused => Interlocked.Read(ref _refused);

    /// <summary>Pings without a sign of life in time.</summary>
    public long Strikes => Interlocked.Read(ref _strikes);

    /// <summary>Pongs after their deadline.</summary>
    public long LatePongs => Interlocked.Read(ref _latePongs);

    /// <summary>Most connections at one time.</summary>
    public int Peak => Volatile.Read(ref _peak);

    public void CountOpened(int now)
    {
        Interlocked.Increment(ref _opened);
        int peak;
        while (now > (peak = Peak) && Interlocked.CompareExchange(ref _peak, now, peak) != peak) { }
    }

    public void CountRefused(RefusalReason reason)
    {
        Interlocked.Increment(ref _refused);
        Interlocked.Increment(ref _refusals[(int)reason]);
    }

    public void CountStrike() => Interlocked.Increment(ref _strikes);

    public void CountLatePong() => Interlocked.Increment(ref _latePongs);

    public void CountEnd(DisconnectCause cause)
    {
        Interlocked.Increment(ref _ended);
        Interlocked.Increment(ref _ends[(int)cause]);
    }

    /// <summary>Requests that were refused for this reason.</summary>
    public long Refusals(RefusalReason reason) => Interlocked.Read(ref _refusals[(int)reason]);

    /// <summary>Connections that ended for this cause.</summary>
    public long Ends(DisconnectCause cause) => Interlocked.Read(ref _ends[(int)cause]);
}
