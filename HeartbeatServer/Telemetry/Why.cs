using HeartbeatServer.Protocol;

namespace HeartbeatServer.Telemetry;

/// <summary>
/// Answers from the record why connections end: what ended together, what ended at one age, what ended after one silence. Each rule takes the ends that
/// it explains out of the next. Pure: the record and the time are passed in. It says nothing about what agrees by chance.
/// </summary>
internal static class Why
{
    /// <summary>A cluster is at least so many ends.</summary>
    public const int Least = 5;

    /// <summary>A cluster is at least this part of the ends that it is one of.</summary>
    public const double LeastShare = 0.3;

    /// <summary>Shorter silences and lives are those of clients that come and go.</summary>
    public static readonly TimeSpan LeastLength = TimeSpan.FromSeconds(2);

    /// <summary>The answers, in the order of the rules. There is at least one: it may say that there is no explanation.</summary>
    /// <param name="record">The last ends.</param>
    /// <param name="stalls">The crowds that were silent together of late.</param>
    /// <param name="ping"><c>--ping</c>; zero for no pings.</param>
    /// <param name="now">On the clock of <see cref="EndRecord.Moment"/>.</param>
    public static IReadOnlyList<Finding> Explain(EndSnapshot record, IReadOnlyList<Stall> stalls, TimeSpan ping, TimeSpan now)
    {
        IReadOnlyList<EndEvent> events = EndEvents.In(record, now);
        // Connections that began together and ended after one silence ended together, too. Their silence explains that, and their moment does not.
        HashSet<EndEvent> begunTogether = [.. events.Where(AgreesMoreInLengthThanInMoment)];
        HashSet<long> together = [.. events.Except(begunTogether).SelectMany(found => found.Ends).Select(end => end.Sequence)];

        List<EndRecord> left = [.. record.Ends.Where(end => !together.Contains(end.Sequence))];
        List<Finding> ages = Ages(left, now);
        List<Finding> silences = Silences(left, ping, now, out int silent);
        HashSet<long> unexplained = [.. left.Select(end => end.Sequence)];

        List<Finding> found =
        [
            .. events.Where(one => !begunTogether.Contains(one) || one.Ends.Count(end => unexplained.Contains(end.Sequence)) > one.Ends.Count / 2)
                .Select(one => Sentences.Of(one, now)),
            .. Sentences.Of(stalls, now) is { } stall ? [stall] : Array.Empty<Finding>(),
            .. ages,
            .. silences,
        ];
        if (silences.Count == 0 && ping > TimeSpan.Zero && silent >= Least)
            found.Add(Sentences.Pings(silent, ping));
        if (!found.Exists(each => each.Explains))
            found.Add(Sentences.Nothing(record.Ends.Count(end => end.End.Cause != DisconnectCause.ServerShutdown)));
        return found;
    }

    /// <summary>The ages at which connections ended though bytes came both ways. Takes those ends out of the list.</summary>
    private static List<Finding> Ages(List<EndRecord> left, TimeSpan now)
    {
        var findings = new List<Finding>();
        List<EndRecord> dead = [.. left.Where(end => IsGone(end) || (end.End.Cause == DisconnectCause.PongTimeout && end.Figures.Age >= LeastLength))];
        int of = dead.Count;
        // A client that speaks once and is then silent has a silence nearly as long as its age. The silence is the more likely reason.
        dead.RemoveAll(IsSilentFromTheBeginning);
        while (Greatest(dead, end => end.Figures.Age, of) is { } cluster)
        {
            List<EndRecord> those = Take(cluster, dead, left);
            findings.Add(Sentences.OfAge(cluster, those, of, now));
        }
        return findings;
    }

    /// <summary>The silences after which connections ended. Takes those ends out of the list.</summary>
    /// <param name="left">The ends that are not explained yet.</param>
    /// <param name="ping"><c>--ping</c>; zero for no pings.</param>
    /// <param name="now">The present time.</param>
    /// <param name="of">How many ends were without a goodbye.</param>
    private static List<Finding> Silences(List<EndRecord> left, TimeSpan ping, TimeSpan now, out int of)
    {
        var findings = new List<Finding>();
        List<EndRecord> gone = [.. left.Where(IsGoneInSilence)];
        of = gone.Count;
        while (GreatestSilence(gone, ping, of, out Direction direction) is { } cluster)
        {
            List<EndRecord> those = Take(cluster, gone, left);
            findings.Add(Sentences.OfSilence(cluster, direction, those, of, ping, now));
        }
        return findings;
    }

    /// <summary>
    /// The greatest cluster of the three silences. An idle timeout that counts bytes of either direction shows in the shorter of the two. One that counts
    /// bytes of one direction alone, as nginx does, shows in that direction.
    /// </summary>
    private static Cluster? GreatestSilence(List<EndRecord> gone, TimeSpan ping, int of, out Direction direction)
    {
        direction = Direction.Either;
        Cluster? greatest = Greatest(gone, end => end.Silence, of);
        if (Greatest(gone, end => end.Figures.SinceLastSent, of) is { } to && to.Members.Count > (greatest?.Members.Count ?? 0))
            (greatest, direction) = (to, Direction.ToClient);
        if (Greatest(gone, end => end.Figures.SinceLastByte, of) is { } from
            && from.Members.Count > (greatest?.Members.Count ?? 0)
            // A client that was gone long ago answers the next ping with RST. Its silence is then as long as the time between two pings.
            && (ping == TimeSpan.Zero || from.Length < ping * 0.9))
        {
            (greatest, direction) = (from, Direction.FromClient);
        }
        return greatest;
    }

    /// <summary>The greatest cluster of a length; null if it has too few of the ends, or may have come by chance.</summary>
    private static Cluster? Greatest(List<EndRecord> ends, Func<EndRecord, TimeSpan> length, int of)
    {
        TimeSpan[] lengths = [.. ends.Select(length)];
        return Cluster.Greatest(lengths, LeastLength) is { } cluster
            && cluster.Members.Count >= Least
            && cluster.Members.Count >= LeastShare * of
            && cluster.StandsOut(lengths)
                ? cluster
                : null;
    }

    /// <summary>Takes the members of a cluster out of the ends that were searched, and of those that are left.</summary>
    private static List<EndRecord> Take(Cluster cluster, List<EndRecord> searched, List<EndRecord> left)
    {
        List<EndRecord> those = [.. cluster.Members.Select(place => searched[place]).OrderBy(end => end.Sequence)];
        HashSet<long> taken = [.. those.Select(end => end.Sequence)];
        searched.RemoveAll(end => taken.Contains(end.Sequence));
        left.RemoveAll(end => taken.Contains(end.Sequence));
        return those;
    }

    /// <summary>
    /// Whether the client's side ended the connection without a goodbye. The silence of a pong timeout is our own rule. Clients that come for a moment,
    /// such as the checks of a load balancer, are too many to be compared with.
    /// </summary>
    private static bool IsGone(EndRecord end) =>
        end is { End.Cause: DisconnectCause.ClientVanished or DisconnectCause.ConnectionReset } && end.Figures.Age >= LeastLength;

    /// <summary>
    /// Whether such a client could be heard, and got its pings. The server does not read from a client whose bytes wait for the application, and no ping passes
    /// bytes that the client does not take. Such a silence is made by who does not read.
    /// </summary>
    private static bool IsGoneInSilence(EndRecord end) => IsGone(end) && !end.Figures.IsBlocked;

    /// <summary>Whether in one direction, or both, no byte went for nearly the whole life.</summary>
    public static bool IsSilentFromTheBeginning(EndRecord end) => LongestSilence(end) >= end.Figures.Age * 0.8;

    private static TimeSpan LongestSilence(EndRecord end) =>
        end.Figures.SinceLastByte > end.Figures.SinceLastSent ? end.Figures.SinceLastByte : end.Figures.SinceLastSent;

    /// <summary>Whether the ages or the silences of an event's ends lie closer together than the moments of those ends.</summary>
    private static bool AgreesMoreInLengthThanInMoment(EndEvent found)
    {
        EndRecord[] gone = [.. found.Ends.Where(IsGone)];
        if (gone.Length < found.Ends.Count / 2.0)
            return false;
        TimeSpan moments = Spread(gone, end => end.Moment);
        EndRecord[] silent = [.. gone.Where(IsGoneInSilence)];
        return Agrees(gone, end => end.Figures.Age)
            || (silent.Length == gone.Length && (Agrees(silent, end => end.Silence) || Agrees(silent, end => end.Figures.SinceLastSent)));

        bool Agrees(EndRecord[] ends, Func<EndRecord, TimeSpan> length) => Median(ends, length) >= LeastLength && Spread(ends, length) * 2 < moments;
    }

    /// <summary>The width of the middle four fifths.</summary>
    private static TimeSpan Spread(EndRecord[] ends, Func<EndRecord, TimeSpan> length)
    {
        TimeSpan[] sorted = [.. ends.Select(length).Order()];
        return sorted[(sorted.Length - 1) * 9 / 10] - sorted[sorted.Length / 10];
    }

    private static TimeSpan Median(EndRecord[] ends, Func<EndRecord, TimeSpan> length) => ends.Select(length).Order().ElementAt(ends.Length / 2);
}
