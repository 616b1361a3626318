using HeartbeatServer.Connections;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;


namespace HeartbeatServer.Admin;

/// <summary>The last hour in samples, for the plots of the dashboard.</summary>
internal sealed class History
{
    public const int Length = 720;

    /// <summary>Between two samples.</summary>
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

    /// <summary>Ends an interval.</summary>
    public void Take()
    {
        Counts now = Count();
        Counts last = _last;
        _last = now;
        long[] roundTrips = Difference(now.RoundTrips, last.RoundTrips);
        long[] lateness = Difference(now.Lateness, last.Lateness);
        var sample = new Sample(
            _time.GetUtcNow().ToUnixTimeSeconds(),
            _table.Count,
            now.Opened - last.Opened,
            now.Refused - last.Refused,
            Difference(now.Ends, last.Ends),
            now.Strikes - last.Strikes,
            now.Late - last.Late,
            Quantile(roundTrips, 0.5),
            Quantile(roundTrips, 0.95),
            Quantile(roundTrips, 0.99),
            Quantile(lateness, 1));
        lock (_gate)
        {
            if (_samples.Count == Length)
                _samples.Dequeue();
            _samples.Enqueue(sample);
        }
    }

    /// <param name="after">Only samples that are newer, in Unix seconds.</param>
    public HistoryJson After(long after)
    {
        Sample[] samples;
        lock (_gate)
            samples = [.. _samples.Where(sample => sample.Time > after)];
        return new HistoryJson(
            (int)Interval.TotalSeconds,
            Column(sample => sample.Time),
            Column(sample => sample.Connections),
            Column(sample => sample.Opened),
            Column(sample => sample.Refused),
            DisconnectCauses.All.ToDictionary(cause => cause.Name(), cause => Column(sample => sample.Ends[(int)cause])),
            Column(sample => sample.Strikes),
            Column(sample => sample.Late),
            Column(sample => sample.P50Ms),
            Column(sample => sample.P95Ms),
            Column(sample => sample.P99Ms),
            Column(sample => sample.LatenessMs));

        T[] Column<T>(Func<Sample, T> of) => [.. samples.Select(of)];
    }

    private Counts Count()
    {
        var roundTrips = new long[LatencyHistogram.Buckets];
        var lateness = new long[LatencyHistogram.Buckets];
        _metrics.RoundTrips.CopyTo(roundTrips);
        _metrics.BeatLateness.CopyTo(lateness);
        return new Counts(
            _metrics.Opened, _metrics.Refused, [.. DisconnectCauses.All.Select(_metrics.Ends)], _metrics.Strikes, _metrics.LatePongs, roundTrips, lateness);
    }

    private static long[] Difference(long[] now, long[] before) => [.. now.Zip(before, (a, b) => a - b)];

    private static double? Quantile(long[] counts, double quantile) =>
        Array.TrueForAll(counts, count => count == 0) ? null : JsonTime.Ms(LatencyHistogram.Quantile(counts, quantile));

    private sealed record Counts(long Opened, long Refused, long[] Ends, long Strikes, long Late, long[] RoundTrips, long[] Lateness);

    private sealed record Sample(
        long Time, int Connections, long Opened, long Refused, long[] Ends, long Strikes, long Late, double? P50Ms, double? P95Ms, double? P99Ms, double? LatenessMs);
}
