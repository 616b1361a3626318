using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Probe;

/// <summary>Makes a verdict of what the connections have seen. Pure.</summary>
internal static class Judgement
{
    /// <summary>Ends within this time of each other came together.</summary>
    private static readonly TimeSpan Together = TimeSpan.FromSeconds(1);

    /// <summary>Connections that began so far apart, and ended together, did not end because of their age.</summary>
    private static readonly TimeSpan Apart = TimeSpan.FromSeconds(2.5);

    /// <summary>How far apart lengths may be at least that are one length.</summary>
    private static readonly TimeSpan Exact = TimeSpan.FromSeconds(0.5);

    /// <summary>What ends a connection so soon does not wait for a silence.</summary>
    public static readonly TimeSpan AtOnce = TimeSpan.FromSeconds(0.4);

    /// <summary>A limit that is no exact one, such as that of a sweep, has a longest of so many times its shortest at most.</summary>
    private const double MostSpread = 2;

    /// <summary>A limit is as old for its owner as for us, but for the way of a packet.</summary>
    private static readonly TimeSpan Almost = TimeSpan.FromSeconds(0.1);

    /// <summary>What a limit is measured to, at least, and what a connection needs to be found dead and to be opened first.</summary>
    private static readonly TimeSpan Reserve = TimeSpan.FromSeconds(15);

    public static Verdict Of(Campaign campaign, TimeSpan now)
    {
        Watched[] all = [.. campaign.All.Where(each => each.Opened is not null)];
        Watched[] ended = [.. all.Where(each => each.End is not null and not { Kind: EndKind.Done })];
        Watched[] told = [.. ended.Where(each => each.Role != ProbeRole.Control && each.EndedInSilence)];
        Watched[] controls = [.. ended.Where(each => each.Role == ProbeRole.Control && !WasSilentToo(each, told, campaign.Ladder))];
        TimeSpan tested = campaign.AnswersPings
            ? campaign.Ladder.Lower
            : all.Where(each => each.IsOpen && each.Role == ProbeRole.Silent).Select(each => each.Silence(now)).Append(default).Max();
        Verdict verdict =
            OfViolation(all, ended)
            ?? OfMoment(all, ended)
            ?? OfControls(campaign, all, ended, told, controls, now)
            ?? OfDrop(campaign, told)
            ?? OfSilence(all, told, campaign.Ladder, now)
            ?? (ended.Length > campaign.Ladder.Strays ? Random(all, ended) : null)
            ?? OfSpeech(all)
            ?? (campaign.AnswersPings ? None(tested) : new Verdict(VerdictKind.Unanswered));
        return verdict with { Tested = tested };
    }

    /// <summary>What a broken rule ends has no limit.</summary>
    private static Verdict? OfViolation(Watched[] all, Watched[] ended) =>
        ended.Length > 0 && Usual(ended).Kind == EndKind.Violation ? Random(all, ended) : null;

    /// <summary>A control pings every 2 s. Where that is too seldom, it ended as the silent ones did, and says no more than they do.</summary>
    private static bool WasSilentToo(Watched control, Watched[] told, Ladder ladder)
    {
        TimeSpan silence = control.Silence(default);
        return (ladder.Upper is not null && silence > ladder.Lower)
            || Array.Exists(told, each => each.Role == ProbeRole.Silent && each.Silence(default) > AtOnce && silence >= each.Silence(default) * 0.95);
    }

    /// <summary>Everything that was open ended at once, whatever its age.</summary>
    private static Verdict? OfMoment(Watched[] all, Watched[] ended)
    {
        foreach (Watched one in ended.Where(each => each.Role == ProbeRole.Control))
        {
            Watched[] group = [.. ended.Where(each => (each.Ended - one.Ended).Duration() <= Together)];
            TimeSpan first = group.Min(each => each.Ended);
            Watched[] open = [.. all.Where(each => each.Opened < first && (each.End is null || each.Ended >= first))];
            TimeSpan spread = group.Max(each => each.Age(default)) - group.Min(each => each.Age(default));
            if (group.Length < 3 || group.Length < open.Length || spread < Apart)
                continue;
            return new Verdict(VerdictKind.Moment)
            {
                Count = group.Length,
                Of = all.Length,
                End = Usual(group),
                From = first,
                To = group.Max(each => each.Ended),
            };
        }
        return null;
    }

    /// <summary>What ended the controls was no silence.</summary>
    private static Verdict? OfControls(Campaign campaign, Watched[] all, Watched[] ended, Watched[] told, Watched[] controls, TimeSpan now)
    {
        if (controls.Length == 0)
            return null;
        TimeSpan[] ages = [.. controls.Select(each => each.Age(now)).Order()];
        TimeSpan age = ages[ages.Length / 2];
        if (!Array.TrueForAll(ages, each => Agree(each, age)))
            return Random(all, ended);
        bool isOutlived = Array.Exists(all, each => each.IsOpen && each.Age(now) > age + Together);
        if (isOutlived)
            return Random(all, ended);
        Watched[] younger = [.. told.Where(each => !Agree(each.Age(now), age))];
        if (younger.Length == 0)
            return OfLife(campaign, all, [.. ended.Where(each => Agree(each.Age(now), age))], now);
        // A silence that is shorter than the life of the controls has ended the others before.
        return controls.Length > 1 && OfSilence(all, younger, campaign.Ladder, now) is { Kind: VerdictKind.Silence } silence
            ? silence with { Life = age }
            : Random(all, ended);
    }

    private static Verdict OfLife(Campaign campaign, Watched[] all, Watched[] those, TimeSpan now)
    {
        TimeSpan[] ages = [.. those.Select(each => each.Age(now)).Order()];
        ProbeEnd end = Usual(those);
        bool isGoodbye = (end.Kind == EndKind.Close && !campaign.HasMessage) || ages[ages.Length / 2] < AtOnce;
        return new Verdict(isGoodbye ? VerdictKind.Application : VerdictKind.Life)
        {
            Length = ages[ages.Length / 2],
            From = ages[0],
            To = ages[^1],
            Count = those.Length,
            Of = all.Count(each => each.Age(now) >= ages[0]),
            End = end,
            Candidates = isGoodbye ? [] : [.. Around(ages[0], ages[^1]).Where(limit => limit.IsOnLife)],
        };
    }

    private static Verdict? OfSilence(Watched[] all, Watched[] told, Ladder ladder, TimeSpan now)
    {
        if (told.Length == 0)
            return null;
        TimeSpan[] silences = [.. told.Select(each => each.Silence(now)).Order()];
        TimeSpan longest = silences[^1];
        TimeSpan clearly = (silences[0] * MostSpread) + Together;
        bool isOutlived = Array.Exists(all, each => each.IsOpen && each.Role != ProbeRole.Control && each.Silence(now) > clearly);
        if (longest > clearly || ladder.Lower > clearly || isOutlived)
            return Random(all, [.. all.Where(each => each.End is not null and not { Kind: EndKind.Done })]);
        bool isExact = Agree(silences[0], longest);
        Watched[] reached = [.. all.Where(each => each.Role != ProbeRole.Control && each.Silence(now) >= silences[0] - Almost)];
        TimeSpan middle = silences[silences.Length / 2];
        return new Verdict(VerdictKind.Silence)
        {
            Length = isExact ? middle : null,
            From = silences[0],
            To = longest,
            // One whose ping left at the very moment belongs to them.
            Count = reached.Count(each => each.End is not (null or { Kind: EndKind.Lost or EndKind.Done })),
            Of = reached.Length,
            End = Usual(told),
            Candidates = isExact ? [.. Around(middle, middle).Where(limit => !limit.IsOnLife)] : [],
            Ping = IdleLimits.PingBelow(silences[0]),
        };
    }

    private static Verdict? OfDrop(Campaign campaign, Watched[] told)
    {
        Ladder ladder = campaign.Ladder;
        if (ladder.Upper is not { } upper || ladder.Strays > ladder.Lost || Array.Exists(told, each => each.Silence(default) < upper))
            return null;
        return new Verdict(VerdictKind.Drop)
        {
            From = ladder.Lower,
            To = upper,
            Count = ladder.Lost,
            Of = ladder.Lost + ladder.Strays,
            End = Usual([.. campaign.All.Where(each => each is { Role: ProbeRole.Ladder, EndedInSilence: false, End.Kind: not EndKind.Done })]),
            Candidates = [.. IdleLimits.Within(ladder.Lower, upper).Where(limit => !limit.IsOnLife)],
            Ping = IdleLimits.PingBelow(ladder.Lower),
            // Another run of the same kind, and the narrowing behind it.
            NeedsFor = ladder.IsNarrow ? null : WholeMinutes((2 * upper) + Reserve),
        };
    }

    private static Verdict Random(Watched[] all, Watched[] ended) => new(VerdictKind.Random)
    {
        Count = ended.Length,
        Of = all.Length,
        End = Usual(ended),
        From = ended.Min(each => each.Age(default)),
        To = ended.Max(each => each.Age(default)),
    };

    private static Verdict? OfSpeech(Watched[] all)
    {
        Watched[] heard = [.. all.Where(each => each.Role != ProbeRole.Control && each.Heard > 1)];
        if (heard.Length == 0)
            return null;
        TimeSpan mean = heard.Aggregate(TimeSpan.Zero, (sum, each) => sum + each.HeardFor) / heard.Sum(each => each.Heard - 1);
        TimeSpan longest = heard.Max(each => each.LongestPause);
        return new Verdict(VerdictKind.Speaks)
        {
            Length = longest < mean * 1.2 ? mean : null,
            To = longest,
            Count = heard.Length,
            Of = all.Count(each => each.Role != ProbeRole.Control),
        };
    }

    /// <summary>The candidates are the next longer limits: those that the run was too short for.</summary>
    private static Verdict None(TimeSpan tested)
    {
        // Of those with the same default one is enough: the other would ask for the same --for.
        IdleLimit[] longer =
        [
            .. IdleLimits.Usual.Where(limit => !limit.IsOnLife && limit.Default > tested).OrderBy(limit => limit.Default).DistinctBy(limit => limit.Default).Take(2),
        ];
        return new Verdict(VerdictKind.None)
        {
            Candidates = longer,
            NeedsFor = longer.Length == 0 ? null : TimeFor(longer[^1]),
        };
    }

    /// <summary>The <c>--for</c> within which a limit shows.</summary>
    public static TimeSpan TimeFor(IdleLimit limit) => WholeMinutes((limit.Default * 1.02) + Reserve);

    private static IEnumerable<IdleLimit> Around(TimeSpan shortest, TimeSpan longest)
    {
        TimeSpan tolerance = Later(longest / 100, TimeSpan.FromSeconds(0.25));
        return IdleLimits.Within(shortest - tolerance, longest + tolerance);
    }

    private static ProbeEnd Usual(Watched[] ended) => ended.Select(each => each.End!).CountBy(end => end).MaxBy(pair => pair.Value).Key;

    private static bool Agree(TimeSpan one, TimeSpan other) => (one - other).Duration() <= Later(other / 50, Exact);

    private static TimeSpan WholeMinutes(TimeSpan time) => TimeSpan.FromMinutes(Math.Ceiling(time.TotalMinutes));

    private static TimeSpan Later(TimeSpan one, TimeSpan other) => one > other ? one : other;
}
