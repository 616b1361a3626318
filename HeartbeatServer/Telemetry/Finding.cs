namespace HeartbeatServer.Telemetry;

/// <summary>What a <see cref="Finding"/> is about.</summary>
internal enum FindingKind
{
    /// <summary>Many connections ended together.</summary>
    Event,
    /// <summary>Many clients were silent together.</summary>
    Stall,
    /// <summary>Connections ended at one age.</summary>
    Age,
    /// <summary>Connections ended after one silence.</summary>
    Silence,
    /// <summary>Pings are so frequent that no idle timeout can show.</summary>
    Pings,
    /// <summary>The ends have nothing in common.</summary>
    None,
}

internal static class FindingKinds
{
    /// <summary>The kind as users see it, for example <c>silence</c>.</summary>
    public static string Name(this FindingKind kind) => kind switch
    {
        FindingKind.Event => "event",
        FindingKind.Stall => "stall",
        FindingKind.Age => "age",
        FindingKind.Silence => "silence",
        FindingKind.Pings => "pings",
        _ => "none",
    };
}

/// <summary>One answer to the question why connections end: a sentence, and its numbers.</summary>
/// <param name="Kind">What it is about.</param>
/// <param name="Sentence">For a person: what happened, who is likely to blame, what to do.</param>
internal sealed record Finding(FindingKind Kind, string Sentence)
{
    /// <summary>How many ends, or clients, it is about.</summary>
    public int Count { get; init; }

    /// <summary>Of how many.</summary>
    public int Of { get; init; }

    /// <summary>The silence, the age, or how long it took; for <see cref="FindingKind.Pings"/> it is <c>--ping</c>; null if the finding has no length.</summary>
    public TimeSpan? Length { get; init; }

    /// <summary>When it began, on the clock of <see cref="EndRecord.Moment"/>; null if the finding has no moment.</summary>
    public TimeSpan? From { get; init; }

    /// <summary>When it was over; null if it is not, or if the finding has no moment.</summary>
    public TimeSpan? To { get; init; }

    /// <summary>How many of each cause; empty for what is not told by causes.</summary>
    public IReadOnlyDictionary<string, int> Causes { get; init; } = new Dictionary<string, int>();

    /// <summary>Who has such a limit by default; may be empty.</summary>
    public IReadOnlyList<string> Candidates { get; init; } = [];

    /// <summary>The <c>--ping</c> that helps; null if none does.</summary>
    public string? Ping { get; init; }

    /// <summary>Whether it explains ends or silences. The other kinds say why there is no explanation.</summary>
    public bool Explains => Kind is not (FindingKind.Pings or FindingKind.None);
}
