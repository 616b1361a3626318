using HeartbeatServer.Connections;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Admin;

/// <summary>Keeps the last hour in samples, for the plots of the dashboard.</summary>
internal sealed class History
{
    /// <summary>How many samples are kept.</summary>
    public const int Length = 720;

    /// <summary>The time between two samples.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    private readonly ServerMetrics _metrics;
    private readonly ConnectionTable _table;
    private readonly TimeProvider _time;
    private readonly Lock _gate = new();
    private readonly Queue<Sample> _samples = new(Length);
    private Counts _last;

    public History(ServerMetrics metrics, ConnectionTable table, TimeProvider time)
    {
        (_metrics, _table, _time) = (metrics, table, time);
        _last = Count();
    }

    /// <summary>Ends an interval and keeps what happened in it. One thread at a time may call this.</summary>
    public void Take()
    {
        Counts now = Count();
        Counts last = _last;
        _last = now;
        long[] roundTrips = Difference(now.RoundTrips, last.RoundTrips);
        long[] lateness = Difference(now.Lateness, last.Lateness);
        var sample = new Sample
        {
            Time = _time.GetUtcNow().ToUnixTimeSeconds(),
            Connections = _table.Count,
            Opened = now.Opened - last.Opened,
            Refused = now.Refused - last.Refused,
            Ends = Difference(now.Ends, last.Ends),
            Strikes = now.Strikes - last.Strikes,
            Late = now.Late - last.Late,
            P50Ms = Quantile(roundTrips, 0.5),
            P95Ms = Quantile(roundTrips, 0.95),
            P99Ms = Quantile(roundTrips, 0.99),
            LatenessMs = Quantile(lateness, 1),
        };
        lock (_gate)
        {
            if (_samples.Count == Length)
                _samples.Dequeue();
            _samples.Enqueue(sample);
        }
    }

    /// <param name="after">In Unix seconds; only newer samples are returned.</param>
    public HistoryJson After(long after)
    {
        Sample[] samples;
        lock (_gate)
            samples = [.. _samples.Where(sample => sample.Time > after)];
        return new HistoryJson
        {
            IntervalSeconds = (int)Interval.TotalSeconds,
            Time = Column(sample => sample.Time),
            Connections = Column(sample => sample.Connections),
            Opened = Column(sample => sample.Opened),
            Refused = Column(sample => sample.Refused),
            Ends = DisconnectCauses.All.ToDictionary(cause => cause.Name(), cause => Column(sample => sample.Ends[(int)cause])),
            Strikes = Column(sample => sample.Strikes),
            Late = Column(sample => sample.Late),
            P50Ms = Column(sample => sample.P50Ms),
            P95Ms = Column(sample => sample.P95Ms),
            P99Ms = Column(sample => sample.P99Ms),
            LatenessMs = Column(sample => sample.LatenessMs),
        };

        T[] Column<T>(Func<Sample, T> value) => [.. samples.Select(value)];
    }

    private Counts Count()
    {
        var roundTrips = new long[LatencyHistogram.Buckets];
        var lateness = new long[LatencyHistogram.Buckets];
        _metrics.RoundTrips.CopyTo(roundTrips);
        _metrics.BeatLateness.CopyTo(lateness);
        return new Counts(
            Opened: _metrics.Opened,
            Refused: _metrics.Refused,
            Ends: [.. DisconnectCauses.All.Select(_metrics.Ends)],
            Strikes: _metrics.Strikes,
            Late: _metrics.LatePongs,
            RoundTrips: roundTrips,
            Lateness: lateness);
    }

    private static long[] Difference(long[] now, long[] before) => [.. now.Zip(before, (a, b) => a - b)];

    private static double? Quantile(long[] counts, double quantile) =>
        Array.TrueForAll(counts, count => count == 0) ? null : JsonTime.Ms(LatencyHistogram.Quantile(counts, quantile));

    /// <summary>What was counted from the start until one moment.</summary>
    private sealed record Counts(long Opened, long Refused, long[] Ends, long Strikes, long Late, long[] RoundTrips, long[] Lateness);

    /// <summary>What happened in one interval; the quantiles are null if nothing was measured in it.</summary>
    private sealed record Sample
    {
        /// <summary>The end of the interval, in Unix seconds.</summary>
        public required long Time { get; init; }
        public required int Connections { get; init; }
        public required long Opened { get; init; }
        public required long Refused { get; init; }

        /// <summary>One count for each <see cref="DisconnectCause"/>.</summary>
        public required long[] Ends { get; init; }
        public required long Strikes { get; init; }
        public required long Late { get; init; }
        public required double? P50Ms { get; init; }
        public required double? P95Ms { get; init; }
        public required double? P99Ms { get; init; }
        public required double? LatenessMs { get; init; }
    }
}
