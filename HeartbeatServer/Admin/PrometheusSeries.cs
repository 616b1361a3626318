using System.Diagnostics.Metrics;
using HeartbeatServer.Telemetry;
using Prometheus;

namespace HeartbeatServer.Admin;

/// <summary>An instrument of a meter as a series of Prometheus: <c>heartbeat.round_trip</c> in <c>s</c> becomes <c>heartbeat_round_trip_seconds</c>.</summary>
internal abstract class PrometheusSeries
{
    public abstract void Record(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags);

    public static PrometheusSeries Of(MetricFactory factory, Instrument instrument)
    {
        string name = Name(instrument);
        string help = instrument.Description ?? instrument.Name;
        return instrument switch
        {
            Histogram<double> histogram => new Distribution(factory.CreateHistogram(
                name,
                help,
                instrument.Name.StartsWith(ServerMetrics.ByCause, StringComparison.Ordinal) ? ["cause"] : [],
                new HistogramConfiguration
                {
                    Buckets = [.. histogram.Advice?.HistogramBucketBoundaries ?? []],
                    ExemplarBehavior = ExemplarBehavior.NoExemplars(),
                })),
            ObservableCounter<long> or ObservableCounter<double> => new Total(factory, name + "_total", help),
            _ => new Level(factory, name, help),
        };
    }

    /// <summary>The name as OpenTelemetry translates it: underscores for dots, and the unit at the end.</summary>
    private static string Name(Instrument instrument)
    {
        string name = instrument.Name.Replace('.', '_');
        string unit = instrument.Unit switch { "s" => "_seconds", "By" => "_bytes", _ => "" };
        return name.EndsWith(unit, StringComparison.Ordinal) ? name : name + unit;
    }

    private static string[] Texts(ReadOnlySpan<KeyValuePair<string, object?>> tags, Func<KeyValuePair<string, object?>, string> text)
    {
        var texts = new string[tags.Length];
        for (int i = 0; i < texts.Length; i++)
            texts[i] = text(tags[i]);
        return texts;
    }

    private static string[] LabelNames(ReadOnlySpan<KeyValuePair<string, object?>> tags) => Texts(tags, tag => tag.Key.Replace('.', '_'));

    private static string[] LabelValues(ReadOnlySpan<KeyValuePair<string, object?>> tags) => Texts(tags, tag => $"{tag.Value}");

    private sealed class Total(MetricFactory factory, string name, string help) : PrometheusSeries
    {
        private Counter? _counter;

        public override void Record(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            _counter ??= factory.CreateCounter(name, help, LabelNames(tags));
            _counter.WithLabels(LabelValues(tags)).IncTo(value);
        }
    }

    private sealed class Level(MetricFactory factory, string name, string help) : PrometheusSeries
    {
        private Gauge? _gauge;

        public override void Record(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            _gauge ??= factory.CreateGauge(name, help, LabelNames(tags));
            _gauge.WithLabels(LabelValues(tags)).Set(value);
        }
    }

    /// <summary>A histogram. One without tags is recorded for each pong, and allocates nothing then.</summary>
    private sealed class Distribution(Histogram histogram) : PrometheusSeries
    {
        public override void Record(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            if (tags.IsEmpty)
                histogram.Observe(value);
            else
                histogram.WithLabels(LabelValues(tags)).Observe(value);
        }
    }
}
