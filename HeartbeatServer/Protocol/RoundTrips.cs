using System.Runtime.CompilerServices;

namespace HeartbeatServer.Protocol;

/// <summary>Round-trip times of one connection, from a ping handed to the socket to its pong read.</summary>
internal struct RoundTrips
{
    private long _sumTicks;
    private RecentTimes _recent;

    public int Count { get; private set; }
    public TimeSpan Last { get; private set; }
    public TimeSpan Min { get; private set; }
    public TimeSpan Max { get; private set; }

    /// <summary>Mean difference of neighbours, smoothed by 1/16 as in RFC 3550 section 6.4.1.</summary>
    public TimeSpan Jitter { get; private set; }

    public readonly TimeSpan Mean => Count == 0 ? TimeSpan.Zero : TimeSpan.FromTicks(_sumTicks / Count);

    public void Add(TimeSpan roundTrip)
    {
        if (Count == 0)
        {
            Min = Max = roundTrip;
        }
        else
        {
            Jitter += ((roundTrip - Last).Duration() - Jitter) / 16;
            Min = roundTrip < Min ? roundTrip : Min;
            Max = roundTrip > Max ? roundTrip : Max;
        }
        Last = roundTrip;
        _sumTicks += roundTrip.Ticks;
        _recent[Count % RecentTimes.Length] = (Half)Math.Min(roundTrip.TotalMilliseconds, (double)Half.MaxValue);
        Count++;
    }

    /// <summary>The last 16, oldest first, in milliseconds: to three digits, and at most 65,504.</summary>
    public readonly double[] RecentMs()
    {
        var recent = new double[Math.Min(Count, RecentTimes.Length)];
        for (int i = 0; i < recent.Length; i++)
            recent[i] = (double)_recent[(Count - recent.Length + i) % RecentTimes.Length];
        return recent;
    }

    /// <summary>32 bytes a connection.</summary>
    [InlineArray(Length)]
    private struct RecentTimes
    {
        public const int Length = 16;
        private Half _first;
    }
}
