using System.Globalization;
using HeartbeatServer.Options;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Probe;

/// <summary>Says a verdict in words. Pure.</summary>
internal static class VerdictText
{
    private const int MostNames = 4;

    /// <summary>A silence that is shorter is none.</summary>
    private static readonly TimeSpan LeastToSay = TimeSpan.FromSeconds(1);

    /// <summary>What is said where none of the probe's pings was answered.</summary>
    public const string NoPong =
        "No ping of ours was answered, though RFC 6455 (section 5.5.2) wants each answered: the server breaks that rule, or something on the way drops pings";

    private const string TryToSend =
        "If the application waits for a first message, it may also be that: give one with --send, and run it again.";

    /// <summary>The sentence that answers the question.</summary>
    public static string Of(Verdict verdict, Campaign campaign) => verdict.Kind switch
    {
        VerdictKind.Silence => OfSilence(verdict),
        VerdictKind.Drop => OfDrop(verdict),
        VerdictKind.Life => OfLife(verdict, campaign.HasMessage),
        VerdictKind.Application when verdict.Length < Judgement.AtOnce =>
            $"The server ends each connection right after the upgrade ({Share(verdict)}): it does not want this client. Look at --header, --subprotocol, "
            + "--origin and --send.",
        VerdictKind.Application =>
            $"The application wants a message: it said goodbye at the age of {ReadableTime.Measured(verdict.Length!.Value)}, also to connections that "
            + $"pinged ({Share(verdict)}). That is no limit of the way, which was not tested for longer. Give the message that it waits for with --send, "
            + "and run it again.",
        VerdictKind.Moment =>
            $"{Number(verdict.Count)} connections, which was all that were open, ended within "
            + $"{ReadableTime.Measured(AtLeastShown(verdict.To!.Value - verdict.From!.Value))}, whatever their age ({verdict.End!.Text}): something "
            + $"restarted or failed, {ReadableTime.Measured(verdict.From.Value - campaign.Start)} after the beginning. Run it again.",
        VerdictKind.Random when verdict.End!.Kind == EndKind.Violation =>
            $"{Number(verdict.Count)} of {Number(verdict.Of)} connections ended because the server, or something on the way, broke a rule of WebSocket: "
            + $"{verdict.End.Reason}. That is no timeout.",
        VerdictKind.Random =>
            $"{Number(verdict.Count)} of {Number(verdict.Of)} connections ended, at ages from {Range(verdict)}, with neither a silence nor an age in "
            + $"common (most often {verdict.End!.Text}). That is no timeout: look at the log of the server, and of what stands before it.",
        VerdictKind.Speaks => OfSpeech(verdict),
        _ when verdict.Tested < LeastToSay => "Nothing is known yet.",
        VerdictKind.Unanswered =>
            $"{NoPong}. Nobody ended a connection that was silent for {ReadableTime.Measured(verdict.Tested)}, but whether bytes still pass after that is not known.",
        _ => OfNone(verdict),
    };

    /// <summary>What has to be known beside the verdict.</summary>
    public static IReadOnlyList<string> Notes(Verdict verdict, Campaign campaign, bool isInterrupted)
    {
        List<string> notes = [];
        if (isInterrupted)
            notes.Add("It was interrupted: this is what was known by then.");
        if (verdict.Life is { } life)
        {
            notes.Add(
                $"Connections that were not silent ended at the age of {ReadableTime.Measured(life)}: a limit on the whole life besides. "
                + "No ping helps against that one.");
        }
        if (verdict is { Kind: VerdictKind.Silence or VerdictKind.Life, Count: 1 } or { Kind: VerdictKind.Drop, Count: 1 })
            notes.Add("That is one connection only. Run it again before you trust it.");
        Watched[] held = [.. campaign.All.Where(each => each.KernelSegments > 0)];
        if (held.Length > 0)
        {
            notes.Add(
                $"The kernel of the other side sent segments of its own into the silence of {Count(held.Length, "connection")} (TCP keep-alive), "
                + $"the first after {ReadableTime.Measured(held.Min(each => each.KernelSilence!.Value))}: a NAT or a firewall on the way saw no longer silence than that.");
        }
        if (!campaign.AnswersPings && verdict.Kind != VerdictKind.Unanswered)
            notes.Add("The server does not answer pings, so a limit that nobody tells of cannot show.");
        if (campaign.Ladder.Strays > 0 && verdict.Kind is (VerdictKind.Drop or VerdictKind.None))
            notes.Add($"{Count(campaign.Ladder.Strays, "ping")} got no answer though longer silences passed: packets were lost.");
        if (campaign.Busy > 0)
            notes.Add($"The server refused {Count(campaign.Busy, "further connection")} as too many (429 or 503), so there were fewer.");
        if (campaign.Failed > 0)
            notes.Add($"{Count(campaign.Failed, "further connection")} could not be made.");
        if (verdict.Kind is VerdictKind.Drop or VerdictKind.None)
        {
            notes.Add(
                "From this side: a ping of the client's may wake a NAT's entry that a byte of the server's would not pass. "
                + "--ping on the server keeps it awake.");
        }
        return notes;
    }

    private static string OfSilence(Verdict verdict)
    {
        bool isGoodbye = verdict.End!.Kind == EndKind.Close;
        string limit = verdict.Length is { } length
            ? $"ends at {ReadableTime.Measured(length)} ({Share(verdict)})"
            : $"ends after {Range(verdict)} ({Share(verdict)}), so it is no exact limit";
        return isGoodbye
            ? $"Silence {limit}: the server itself says goodbye then, and pings keep the connection.{Use(verdict)}"
            : $"Silence {limit}: {Fits(verdict, "an idle timeout on the way, or of the server")}.{Use(verdict)}";
    }

    private static string OfDrop(Verdict verdict)
    {
        string lower = verdict.From == TimeSpan.Zero ? "0" : ReadableTime.Measured(verdict.From!.Value);
        string how = verdict.End!.Kind == EndKind.Lost
            ? $"{Count(verdict.Count, "ping")} got no answer"
            : $"{Count(verdict.Count, "ping")} got no answer, most often {verdict.End.Text}";
        return $"Between {lower} and {ReadableTime.Measured(verdict.To!.Value)} of silence the way forgets a connection, and tells nobody ({how}): "
            + $"{Fits(verdict, "a NAT, a firewall or a load balancer")}.{Use(verdict)}"
            + (verdict.NeedsFor is { } time ? $" To narrow it down: --for {Duration.Format(time)}." : "");
    }

    private static string OfLife(Verdict verdict, bool hasMessage)
    {
        TimeSpan age = verdict.Length!.Value;
        string like = verdict.Candidates.Count == 0 ? "" : $", as of {Names(verdict)}";
        return $"Connections end at the age of {ReadableTime.Measured(age)}, silent or not ({Share(verdict)}): a limit of {ReadableTime.Set(age)} on the whole "
            + $"life{like}. Pings do not help: raise that limit, or let the client reconnect.{(hasMessage ? "" : $" {TryToSend}")}";
    }

    private static string OfSpeech(Verdict verdict) => verdict.Length is { } beat
        ? $"The server itself breaks the silence every {ReadableTime.Measured(beat)}, and no connection ended. Longer silence was not tested, and does not come "
            + "about as long as the server goes on so."
        : $"The server itself breaks the silence, and no connection ended. Its longest pause was {ReadableTime.Measured(verdict.To!.Value)}; longer silence was "
            + "not tested.";

    private static string OfNone(Verdict verdict)
    {
        IEnumerable<string> longer = verdict.Candidates.Select(limit =>
            $"the {ReadableTime.Set(limit.Default)} of {limit.Name} take --for {Duration.Format(Judgement.TimeFor(limit))}");
        string untested = verdict.Candidates.Count == 0 ? "" : $" Longer was not tested: {string.Join(", ", longer)}.";
        string enough = IdleLimits.PingBelow(verdict.Tested) is { } ping ? $" --ping {ping} is often enough as far as that was tested." : "";
        return $"No limit found: a silence of {ReadableTime.Measured(verdict.Tested)} passes.{untested}{enough}";
    }

    private static string Fits(Verdict verdict, string unknown) => verdict.Candidates.Count == 0 ? unknown : $"fits {Names(verdict)}";

    private static string Names(Verdict verdict) => string.Join(
        ", ", verdict.Candidates.Take(MostNames).Select(limit => limit.Setting.Length == 0 ? limit.Name : $"{limit.Name} ({limit.Setting})"));

    private static string Use(Verdict verdict) => verdict.Ping is { } ping ? $" Use --ping {ping}." : " It is too short for pings: raise it.";

    private static string Share(Verdict verdict) => $"{Number(verdict.Count)} of {Number(verdict.Of)}, {verdict.End!.Text}";

    private static string Range(Verdict verdict) =>
        $"{verdict.From!.Value.TotalSeconds.ToString("0.0", CultureInfo.InvariantCulture)} to {ReadableTime.Measured(verdict.To!.Value)}";

    private static string Count(int count, string what) => $"{Number(count)} {what}{(count == 1 ? "" : "s")}";

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);

    private static TimeSpan AtLeastShown(TimeSpan time) => time > TimeSpan.FromSeconds(0.1) ? time : TimeSpan.FromSeconds(0.1);
}
