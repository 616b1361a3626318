using HeartbeatServer.Framing;
using HeartbeatServer.Options;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Probe;

/// <summary>What a run has come to, for <c>--json</c>. Pure.</summary>
/// <param name="options">What was asked for.</param>
/// <param name="version">The version of the program.</param>
/// <param name="started">When the run began, in UTC.</param>
/// <param name="secrets">What must not be shown.</param>
internal sealed class ProbeReport(ProbeOptions options, string version, DateTime started, Secrets secrets)
{
    /// <summary>The first handshake.</summary>
    public required Dialed Dialed { get; init; }

    /// <summary>How many pings the first connection sent at once.</summary>
    public int PingsSent { get; set; }

    /// <summary>Their round trips.</summary>
    public RoundTrips RoundTrips { get; set; }

    /// <summary>All connections.</summary>
    public IReadOnlyList<Watched> Connections { get; set; } = [];

    /// <summary>Null for a plain client, and where there was no connection.</summary>
    public Verdict? Verdict { get; set; }

    /// <summary>The verdict in words.</summary>
    public string Sentence { get; set; } = "";

    public IReadOnlyList<string> Notes { get; set; } = [];

    public bool IsInterrupted { get; set; }

    /// <param name="now">The present time, on the clock of the run.</param>
    /// <param name="exitCode">The exit code of the program.</param>
    public ProbeJson ToJson(TimeSpan now, int exitCode) => new()
    {
        Version = version,
        Url = options.Url.Shown,
        Address = Dialed.Address?.ToString(),
        Started = new DateTime(started.Ticks - (started.Ticks % TimeSpan.TicksPerMillisecond), DateTimeKind.Utc),
        ForSeconds = Seconds(options.For),
        TookSeconds = Seconds(now),
        Interrupted = IsInterrupted,
        Handshake = new HandshakeJson
        {
            LookUpMs = Ms(DialStage.LookUp),
            ConnectMs = Ms(DialStage.Connect),
            TlsMs = Ms(DialStage.Tls),
            UpgradeMs = Ms(DialStage.Upgrade),
            Status = Dialed.Head?.Status,
            Way = Dialed.Head is { } head ? [.. new HandshakeText(options, secrets).Way(head).Select(field => new FieldJson(field.Name, field.Value))] : [],
            Fault = Dialed.Fault is { } fault ? secrets.Hide(fault) : null,
        },
        Pings = PingsSent == 0 ? null : new PingsJson(
            PingsSent,
            RoundTrips.Count,
            RoundTrips.Count == 0 ? null : Ms(RoundTrips.Min),
            RoundTrips.Count == 0 ? null : Ms(RoundTrips.Mean),
            RoundTrips.Count == 0 ? null : Ms(RoundTrips.Max)),
        Connections = [.. Connections.Where(each => each.Opened is not null).Select(each => Json(each, now))],
        Verdict = Verdict is { } verdict ? Json(verdict) : null,
        Notes = [.. Notes.Select(secrets.Hide)],
        ExitCode = exitCode,
    };

    private WatchedJson Json(Watched each, TimeSpan now) => new()
    {
        Id = each.Id,
        Role = each.Role switch
        {
            ProbeRole.Silent => "silent",
            ProbeRole.Control => "control",
            _ => "ladder",
        },
        OpenedSeconds = Seconds(each.Opened!.Value),
        AgeSeconds = Seconds(each.Age(now)),
        SilenceSeconds = Seconds(each.Silence(now)),
        End = each.End?.Name,
        CloseCode = each.End is { Kind: EndKind.Close, Code: not CloseCode.NoStatus } close ? close.Code : null,
        CloseReason = each.End is { Kind: EndKind.Close } said ? secrets.Hide(said.Reason) : null,
        Pings = each.Pings,
        Pongs = each.Pongs,
        ServerPings = each.ServerPings,
        Heard = each.Heard,
        KernelSegments = each.KernelSegments,
    };

    private VerdictJson Json(Verdict verdict) => new()
    {
        Kind = verdict.Name,
        Sentence = secrets.Hide(Sentence),
        Seconds = verdict.Length is { } length ? Seconds(length) : null,
        FromSeconds = verdict.From is { } from ? Seconds(from) : null,
        ToSeconds = verdict.To is { } to ? Seconds(to) : null,
        TestedSeconds = Seconds(verdict.Tested),
        Count = verdict.Count,
        Of = verdict.Of,
        End = verdict.End?.Name,
        Candidates = [.. verdict.IsLimit ? verdict.Candidates.Select(limit => limit.Name) : []],
        Ping = verdict.Ping,
        NeedsFor = verdict.NeedsFor is { } time ? Duration.Format(time) : null,
    };

    private double? Ms(DialStage stage) => Dialed.Took.TryGetValue(stage, out TimeSpan time) ? Ms(time) : null;

    private static double Ms(TimeSpan time) => Math.Round(time.TotalMilliseconds, 3);

    private static double Seconds(TimeSpan time) => Math.Round(time.TotalSeconds, 3);
}
