using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Probe;

internal enum VerdictKind
{
    /// <summary>No limit was found within the time.</summary>
    None,
    /// <summary>A silence ends connections, and one can see that: FIN, RST or a Close frame.</summary>
    Silence,
    /// <summary>After a silence nothing passes any more, and nobody says so.</summary>
    Drop,
    /// <summary>An age ends connections, whether they are silent or not.</summary>
    Life,
    /// <summary>The application said goodbye to all of them at one age: it waits for a first message, or it does not want this client.</summary>
    Application,
    /// <summary>All connections ended at one moment.</summary>
    Moment,
    /// <summary>Connections ended, and have nothing in common.</summary>
    Random,
    /// <summary>The server itself breaks the silence.</summary>
    Speaks,
    /// <summary>No silence ended a connection that one could see, and no ping was answered, so nobody knows what still passes.</summary>
    Unanswered,
}

/// <summary>What the probe has found.</summary>
/// <param name="Kind">What it is.</param>
internal sealed record Verdict(VerdictKind Kind)
{
    /// <summary>The longest silence after which a byte still passed, or that is still going on.</summary>
    public TimeSpan Tested { get; init; }

    /// <summary>The limit, as far as it is one number: a silence, an age, or the server's beat.</summary>
    public TimeSpan? Length { get; init; }

    /// <summary>The least that was measured. Of a drop it is the longest silence that still passed.</summary>
    public TimeSpan? From { get; init; }

    /// <summary>The most that was measured. Of a drop it is the shortest silence that did not pass.</summary>
    public TimeSpan? To { get; init; }

    /// <summary>How many connections it is about.</summary>
    public int Count { get; init; }

    /// <summary>Of how many.</summary>
    public int Of { get; init; }

    /// <summary>How most of them ended.</summary>
    public ProbeEnd? End { get; init; }

    /// <summary>Who on the way has such a limit by default.</summary>
    public IReadOnlyList<IdleLimit> Candidates { get; init; } = [];

    /// <summary>The <c>--ping</c> to use; null if there is none to recommend.</summary>
    public string? Ping { get; init; }

    /// <summary>The <c>--for</c> that would say more; null if none would.</summary>
    public TimeSpan? NeedsFor { get; init; }

    /// <summary>The limit on the life that showed beside a shorter one on silence; null if none did.</summary>
    public TimeSpan? Life { get; init; }

    /// <summary>Whether a limit was found.</summary>
    public bool IsLimit => Kind is VerdictKind.Silence or VerdictKind.Drop or VerdictKind.Life;

    /// <summary>The name in the JSON.</summary>
    public string Name => Kind switch
    {
        VerdictKind.Silence => "silence",
        VerdictKind.Drop => "drop",
        VerdictKind.Life => "life",
        VerdictKind.Application => "application",
        VerdictKind.Moment => "moment",
        VerdictKind.Random => "random",
        VerdictKind.Speaks => "server_speaks",
        VerdictKind.Unanswered => "unanswered",
        _ => "none",
    };
}
