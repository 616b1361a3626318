using System.Diagnostics.Metrics;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Telemetry;

/// <summary>
/// Counts what happens in the server. Any thread may count. A reader may see one count of an event a moment before another count of it.
/// </summary>
internal sealed class ServerMetrics : IDisposable
{
    /// <summary>The histograms whose names begin so have the tag <c>cause</c>.</summary>
    public const string ByCause = "heartbeat.end.";

    /// <summary>
    /// Bounds of the buckets for what is usually short, in seconds. The long ones are those that people give to <c>--timeout</c> and <c>--ping</c>, so
    /// that a query can ask how many pongs another value would have let pass.
    /// </summary>
    private static readonly InstrumentAdvice<double> Latencies = Bounds(
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30);

    /// <summary>
    /// Bounds of the buckets for ages and silences at the end, in seconds. They are where idle timeouts usually are: a timeout of 60 s fills the bucket
    /// behind 60.
    /// </summary>
    private static readonly InstrumentAdvice<double> Lives = Bounds(
        0.5, 1, 2, 5, 10, 15, 20, 25, 30, 45, 55, 60, 75, 90, 100, 120, 180, 240, 300, 350, 400, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400);

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
    private readonly long[] _pages = new long[6];
    private long _pagesCut;
    private int _pagesUnderWay;
    private readonly Histogram<double> _endSilence;
    private readonly Histogram<double> _endAge;
    private int _peak;

    public ServerMetrics()
    {
        Suspects = new Suspects(() => (int)(Opened - Ended));
        _roundTrip = Meter.CreateHistogram("heartbeat.round_trip", "s", "From a ping handed to the socket to its pong read", null, Latencies);
        _lateness = Meter.CreateHistogram("heartbeat.lateness", "s", "How late each tick of the timing wheel was", null, Latencies);
        _endSilence = Meter.CreateHistogram(ByCause + "silence", "s", "Time since the last byte from the client, at the end", null, Lives);
        _endAge = Meter.CreateHistogram(ByCause + "age", "s", "Age of a connection at its end", null, Lives);
    }

    /// <summary>The meter that dotnet-counters, OpenTelemetry and <c>/metrics</c> listen to. Without a listener it costs nothing.</summary>
    public Meter Meter { get; } = new("HeartbeatServer");

    /// <summary>The times from a ping handed to the socket to its pong read, of all connections.</summary>
    public LatencyHistogram RoundTrips { get; } = new();

    /// <summary>How late each tick of the timing wheels was.</summary>
    public LatencyHistogram BeatLateness { get; } = new();

    /// <summary>The clients that are silent now.</summary>
    public Suspects Suspects { get; }

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

    /// <summary>Asks how many lines of the log were dropped since the start.</summary>
    public Func<long> LinesDropped { get; init; } = () => 0;

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

    /// <summary>Pings of the application that a relay has passed to its clients.</summary>
    public long ForeignPings => Interlocked.Read(ref _foreignPings);

    /// <summary>Adds what only a relay measures.</summary>
    public void CreateUpstream() => _upstreamHandshake = Meter.CreateHistogram(
        "heartbeat.upstream.handshake", "s", "From a client's complete request to the application's complete answer", null, Latencies);

    public void CountUpstreamHandshake(TimeSpan time) => _upstreamHandshake?.Record(time.TotalSeconds);

    /// <summary>The classes of statuses that an answer may have.</summary>
    public static readonly int[] StatusClasses = [2, 3, 4, 5];

    /// <summary>Pages whose answer was of a class of statuses: 2 for 200 to 299.</summary>
    public long Pages(int statusClass) => Interlocked.Read(ref _pages[statusClass]);

    /// <summary>Pages whose answer had begun, and did not reach its client as a whole.</summary>
    public long PagesCut => Interlocked.Read(ref _pagesCut);

    /// <summary>Pages that have begun and not ended.</summary>
    public int PagesUnderWay => Volatile.Read(ref _pagesUnderWay);

    public void CountPageBegun() => Interlocked.Increment(ref _pagesUnderWay);

    public void CountPageEnded() => Interlocked.Decrement(ref _pagesUnderWay);

    /// <param name="status">The status that the client got from the application, 200 to 599.</param>
    public void CountPage(int status)
    {
        Interlocked.Increment(ref _pages[status / 100]);
        Churned?.Invoke();
    }

    public void CountPageCut() => Interlocked.Increment(ref _pagesCut);

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

    /// <summary>How old a connection was at its end, and how long the client had been silent.</summary>
    public void CountLife(DisconnectCause cause, in ConnectionFigures figures)
    {
        var tag = new KeyValuePair<string, object?>("cause", cause.Name());
        _endSilence.Record(figures.SinceLastByte.TotalSeconds, tag);
        _endAge.Record(figures.Age.TotalSeconds, tag);
    }

    /// <summary>Pong timeouts with this verdict.</summary>
    public long Verdicts(PathVerdict verdict) => Interlocked.Read(ref _verdicts[(int)verdict]);

    /// <summary>Requests that were refused for this reason.</summary>
    public long Refusals(RefusalReason reason) => Interlocked.Read(ref _refusals[(int)reason]);

    /// <summary>Connections that ended for this cause.</summary>
    public long Ends(DisconnectCause cause) => Interlocked.Read(ref _ends[(int)cause]);

    public void Dispose() => Meter.Dispose();

    private static InstrumentAdvice<double> Bounds(params double[] seconds) => new() { HistogramBucketBoundaries = seconds };
}
