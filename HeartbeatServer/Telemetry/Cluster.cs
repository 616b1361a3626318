namespace HeartbeatServer.Telemetry;

/// <summary>Durations that agree: all of them lie within 1 %, or 0.1 s, of one length.</summary>
/// <param name="Length">The median of them.</param>
/// <param name="Shortest">The shortest of them.</param>
/// <param name="Longest">The longest of them.</param>
/// <param name="Members">Their places among the durations that were searched.</param>
internal sealed record Cluster(TimeSpan Length, TimeSpan Shortest, TimeSpan Longest, IReadOnlyList<int> Members)
{
    /// <summary>
    /// How far a member may be from the one length, at least. With 0.5 s the clients that leave at any moment between two pings, 2 s apart, would look
    /// like a cluster.
    /// </summary>
    private static readonly TimeSpan LeastTolerance = TimeSpan.FromSeconds(0.1);

    /// <summary>What a timer is exact to, at best. A cluster is not taken for narrower.</summary>
    private static readonly TimeSpan Exact = TimeSpan.FromMilliseconds(20);

    /// <summary>A cluster that would come by itself more often than this says nothing.</summary>
    private const double MostChance = 1e-5;

    /// <summary>The greatest cluster of durations; null if the longest is shorter than the least length.</summary>
    /// <param name="durations">In any order.</param>
    /// <param name="least">A cluster of shorter durations does not count.</param>
    public static Cluster? Greatest(IReadOnlyList<TimeSpan> durations, TimeSpan least)
    {
        int[] order = [.. Enumerable.Range(0, durations.Count).OrderBy(place => durations[place])];
        (int first, int count) = (0, 0);
        int low = 0;
        for (int high = 0; high < order.Length; high++)
        {
            while (!Agree(durations[order[low]], durations[order[high]]))
                low++;
            if (high - low + 1 > count && durations[order[(low + high) / 2]] >= least)
                (first, count) = (low, high - low + 1);
        }
        return count == 0
            ? null
            : new Cluster(
                durations[order[first + ((count - 1) / 2)]], durations[order[first]], durations[order[first + count - 1]], order[first..(first + count)]);
    }

    /// <summary>
    /// Whether so many durations, so close together, hardly come by chance: about as many as there are from half of the length to its double, spread
    /// evenly, would rarely do it.
    /// </summary>
    /// <param name="durations">Those that were searched.</param>
    public bool StandsOut(IReadOnlyList<TimeSpan> durations)
    {
        int near = durations.Count(each => each >= Length / 2 && each <= Length * 2) - Members.Count;
        TimeSpan width = Longest - Shortest > Exact ? Longest - Shortest : Exact;
        double expected = (near + 1) * (width / (Length * 1.5));
        return durations.Count * AtLeast(Members.Count - 1, expected) < MostChance;
    }

    /// <summary>How probable so many are, or more, where a mean is expected (Poisson).</summary>
    private static double AtLeast(int count, double mean)
    {
        double term = Math.Exp(-mean);
        for (int i = 1; i <= count; i++)
            term *= mean / i;
        double sum = 0;
        for (int i = count + 1; term > sum * 1e-6; i++)
        {
            sum += term;
            term *= mean / i;
        }
        return sum;
    }

    private static bool Agree(TimeSpan shortest, TimeSpan longest)
    {
        TimeSpan tolerance = (shortest + longest) / 200;
        return longest - shortest <= 2 * (tolerance > LeastTolerance ? tolerance : LeastTolerance);
    }
}
