namespace HeartbeatServer.Telemetry;

/// <summary>Durations that agree: all of them lie within 1 %, or 0.1 s, of one length.</summary>
/// <param name="Length">The median of them.</param>
/// <param name="Shortest">The shortest of them.</param>
/// <param name="Members">Their places among the durations that were searched.</param>
internal sealed record Cluster(TimeSpan Length, TimeSpan Shortest, IReadOnlyList<int> Members)
{
    /// <summary>
    /// How far a member may be from the one length, at least. With 0.5 s the clients that leave at any moment between two pings, 2 s apart, would look
    /// like a cluster.
    /// </summary>
    private static readonly TimeSpan LeastTolerance = TimeSpan.FromSeconds(0.1);

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
            : new Cluster(durations[order[first + ((count - 1) / 2)]], durations[order[first]], order[first..(first + count)]);
    }

    private static bool Agree(TimeSpan shortest, TimeSpan longest)
    {
        TimeSpan tolerance = (shortest + longest) / 200;
        return longest - shortest <= 2 * (tolerance > LeastTolerance ? tolerance : LeastTolerance);
    }
}
