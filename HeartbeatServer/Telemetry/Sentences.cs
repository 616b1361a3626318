using System.Globalization;
using System.Net;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Telemetry;

/// <summary>Whose bytes a silence is the lack of.</summary>
internal enum Direction
{
    /// <summary>No byte went either way.</summary>
    Either,
    /// <summary>No byte went to the client.</summary>
    ToClient,
    /// <summary>No byte came from the client.</summary>
    FromClient,
}

/// <summary>Says in words what <see cref="Why"/> has found. Pure.</summary>
internal static class Sentences
{
    private const int MostNames = 3;

    public static Finding Of(EndEvent found, TimeSpan now)
    {
        Dictionary<string, int> causes = Named(found.Causes);
        int open = Math.Max(found.Open, found.Count); // some may have come and gone meanwhile
        string many = $"{Count(found.Count)} of {Count(open)} connections";
        // Nobody needs it more exactly.
        TimeSpan took = found.To - found.From > EndLog.Step ? found.To - found.From : EndLog.Step;
        string when = $"within {ReadableTime.Measured(took)}, {ReadableTime.Rough(now - found.To)} ago";
        string[] hosts = [.. found.Ends.Select(end => HostOf(end.Remote)).Distinct()];
        string where = $"{(found.Ends.Count < found.Count ? $"the last {Count(found.Ends.Count)} " : "")}from {(hosts.Length == 1 ? hosts[0] : $"{Count(hosts.Length)} addresses")}";
        string what = $"{string.Join(", ", causes.Select(pair => $"{pair.Key} {Count(pair.Value)}"))}; {where}";
        string who = found.Side == EndSide.Application ? $"The application ended {many}" : $"{many} ended";
        string sentence = $"{who} {when} ({what}): {Together(found.Causes.MaxBy(pair => pair.Value).Key)}.";
        return new Finding(FindingKind.Event, sentence)
        {
            Count = found.Count,
            Of = open,
            Length = found.To - found.From,
            From = found.From,
            To = found.To,
            Causes = causes,
        };
    }

    /// <summary>The greatest of the stalls; null if there is none.</summary>
    public static Finding? Of(IReadOnlyList<Stall> stalls, TimeSpan now)
    {
        if (stalls.Count == 0)
            return null;
        Stall greatest = stalls.MaxBy(stall => (stall.To is null, (double)stall.Clients / stall.Connections))!;
        TimeSpan length = (greatest.To ?? now) - greatest.From;
        string share = greatest.Clients >= greatest.Connections
            ? $"All {Count(greatest.Clients)} clients"
            : $"{Math.Round(100.0 * greatest.Clients / greatest.Connections):0} % of all clients ({Count(greatest.Clients)} of {Count(greatest.Connections)})";
        string when = greatest.To is { } end
            ? $"were silent at once for {ReadableTime.Measured(length)}, until {ReadableTime.Rough(now - end)} ago"
            : $"are silent at once, for {ReadableTime.Measured(length)} so far";
        string whom = greatest.Clients >= greatest.Connections
            ? "the network before this server or its machine, or a host that they share, not the clients"
            : "a host or a network that they share, not the clients";
        string cut = greatest.Cut > 0 ? $" {Count(greatest.Cut)} of them ended meanwhile." : "";
        string times = stalls.Count > 1 ? $" It was the greatest of {stalls.Count} such times within {ReadableTime.Set(Suspects.StallIsNews)}." : "";
        return new Finding(FindingKind.Stall, $"{share} {when}: {whom}.{cut}{times}")
        {
            Count = greatest.Clients,
            Of = greatest.Connections,
            Length = length,
            From = greatest.From,
            To = greatest.To,
        };
    }

    /// <param name="cluster">The ages.</param>
    /// <param name="those">The ends with these ages, oldest first.</param>
    /// <param name="of">How many ends might have had this age.</param>
    /// <param name="now">The present time.</param>
    public static Finding OfAge(Cluster cluster, IReadOnlyList<EndRecord> those, int of, TimeSpan now)
    {
        IReadOnlyList<string> names = IdleLimits.Names(cluster.Length, ofSilence: false, ofLife: true);
        return new Finding(
            FindingKind.Age,
            $"{Count(those.Count)} of {Count(of)} ended at the age of {ReadableTime.Measured(cluster.Length)} though bytes came, the last {Ago(those, now)}: "
            + $"a limit of {ReadableTime.Set(cluster.Length)} on the life of a connection{Candidates(names)}. Pings do not help; raise that limit, "
            + "or let the client reconnect.")
        {
            Count = those.Count,
            Of = of,
            Length = cluster.Length,
            From = those[0].Moment,
            To = those[^1].Moment,
            Causes = Causes(those),
            Candidates = names,
        };
    }

    /// <param name="cluster">The silences.</param>
    /// <param name="direction">Whose bytes were missing.</param>
    /// <param name="those">The ends with these silences, oldest first.</param>
    /// <param name="of">How many ends might have had this silence.</param>
    /// <param name="set"><c>--ping</c>; zero for no pings.</param>
    /// <param name="now">The present time.</param>
    public static Finding OfSilence(Cluster cluster, Direction direction, IReadOnlyList<EndRecord> those, int of, TimeSpan set, TimeSpan now)
    {
        bool maybeLife = those.All(Why.IsSilentFromTheBeginning);
        IReadOnlyList<string> names = IdleLimits.Names(cluster.Length, ofSilence: true, ofLife: maybeLife);
        string limit = ReadableTime.Set(cluster.Length);
        string? ping = IdleLimits.PingBelow(cluster.Shortest, set);
        string silence = direction switch
        {
            Direction.Either => "of silence",
            Direction.ToClient => "in which nothing was sent to the client",
            _ => "without a byte from the client",
        };
        return new Finding(
            FindingKind.Silence,
            $"{Count(those.Count)} of {Count(of)} ended after {ReadableTime.Measured(cluster.Length)} {silence}, the last {Ago(those, now)}: "
            + $"an idle timeout of {limit} on the way{Candidates(names)}."
            + Advice(ping, cluster.Shortest, set)
            + (maybeLife ? " They were silent nearly from their beginning, so it may also be a limit on their whole life." : ""))
        {
            Count = those.Count,
            Of = of,
            Length = cluster.Length,
            From = those[0].Moment,
            To = those[^1].Moment,
            Causes = Causes(those),
            Candidates = names,
            Ping = ping,
        };
    }

    /// <summary>What to do about an idle timeout.</summary>
    private static string Advice(string? ping, TimeSpan limit, TimeSpan set)
    {
        if (ping is not null)
            return $" --ping {ping} keeps them.";
        return set == TimeSpan.Zero || set >= limit
            ? " It is too short for pings: raise it."
            : $" A ping was due every {ReadableTime.Set(set)}, and none left in that time, so --ping does not help. An application that has begun a frame and "
                + "not ended it holds pings back, and so does a ping of its own that nobody has answered.";
    }

    /// <summary>Why no silence can show.</summary>
    /// <param name="ends">How many ended without a goodbye.</param>
    /// <param name="ping"><c>--ping</c>.</param>
    public static Finding Pings(int ends, TimeSpan ping) => new(
        FindingKind.Pings,
        $"A ping goes every {ReadableTime.Set(ping)}, so an idle timeout longer than that cannot end a connection. No shorter one shows: the "
        + $"{Count(ends)} that ended without a goodbye have no silence in common.")
    {
        Count = ends,
        Of = ends,
        Length = ping,
    };

    /// <param name="ends">How many ends are remembered that this server's own stop did not bring about.</param>
    public static Finding Nothing(int ends) => new(
        FindingKind.None,
        ends switch
        {
            0 => "No connection has ended by itself while this server ran.",
            1 => "One connection has ended: its own line says why.",
            _ => $"The last {Count(ends)} ends have no moment, age or silence in common: look at each by itself.",
        })
    {
        Count = ends,
        Of = ends,
    };

    /// <summary>Why many connections end together, by the most frequent cause.</summary>
    private static string Together(DisconnectCause cause) => cause switch
    {
        DisconnectCause.ClientClosed => "they said goodbye, so a program that held many of them ended, or a new version of it came",
        DisconnectCause.PongTimeout => "the network between failed, or a host that held many of them stopped",
        DisconnectCause.UpstreamClosed => "it said goodbye to them, so it is being stopped or restarted",
        DisconnectCause.UpstreamVanished or DisconnectCause.UpstreamReset => "it restarted or crashed, and its log knows more",
        DisconnectCause.UpstreamDead => "its host failed, or the network between it and this server",
        DisconnectCause.UpstreamProtocolError => "the same fault of it many times, so look whether a new version of it came",
        _ => "something on the way restarted or failed, such as a proxy, a network, or a program that held many of them",
    };

    private static string Candidates(IReadOnlyList<string> names) => names.Count == 0 ? "" : $" ({string.Join(", ", names.Take(MostNames))})";

    private static string Ago(IReadOnlyList<EndRecord> those, TimeSpan now) => ReadableTime.Rough(now - those[^1].Moment) + " ago";

    private static Dictionary<string, int> Causes(IReadOnlyList<EndRecord> those) => Named(those.CountBy(end => end.End.Cause));

    private static Dictionary<string, int> Named(IEnumerable<KeyValuePair<DisconnectCause, int>> causes) =>
        causes.OrderByDescending(pair => pair.Value).ToDictionary(pair => pair.Key.Name(), pair => pair.Value);

    private static string Count(int value) => value.ToString("N0", CultureInfo.InvariantCulture);

    /// <summary>The address of a client without its port, and without the proxy that it came through.</summary>
    private static string HostOf(EndPoint remote) => remote switch
    {
        IPEndPoint direct => direct.Address.ToString(),
        ForwardedEndPoint forwarded => forwarded.Client.ToString(),
        _ => remote.ToString()!,
    };
}
