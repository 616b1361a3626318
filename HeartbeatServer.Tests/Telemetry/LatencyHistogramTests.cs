using HeartbeatServer.Telemetry;


namespace HeartbeatServer.Tests.Telemetry;

internal sealed class LatencyHistogramTests
{
    [Test]
    public void Without_a_value_every_quantile_is_zero()
    {
        var histogram = new LatencyHistogram();

        Assert.That(histogram.Count, Is.Zero);
        Assert.That(histogram.Quantile(0.5), Is.EqualTo(TimeSpan.Zero));
        Assert.That(histogram.Max, Is.EqualTo(TimeSpan.Zero));
    }

    /// <summary>
    /// Compares with the sorted values. A quantile is never below the true one, and at most an eighth and a microsecond above it.
    /// </summary>
    [Test]
    public void Quantiles_are_at_most_an_eighth_too_large()
    {
        var random = new Random(1);
        var histogram = new LatencyHistogram();
        TimeSpan[] values = [.. Enumerable.Range(0, 5000).Select(_ => TimeSpan.FromMicroseconds((long)Math.Exp(random.NextDouble() * 21)))];
        foreach (TimeSpan value in values)
            histogram.Add(value);
        Array.Sort(values);

        Assert.That(histogram.Count, Is.EqualTo(values.Length));
        Assert.That(histogram.Max, Is.EqualTo(values[^1]));
        foreach (double quantile in new[] { 0.001, 0.01, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999, 1 })
        {
            TimeSpan exact = values[(int)Math.Ceiling(values.Length * quantile) - 1];
            Assert.That(histogram.Quantile(quantile), Is.InRange(exact, (exact * 1.125) + TimeSpan.FromMicroseconds(1)), $"quantile {quantile}");
        }
    }

    [TestCase(0)]
    [TestCase(1)]
    [TestCase(7)]
    [TestCase(8)]
    [TestCase(15)]
    [TestCase(16)]
    [TestCase(17)]
    [TestCase(1_000_000)]
    public void A_single_value_is_its_own_quantile(int microseconds)
    {
        var histogram = new LatencyHistogram();

        histogram.Add(TimeSpan.FromMicroseconds(microseconds));

        Assert.That(histogram.Quantile(0.5), Is.EqualTo(TimeSpan.FromMicroseconds(microseconds)));
    }

    [Test]
    public void What_is_longer_than_the_last_bucket_still_counts()
    {
        var histogram = new LatencyHistogram();

        histogram.Add(TimeSpan.FromDays(30));
        histogram.Add(TimeSpan.FromDays(-1));

        Assert.That(histogram.Count, Is.EqualTo(2));
        Assert.That(histogram.Max, Is.EqualTo(TimeSpan.FromDays(30)));
        Assert.That(histogram.Quantile(0.5), Is.EqualTo(TimeSpan.Zero));
    }

    [Test]
    public void The_difference_of_two_copies_is_what_came_between()
    {
        var histogram = new LatencyHistogram();
        long[] before = new long[LatencyHistogram.Buckets];
        long[] after = new long[LatencyHistogram.Buckets];
        histogram.Add(TimeSpan.FromSeconds(10));
        histogram.CopyTo(before);
        histogram.Add(TimeSpan.FromMicroseconds(7));
        histogram.CopyTo(after);

        long[] between = [.. after.Zip(before, (a, b) => a - b)];

        Assert.That(LatencyHistogram.Quantile(between, 1), Is.EqualTo(TimeSpan.FromMicroseconds(7)));
        Assert.That(LatencyHistogram.Quantile(new long[LatencyHistogram.Buckets], 0.5), Is.EqualTo(TimeSpan.Zero));
    }

    [Test]
    public void Nothing_is_lost_when_threads_add_at_once()
    {
        var histogram = new LatencyHistogram();

        Parallel.For(0, 8, thread =>
        {
            for (int i = 0; i < 10_000; i++)
                histogram.Add(TimeSpan.FromMicroseconds(i + thread));
        });

        Assert.That(histogram.Count, Is.EqualTo(80_000));
        Assert.That(histogram.Max, Is.EqualTo(TimeSpan.FromMicroseconds(10_006)));
    }
}
