namespace HeartbeatServer.Protocol;

/// <summary>The three numbers of a heartbeat.</summary>
/// <param name="Ping">Time between two pings on one connection; zero for no pings.</param>
/// <param name="Timeout">How long after a ping its pong counts as in time, at most <paramref name="Ping"/>; zero to never judge.</param>
/// <param name="MaxMissed">Strikes in a row after which the connection is dead; at least 1.</param>
internal readonly record struct HeartbeatTimings(TimeSpan Ping, TimeSpan Timeout, int MaxMissed)
{
    /// <summary>
    /// The shortest ping and the shortest timeout: the server measures a heartbeat in steps of this length. 8 ms is finer than the 10 ms of a usual
    /// timer, and does not divide the default timeout of 500 ms. A deadline begins a little after a step. If the step divided the timeout, each
    /// deadline would fall just behind a step, and the server would judge the pong one whole step late.
    /// </summary>
    public static readonly TimeSpan Shortest = TimeSpan.FromMilliseconds(8);

    /// <summary>A kernel's default for <c>tcp_retries2</c>: retransmissions before it gives a connection up.</summary>
    private const int Retransmissions = 15;

    private static readonly TimeSpan FirstRetransmission = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan LeastCap = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan MostCap = TimeSpan.FromSeconds(120);

    /// <summary>After so long without a sign of life a peer is dead; <see cref="Heartbeat.Never"/> if nobody judges.</summary>
    public TimeSpan Patience => Ping == TimeSpan.Zero || Timeout == TimeSpan.Zero ? Heartbeat.Never : Ping * MaxMissed + Timeout;

    /// <summary>
    /// The longest time between two retransmissions of the kernel (<c>TCP_RTO_MAX_MS</c>, Linux 6.15), so that an outage that heals is over for TCP, too,
    /// before we lose patience. About a fifth of a beat, and as much more as the kernel needs to stay more patient than we are.
    /// </summary>
    /// <returns>1 to 120 seconds; null without a beat: then the kernel's own default is right.</returns>
    public TimeSpan? RetransmissionCap
    {
        get
        {
            if (Patience == Heartbeat.Never)
                return null;
            TimeSpan cap = TimeSpan.FromSeconds(Math.Clamp(Math.Round((Ping / 5).TotalSeconds), LeastCap.TotalSeconds, MostCap.TotalSeconds));
            while (cap < MostCap && KernelPatience(cap) <= Patience)
                cap += TimeSpan.FromSeconds(1);
            return cap;
        }
    }

    /// <summary>How long a kernel goes on with this cap: each retransmission waits twice as long as the one before, up to the cap.</summary>
    private static TimeSpan KernelPatience(TimeSpan cap)
    {
        TimeSpan sum = TimeSpan.Zero;
        TimeSpan wait = FirstRetransmission;
        for (int i = 0; i <= Retransmissions; i++)
        {
            sum += wait < cap ? wait : cap;
            wait *= 2;
        }
        return sum;
    }
}
