namespace HeartbeatServer.Telemetry;

/// <summary>Asks the record now and then why connections end, and logs each finding once. It warns again when the finding changes.</summary>
/// <param name="ends">The record.</param>
/// <param name="suspects">Knows the crowds that were silent together.</param>
/// <param name="ping"><c>--ping</c>; zero for no pings.</param>
/// <param name="time">The clock of the record.</param>
/// <param name="log">Gets the warnings.</param>
internal sealed class WhyWatch(EndLog ends, Suspects suspects, TimeSpan ping, TimeProvider time, ServerLog log)
{
    /// <summary>
    /// How often somebody looks. A person who reads the log does not miss these seconds, and the rules, which take some milliseconds over a full record,
    /// are little in them. They run on a thread of the pool, and only if a connection has ended meanwhile or clients were silent together.
    /// </summary>
    public static readonly TimeSpan Every = TimeSpan.FromSeconds(10);

    /// <summary>What was not found for so long is worth a new warning when it comes back.</summary>
    private static readonly TimeSpan Forgotten = TimeSpan.FromMinutes(10);

    private List<(Finding Finding, TimeSpan Seen)> _told = [];
    private long _seen;

    /// <summary>What the record says now.</summary>
    public IReadOnlyList<Finding> Findings()
    {
        TimeSpan now = time.GetElapsedTime(0);
        return Why.Explain(ends.Snapshot(), suspects.Stalls(now), ping, now);
    }

    /// <summary>Logs what is new. One thread at a time may call this.</summary>
    public void Look()
    {
        TimeSpan now = time.GetElapsedTime(0);
        long count = ends.Count;
        if (count == _seen && suspects.Stalls(now).Count == 0)
            return;
        bool isEarly = false;
        var found = new List<(Finding, TimeSpan)>();
        foreach (Finding finding in Findings().Where(each => each.Explains))
        {
            // More of the same may still come: the event is told at the next look, with its true figures.
            if (finding.Kind == FindingKind.Event && now - finding.To < EndEvents.Window)
            {
                isEarly = true;
                continue;
            }
            if (!_told.Exists(told => IsSame(told.Finding, finding)))
                log.Why(finding.Kind.Name(), finding.Sentence);
            found.Add((finding, now));
        }
        // No count is -1: the next look is made whether more have ended or not.
        _seen = isEarly ? -1 : count;
        _told = [.. found, .. _told.Where(told => now - told.Seen < Forgotten && !found.Exists(each => IsSame(told.Finding, each.Item1)))];
    }

    /// <summary>Whether one finding is the other with newer figures.</summary>
    private static bool IsSame(Finding told, Finding found) => told.Kind == found.Kind && found.Kind switch
    {
        FindingKind.Event => found.From <= told.To && told.From <= found.To,
        // Stalls that come again and again are one. That it is over is news.
        FindingKind.Stall => told.To is null == found.To is null,
        _ => Math.Abs((told.Length - found.Length)!.Value.TotalSeconds) <= Math.Max(0.2, found.Length!.Value.TotalSeconds / 50),
    };
}
