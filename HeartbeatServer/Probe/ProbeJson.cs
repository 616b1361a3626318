using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace HeartbeatServer.Probe;

/// <summary>
/// What <c>--json</c> writes; docs/probe.md has it for users. The properties keep their order in the JSON, and their names become snake_case. Times are
/// in the unit that their names end with. Moments count from the start of the run.
/// </summary>
internal sealed record ProbeJson
{
    public required string Version { get; init; }
    public required string Url { get; init; }
    public required string? Address { get; init; }
    public required DateTime Started { get; init; }
    public required double ForSeconds { get; init; }
    public required double TookSeconds { get; init; }
    public required bool Interrupted { get; init; }
    public required HandshakeJson Handshake { get; init; }
    public required PingsJson? Pings { get; init; }
    public required IReadOnlyList<WatchedJson> Connections { get; init; }
    public required VerdictJson? Verdict { get; init; }
    public required IReadOnlyList<string> Notes { get; init; }
    public required int ExitCode { get; init; }
}

/// <summary>The first handshake, as far as it came.</summary>
internal sealed record HandshakeJson
{
    public required double? LookUpMs { get; init; }
    public required double? ConnectMs { get; init; }
    public required double? TlsMs { get; init; }
    public required double? UpgradeMs { get; init; }
    public required int? Status { get; init; }
    public required IReadOnlyList<FieldJson> Way { get; init; }
    public required string? Fault { get; init; }
}

internal sealed record FieldJson(string Name, string Value);

/// <summary>The first pings.</summary>
internal sealed record PingsJson(int Sent, int Answered, double? MinMs, double? MeanMs, double? MaxMs);

internal sealed record WatchedJson
{
    public required int Id { get; init; }
    public required string Role { get; init; }
    public required double OpenedSeconds { get; init; }
    public required double AgeSeconds { get; init; }
    public required double SilenceSeconds { get; init; }
    public required string? End { get; init; }
    public required int? CloseCode { get; init; }
    public required string? CloseReason { get; init; }
    public required int Pings { get; init; }
    public required int Pongs { get; init; }
    public required int ServerPings { get; init; }
    public required int Heard { get; init; }
    public required uint KernelSegments { get; init; }
}

internal sealed record VerdictJson
{
    public required string Kind { get; init; }
    public required string Sentence { get; init; }
    public required double? Seconds { get; init; }
    public required double? FromSeconds { get; init; }
    public required double? ToSeconds { get; init; }
    public required double TestedSeconds { get; init; }
    public required int Count { get; init; }
    public required int Of { get; init; }
    public required string? End { get; init; }
    public required IReadOnlyList<string> Candidates { get; init; }
    public required string? Ping { get; init; }
    public required string? NeedsFor { get; init; }
}

/// <summary>The compiler makes the serialiser, because Native AOT has no other.</summary>
[JsonSerializable(typeof(ProbeJson))]
internal sealed partial class ProbeJsonContext : JsonSerializerContext
{
    /// <summary>Escapes no more than JSON needs, on lines for people and programs.</summary>
    public static ProbeJsonContext Plain { get; } = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        WriteIndented = true,
    });
}
