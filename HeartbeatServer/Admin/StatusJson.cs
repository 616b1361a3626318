using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace HeartbeatServer.Admin;

/// <summary>What <c>/status</c> answers. Names become snake_case; durations are in the unit that their name ends with.</summary>
internal sealed record StatusJson(
    string Version,
    DateTime Started,
    DateTime Now,
    double UptimeSeconds,
    string State,
    IReadOnlyDictionary<string, string> Options,
    TotalsJson Totals,
    QuantilesJson RoundTripMs,
    LatenessJson LatenessMs,
    PageJson Connections);

internal sealed record TotalsJson(
    int Connections,
    int Peak,
    long Opened,
    long Ended,
    long Refused,
    IReadOnlyDictionary<string, long> Ends,
    IReadOnlyDictionary<string, long> Refusals,
    long Pings,
    long Pongs,
    long Missed,
    long Late,
    long BytesIn,
    long BytesOut,
    long MessagesIn,
    long MessagesOut,
    int Suspect);

/// <summary>Null where nothing was measured.</summary>
internal sealed record QuantilesJson(double? P50, double? P95, double? P99, double? Max);

/// <inheritdoc cref="QuantilesJson"/>
internal sealed record LatenessJson(double? Last, double? P99, double? Max);

internal sealed record PageJson(int Matching, int Offset, int Limit, IReadOnlyList<ConnectionJson> Items);

internal sealed record RoundTripJson(double Last, double Min, double Mean, double Max, double Jitter);

/// <summary>A connection that is open, and so has no end.</summary>
internal sealed record ConnectionJson(
    long Id,
    string Remote,
    DateTime Opened,
    double AgeSeconds,
    string State,
    int Strikes,
    ulong Pings,
    int Pongs,
    int Missed,
    int Late,
    RoundTripJson? RoundTripMs,
    IReadOnlyList<double> RecentMs,
    long BytesIn,
    long BytesOut,
    long MessagesIn,
    long MessagesOut,
    double LastByteSeconds,
    EndJson? End = null);

internal sealed record EndedConnectionJson(long Id, EndJson End);

internal sealed record EndJson(
    long Seq,
    long Id,
    DateTime At,
    string Remote,
    string Cause,
    string By,
    string Detail,
    string? Verdict,
    double AgeSeconds,
    ulong Pings,
    int Pongs,
    int Missed,
    int Late,
    RoundTripJson? RoundTripMs,
    long BytesIn,
    long BytesOut,
    long MessagesIn,
    long MessagesOut,
    double LastByteSeconds);

internal sealed record EndsJson(int Total, IReadOnlyList<EndJson> Items);

/// <summary>The last hour as columns: all have one row a sample.</summary>
internal sealed record HistoryJson(
    int IntervalSeconds,
    IReadOnlyList<long> Time,
    IReadOnlyList<int> Connections,
    IReadOnlyList<long> Opened,
    IReadOnlyList<long> Refused,
    IReadOnlyDictionary<string, long[]> Ends,
    IReadOnlyList<long> Strikes,
    IReadOnlyList<long> Late,
    IReadOnlyList<double?> P50Ms,
    IReadOnlyList<double?> P95Ms,
    IReadOnlyList<double?> P99Ms,
    IReadOnlyList<double?> LatenessMs);

internal sealed record ErrorJson(string Error);

/// <summary>Serialisers made by the compiler: Native AOT has no others.</summary>
[JsonSerializable(typeof(StatusJson))]
[JsonSerializable(typeof(ConnectionJson))]
[JsonSerializable(typeof(EndedConnectionJson))]
[JsonSerializable(typeof(EndsJson))]
[JsonSerializable(typeof(HistoryJson))]
[JsonSerializable(typeof(ErrorJson))]
internal sealed partial class StatusJsonContext : JsonSerializerContext
{
    /// <summary>Escapes no more than JSON needs: what is served as JSON is not sniffed for anything else.</summary>
    public static StatusJsonContext Plain { get; } = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });
}
