using System.Globalization;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Probe;

/// <summary>Says in words how far the campaign is. Pure.</summary>
internal static class ProgressText
{
    /// <summary>A line for each kind of connection, and one for the time.</summary>
    public static IReadOnlyList<string> Block(Campaign campaign, TimeSpan now, TimeSpan end) =>
    [
        $"  silent   {Silent(campaign, now)}",
        $"  ladder   {Ladder(campaign, now)}",
        $"  control  {Control(campaign)}",
        $"  {Clock(now)} of at most {Clock(end)}",
    ];

    /// <summary>The same in one line.</summary>
    public static string Line(Campaign campaign, TimeSpan now) =>
        $"{At(now)}silent: {Silent(campaign, now)}; ladder: {Ladder(campaign, now)}; control: {Control(campaign)}";

    /// <summary>What happened to a connection, for those that are worth a line; null for the others.</summary>
    public static string? Ended(Watched ended, TimeSpan now) => ended.End switch
    {
        null or { Kind: EndKind.Done } => null,
        { Kind: EndKind.Lost } => $"{At(now)}{Name(ended)}: no answer to a ping after {ReadableTime.Measured(ended.Silence(now))} of silence",
        var end when ended.Role == ProbeRole.Control => $"{At(now)}{Name(ended)}: {end.Text} at the age of {ReadableTime.Measured(ended.Age(now))}",
        var end when !ended.EndedInSilence => $"{At(now)}{Name(ended)}: {end.Text} upon a ping after {ReadableTime.Measured(ended.Silence(now))} of silence",
        var end => $"{At(now)}{Name(ended)}: {end.Text} after {ReadableTime.Measured(ended.Silence(now))} of silence",
    };

    /// <summary>The moment of a line: <c>+12.3s</c> and spaces up to the next column.</summary>
    public static string At(TimeSpan time) => $"  {string.Create(CultureInfo.InvariantCulture, $"+{time.TotalSeconds:0.0}s"),-9}";

    private static string Name(Watched each) => $"{(each.Role switch
    {
        ProbeRole.Silent => "silent",
        ProbeRole.Control => "control",
        _ => "ladder",
    })} #{each.Id.ToString(CultureInfo.InvariantCulture)}";

    private static string Silent(Campaign campaign, TimeSpan now)
    {
        Watched[] all = [.. campaign.All.Where(each => each.Role == ProbeRole.Silent && each.Opened is not null)];
        Watched[] open = [.. all.Where(each => each.IsOpen)];
        string longest = open.Length == 0 ? "" : $", silent for {ReadableTime.Measured(open.Max(each => each.Silence(now)))}";
        return $"{Open(open.Length, all.Length)}{longest}";
    }

    private static string Ladder(Campaign campaign, TimeSpan now)
    {
        Watched[] all = [.. campaign.All.Where(each => each.Role == ProbeRole.Ladder && each.Opened is not null && each.End is not { Kind: EndKind.Done })];
        Watched[] open = [.. all.Where(each => each.IsOpen)];
        Watched[] silent = [.. open.Where(each => each.Pinged is null)];
        string passed = campaign.Ladder.Lower > TimeSpan.Zero ? $", {ReadableTime.Measured(campaign.Ladder.Lower)} passed" : "";
        string lost = campaign.Ladder.Upper is { } upper ? $", {ReadableTime.Measured(upper)} did not" : "";
        string next = silent.Length == 0 ? "" : $", next ping in {ReadableTime.Rough(silent.Min(each => Left(each, now)))}";
        return $"{Open(open.Length, all.Length)}{passed}{lost}{next}";
    }

    private static string Control(Campaign campaign)
    {
        Watched[] all = [.. campaign.All.Where(each => each.Role == ProbeRole.Control && each.Opened is not null)];
        return $"{Open(all.Count(each => each.IsOpen), all.Length)}, {Number(all.Sum(each => each.Pongs))} of {Number(all.Sum(each => each.Pings))} pings answered";
    }

    private static TimeSpan Left(Watched each, TimeSpan now) => each.Target - each.Silence(now) is var left && left > TimeSpan.Zero ? left : TimeSpan.Zero;

    private static string Open(int open, int all) => $"{Number(open)} of {Number(all)} open";

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);

    private static string Clock(TimeSpan time) => time.ToString(time.TotalHours >= 1 ? @"h\:mm\:ss" : @"m\:ss", CultureInfo.InvariantCulture);
}
