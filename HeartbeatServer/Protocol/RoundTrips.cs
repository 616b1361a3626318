using System.Runtime.CompilerServices;

namespace HeartbeatServer.Protocol;

/// <summary>
/// The round-trip times of one connection. A round trip begins when the socket gets the ping, and ends when the server reads the pong.
/// </summary>
internal struct RoundTrips
{
    private long _sumTicks;
    private RecentTimes _recent;

    public int Count { get; private set; }
    public TimeSpan Last { get; private set; }
    public TimeSpan Min { get; private set; }
    public TimeSpan Max { get; private set; }

    /// <summary>The mean difference between two successive round trips, smoothed by 1/16 as in RFC 3550 section 6.4.1.</summary>
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

    /// <summary>The last 16 round trips, oldest first, in milliseconds. They are exact to three digits, and at most 65,504.</summary>
    public readonly double[] RecentMs()
    {
        var recent = new double[Math.Min(Count, RecentTimes.Length)];
        for (int i = 0; i < recent.Length; i++)
            recent[i] = (double)_recent[(Count - recent.Length + i) % RecentTimes.Length];
        return recent;
    }

    /// <summary>The last round trips in milliseconds, as numbers of 2 bytes: 32 bytes for each connection.</summary>
    [InlineArray(Length)]
    private struct RecentTimes
    {
        public const int Length = 16;
        private Half _first;
    }
}
