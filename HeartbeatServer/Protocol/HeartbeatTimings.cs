namespace HeartbeatServer.Protocol;

/// <summary>The three numbers of a heartbeat.</summary>
/// <param name="Ping">The time between two pings on one connection; zero for no pings.</param>
/// <param name="Timeout">How long after a ping its pong is still in time, at most <paramref name="Ping"/>; zero for no limit.</param>
/// <param name="MaxMissed">After how many strikes in a row the connection is dead; at least 1.</param>
internal readonly record struct HeartbeatTimings(TimeSpan Ping, TimeSpan Timeout, int MaxMissed)
{
    /// <summary>
    /// The shortest ping and the shortest timeout: the server measures a heartbeat in steps of this length. 8 ms is finer than the 10 ms of a usual
    /// timer, and does not divide the default timeout of 500 ms. A deadline begins a little after a step. If the step divided the timeout, each
    /// deadline would fall just behind a step, and the server would judge the pong one whole step late.
    /// </summary>
    public static readonly TimeSpan Shortest = TimeSpan.FromMilliseconds(8);

    /// <summary>The longest time between two cohorts. A ping that is halved a few times, until it is no longer than this, is 48 to 96 ms.</summary>
    private static readonly TimeSpan CohortSpacing = TimeSpan.FromMilliseconds(96);

    /// <summary>So many connections in a cohort are enough. With more of them there are more cohorts, so that no burst of pings is long.</summary>
    private const int CohortSize = 128;

    /// <summary>How many times a kernel retransmits before it gives a connection up: the default of <c>tcp_retries2</c>.</summary>
    private const int Retransmissions = 15;

    private static readonly TimeSpan FirstRetransmission = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan LeastCap = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan MostCap = TimeSpan.FromSeconds(120);

    /// <summary>
    /// The longest time that a peer may give no sign of life before it is dead; <see cref="Heartbeat.Never"/> if there are no pings or no timeout.
    /// </summary>
    public TimeSpan Patience => Ping == TimeSpan.Zero || Timeout == TimeSpan.Zero ? Heartbeat.Never : Ping * MaxMissed + Timeout;

    /// <summary>
    /// The longest time between two retransmissions of the kernel (<c>TCP_RTO_MAX_MS</c>, Linux 6.15). With this limit TCP notices the end of a
    /// short outage before the patience of the server is over. The limit is about a fifth of the time between two pings. It is longer where the
    /// kernel would otherwise give up before the server does.
    /// </summary>
    /// <returns>1 to 120 seconds; null if no peer is ever judged, because then the kernel's own default is right.</returns>
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

    /// <summary>
    /// When the first ping of a connection leaves. Connections are pinged in cohorts: pings and pongs that come one after the other find code and
    /// kernel in the caches, and cost a third less than single ones. Each connection stays in its cohort, because the time between two pings is a
    /// whole number of cohorts. If the number of connections grows, new cohorts come between the others.
    /// </summary>
    /// <param name="now">When the connection opened.</param>
    /// <param name="phase">
    /// 0 to 1: which part of the time between two pings passes before the first ping, at least. The caller chooses a random number, so that clients
    /// which connect together are not pinged together.
    /// </param>
    /// <param name="connections">How many connections the same thread pings.</param>
    /// <returns>The time of the first cohort after the phase; <see cref="Heartbeat.Never"/> if there are no pings.</returns>
    public TimeSpan FirstPing(TimeSpan now, double phase, int connections)
    {
        if (Ping == TimeSpan.Zero)
            return Heartbeat.Never;
        TimeSpan spacing = Ping;
        for (long cohorts = 1; spacing / 2 >= Shortest && (spacing > CohortSpacing || connections > cohorts * CohortSize); cohorts *= 2)
            spacing /= 2;
        TimeSpan earliest = now + (Ping * phase);
        long inPeriod = earliest.Ticks % Ping.Ticks;
        long cohort = (inPeriod + spacing.Ticks - 1) / spacing.Ticks;
        return earliest - TimeSpan.FromTicks(inPeriod) + (cohort * spacing);
    }

    /// <summary>
    /// How long a kernel with this cap retransmits before it gives up. Each retransmission waits twice as long as the one before, up to the cap.
    /// </summary>
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
