namespace HeartbeatServer.Telemetry;

/// <summary>
/// Counts durations from a microsecond to an hour. Each bucket is 1/8 of a power of two wide, so a quantile is at most an eighth too large. Any thread
/// may add.
/// </summary>
internal sealed class LatencyHistogram
{
    private const int SubBits = 3;
    private const int Powers = 32;

    /// <summary>The number of buckets, and so of the counts that <see cref="CopyTo"/> writes.</summary>
    public const int Buckets = (Powers + 1) << SubBits;

    private readonly long[] _buckets = new long[Buckets];
    private long _maxTicks;

    public long Count
    {
        get
        {
            long count = 0;
            foreach (ref long bucket in _buckets.AsSpan())
                count += Interlocked.Read(ref bucket);
            return count;
        }
    }

    public TimeSpan Max => TimeSpan.FromTicks(Interlocked.Read(ref _maxTicks));

    public void Add(TimeSpan duration)
    {
        Interlocked.Increment(ref _buckets[IndexOf((ulong)Math.Max(0, duration.Ticks / TimeSpan.TicksPerMicrosecond))]);
        long max;
        while (duration.Ticks > (max = Interlocked.Read(ref _maxTicks)) && Interlocked.CompareExchange(ref _maxTicks, duration.Ticks, max) != max) { }
    }

    /// <param name="quantile">0 to 1: which part of all durations.</param>
    /// <returns>A duration that this part of all is not longer than; zero if nothing was added.</returns>
    public TimeSpan Quantile(double quantile)
    {
        Span<long> counts = stackalloc long[Buckets];
        CopyTo(counts);
        TimeSpan bound = Quantile(counts, quantile);
        return bound < Max ? bound : Max;
    }

    /// <summary>The buckets that hold a duration, the shortest first: the longest duration that belongs there, and how many there are.</summary>
    public IEnumerable<(TimeSpan UpTo, long Count)> Filled()
    {
        for (int i = 0; i < Buckets; i++)
        {
            if (Interlocked.Read(ref _buckets[i]) is > 0 and var count)
                yield return (TimeSpan.FromMicroseconds(UpperBound(i)), count);
        }
    }

    /// <summary>Copies the counts of all buckets. The difference of two copies is what was added between them.</summary>
    public void CopyTo(Span<long> counts)
    {
        for (int i = 0; i < Buckets; i++)
            counts[i] = Interlocked.Read(ref _buckets[i]);
    }

    /// <inheritdoc cref="Quantile(double)"/>
    /// <param name="counts">A copy that <see cref="CopyTo"/> made, or the difference of two.</param>
    /// <param name="quantile">0 to 1: which part of all durations.</param>
    public static TimeSpan Quantile(ReadOnlySpan<long> counts, double quantile)
    {
        long count = 0;
        foreach (long each in counts)
            count += each;
        long wanted = (long)Math.Ceiling(count * quantile);
        long seen = 0;
        for (int i = 0; i < counts.Length && wanted > 0; i++)
        {
            seen += counts[i];
            if (seen >= wanted)
                return TimeSpan.FromMicroseconds(UpperBound(i));
        }
        return TimeSpan.Zero;
    }

    // Short durations, below 2^(SubBits + 1) microseconds, have a bucket for each microsecond. For longer ones the leading bit chooses a power of two,
    // and the SubBits bits behind it choose one of the power's buckets.
    private static int IndexOf(ulong microseconds)
    {
        int power = 63 - System.Numerics.BitOperations.LeadingZeroCount(microseconds | 1) - SubBits;
        if (power <= 0)
            return (int)Math.Min(microseconds, (1 << (SubBits + 1)) - 1);
        return power >= Powers ? ((Powers + 1) << SubBits) - 1 : ((power + 1) << SubBits) + (int)((microseconds >> power) & ((1 << SubBits) - 1));
    }

    private static long UpperBound(int index)
    {
        int power = (index >> SubBits) - 1;
        return power <= 0 ? index : (((1L << SubBits) + (index & ((1 << SubBits) - 1)) + 1) << power) - 1;
    }
}
