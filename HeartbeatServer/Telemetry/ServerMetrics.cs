using System.Diagnostics.Metrics;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Telemetry;

/// <summary>
/// Counts what happens in the server. Any thread may count. A reader may see one count of an event a moment before another count of it.
/// </summary>
internal sealed class ServerMetrics : IDisposable
{
    private readonly long[] _ends = new long[DisconnectCauses.All.Length];
    private readonly long[] _verdicts = new long[PathVerdicts.All.Length];
    private readonly long[] _refusals = new long[RefusalReasons.All.Length];
    private long _opened;
    private long _ended;
    private long _refused;
    private long _strikes;
    private long _latePongs;
    private readonly Histogram<double> _roundTrip;
    private readonly Histogram<double> _lateness;
    private Histogram<double>? _upstreamHandshake;
    private long _foreignPings;
    private int _peak;

    public ServerMetrics()
    {
        _roundTrip = Meter.CreateHistogram(
            "heartbeat.round_trip", "s", "From a ping handed to the socket to its pong read", null, BucketsTo(seconds: 33));
        _lateness = Meter.CreateHistogram("heartbeat.lateness", "s", "How late each tick of the timing wheel was", null, BucketsTo(seconds: 33));
    }

    /// <summary>The meter that dotnet-counters, OpenTelemetry and <c>/metrics</c> listen to. Without a listener it costs nothing.</summary>
    public Meter Meter { get; } = new("HeartbeatServer");

    /// <summary>The times from a ping handed to the socket to its pong read, of all connections.</summary>
    public LatencyHistogram RoundTrips { get; } = new();

    /// <summary>How late each tick of the timing wheels was.</summary>
    public LatencyHistogram BeatLateness { get; } = new();

    /// <summary>Connections that were upgraded since the start.</summary>
    public long Opened => Interlocked.Read(ref _opened);

    /// <summary>Connections that ended since the start.</summary>
    public long Ended => Interlocked.Read(ref _ended);

    /// <summary>Requests that were refused since the start.</summary>
    public long Refused => Interlocked.Read(ref _refused);

    /// <summary>Pings that no sign of life followed in time.</summary>
    public long Strikes => Interlocked.Read(ref _strikes);

    /// <summary>Pongs that came after their deadline.</summary>
    public long LatePongs => Interlocked.Read(ref _latePongs);

    /// <summary>The most connections that were open at one time.</summary>
    public int Peak => Volatile.Read(ref _peak);

    /// <summary>Called at each upgrade, refusal and end, on the thread that counts it.</summary>
    public Action? Churned { get; set; }

    /// <param name="now">How many connections are open now, this one included.</param>
    public void CountOpened(int now)
    {
        Interlocked.Increment(ref _opened);
        Churned?.Invoke();
        int peak;
        while (now > (peak = Peak) && Interlocked.CompareExchange(ref _peak, now, peak) != peak) { }
    }

    public void CountRoundTrip(TimeSpan time)
    {
        RoundTrips.Add(time);
        if (_roundTrip.Enabled)
            _roundTrip.Record(time.TotalSeconds);
    }

    public void CountTick(TimeSpan lateness)
    {
        BeatLateness.Add(lateness);
        if (_lateness.Enabled)
            _lateness.Record(lateness.TotalSeconds);
    }

    public void CountRefused(RefusalReason reason)
    {
        Interlocked.Increment(ref _refused);
        Interlocked.Increment(ref _refusals[(int)reason]);
        Churned?.Invoke();
    }

    /// <summary>Pings of applications and of clients that a relay has passed on.</summary>
    public long ForeignPings => Interlocked.Read(ref _foreignPings);

    /// <summary>Adds what only a relay measures.</summary>
    public void CreateUpstream() => _upstreamHandshake = Meter.CreateHistogram(
        "heartbeat.upstream.handshake", "s", "From a client's complete request to the application's complete answer", null, BucketsTo(seconds: 33));

    public void CountUpstreamHandshake(TimeSpan time) => _upstreamHandshake?.Record(time.TotalSeconds);

    public void CountForeignPing() => Interlocked.Increment(ref _foreignPings);

    public void CountStrike() => Interlocked.Increment(ref _strikes);

    public void CountLatePong() => Interlocked.Increment(ref _latePongs);

    /// <param name="cause">Why it ended.</param>
    /// <param name="verdict">Of a pong timeout.</param>
    public void CountEnd(DisconnectCause cause, PathVerdict? verdict = null)
    {
        Interlocked.Increment(ref _ended);
        Interlocked.Increment(ref _ends[(int)cause]);
        if (verdict is { } known)
            Interlocked.Increment(ref _verdicts[(int)known]);
        Churned?.Invoke();
    }

    /// <summary>Pong timeouts with this verdict.</summary>
    public long Verdicts(PathVerdict verdict) => Interlocked.Read(ref _verdicts[(int)verdict]);

    /// <summary>Requests that were refused for this reason.</summary>
    public long Refusals(RefusalReason reason) => Interlocked.Read(ref _refusals[(int)reason]);

    /// <summary>Connections that ended for this cause.</summary>
    public long Ends(DisconnectCause cause) => Interlocked.Read(ref _ends[(int)cause]);

    public void Dispose() => Meter.Dispose();

    /// <summary>Bounds of buckets, from 64 microseconds on, each twice the one before.</summary>
    private static InstrumentAdvice<double> BucketsTo(double seconds) => new()
    {
        HistogramBucketBoundaries = [.. Enumerable.Range(0, 32).Select(power => 64e-6 * (1 << power)).TakeWhile(bound => bound < 2 * seconds)],
    };
}
