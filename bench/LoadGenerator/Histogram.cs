using System.Numerics;

namespace LoadGenerator;

/// <summary>Durations in nanoseconds, in buckets less than 1 % wide: 128 to each power of two.</summary>
internal sealed class Histogram
{
    private const int Bits = 7;
    private const int PerPower = 1 << Bits;

    private readonly long[] _buckets = new long[PerPower * (64 - Bits + 1)];

    public long Count { get; private set; }
    public long Max { get; private set; }

    public void Add(long value)
    {
        int power = Math.Max(0, BitOperations.Log2((ulong)value) - Bits);
        _buckets[(power << Bits) + (int)(value >> power)]++;
        Count++;
        Max = Math.Max(Max, value);
    }

    public void Clear()
    {
        Array.Clear(_buckets);
        (Count, Max) = (0, 0);
    }

    /// <summary>The value that so large a part (0 to 1) does not exceed, in milliseconds; null of nothing.</summary>
    public double? Milliseconds(double part)
    {
        long wanted = Math.Max(1, (long)Math.Ceiling(part * Count));
        for (int i = 0; i < _buckets.Length && Count > 0; i++)
        {
            wanted -= _buckets[i];
            if (wanted <= 0)
                return Math.Min(Middle(i), Max) / 1e6;
        }
        return null;
    }

    private static double Middle(int bucket)
    {
        // Buckets below 2 * PerPower are one wide; above, the index is the power and the leading bits, which begin with a one.
        int power = Math.Max(0, (bucket >> Bits) - 1);
        long low = (long)(bucket - (power << Bits)) << power;
        return low + ((1L << power) - 1) / 2.0;
    }
}
