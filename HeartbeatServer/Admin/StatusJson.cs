using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace HeartbeatServer.Admin;

/// <summary>
/// What <c>/status</c> answers. The properties keep their order in the JSON, and their names become snake_case. A duration is in the unit that its name
/// ends with.
/// </summary>
internal sealed record StatusJson
{
    public required string Version { get; init; }
    public required DateTime Started { get; init; }
    public required DateTime Now { get; init; }
    public required double UptimeSeconds { get; init; }
    public required string State { get; init; }
    public required IReadOnlyDictionary<string, string> Options { get; init; }
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public CertificateJson? Certificate { get; init; }
    public required TotalsJson Totals { get; init; }

    /// <summary>Null if the server passes no pages on.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public PagesJson? Pages { get; init; }
    public required QuantilesJson RoundTripMs { get; init; }
    public required LatenessJson LatenessMs { get; init; }
    public required PageJson Connections { get; init; }
}

/// <summary>The requests without an upgrade that the application answers. <c>Answered</c> has a number for each class of statuses: 2xx to 5xx.</summary>
internal sealed record PagesJson(int UnderWay, IReadOnlyDictionary<string, long> Answered, long Cut);

/// <summary>The certificate of a port that speaks TLS. <c>Loaded</c> is when it was read from its file.</summary>
internal sealed record CertificateJson(IReadOnlyList<string> Names, DateTime NotBefore, DateTime NotAfter, int DaysLeft, DateTime Loaded);

internal sealed record TotalsJson
{
    public required int Connections { get; init; }
    public required int Peak { get; init; }
    public required long Opened { get; init; }
    public required long Ended { get; init; }
    public required long Refused { get; init; }
    public required IReadOnlyDictionary<string, long> Ends { get; init; }
    public required IReadOnlyDictionary<string, long> Refusals { get; init; }
    public required long Pings { get; init; }
    public required long Pongs { get; init; }
    public required long Missed { get; init; }
    public required long Late { get; init; }
    public required long BytesIn { get; init; }
    public required long BytesOut { get; init; }
    public required long MessagesIn { get; init; }
    public required long MessagesOut { get; init; }
    public required int Suspect { get; init; }
    public required long LogLinesDropped { get; init; }
}

/// <summary>Quantiles of the round trips; null as long as there is none.</summary>
internal sealed record QuantilesJson(double? P50, double? P95, double? P99, double? Max);

/// <summary>How late the ticks of the timing wheels were; null as long as there was none.</summary>
internal sealed record LatenessJson(double? Last, double? P99, double? Max);

internal sealed record PageJson(int Matching, int Offset, int Limit, IReadOnlyList<ConnectionJson> Items);

internal sealed record RoundTripJson(double Last, double Min, double Mean, double Max, double Jitter);

/// <summary>A connection that is open.</summary>
internal sealed record ConnectionJson
{
    public required long Id { get; init; }
    public required string Remote { get; init; }
    public required string Path { get; init; }
    public required string? UserAgent { get; init; }
    public required string? Origin { get; init; }
    public required string? Subprotocol { get; init; }
    public required DateTime Opened { get; init; }
    public required double AgeSeconds { get; init; }
    public required string State { get; init; }
    public required int Strikes { get; init; }
    public required ulong Pings { get; init; }
    public required int Pongs { get; init; }
    public required int Missed { get; init; }
    public required int Late { get; init; }
    public required int OtherPongs { get; init; }
    public required RoundTripJson? RoundTripMs { get; init; }
    public required IReadOnlyList<double> RecentMs { get; init; }
    public required long BytesIn { get; init; }
    public required long BytesOut { get; init; }
    public required long MessagesIn { get; init; }
    public required long MessagesOut { get; init; }
    public required double LastByteSeconds { get; init; }
    public required double LastSentSeconds { get; init; }

    /// <summary>The leg to the application of a relayed connection.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public UpstreamJson? Upstream { get; init; }

    /// <summary>Null: the connection is open. One that has ended is an <see cref="EndedConnectionJson"/>.</summary>
    public EndJson? End { get; init; }
}

/// <summary>The leg to the application. <c>NotReadSeconds</c> is how long bytes have waited for it to read; null if none wait.</summary>
internal sealed record UpstreamJson
{
    public required string Address { get; init; }
    public required double HandshakeMs { get; init; }
    public required double? KernelRoundTripMs { get; init; }
    public required long BytesIn { get; init; }
    public required long BytesOut { get; init; }
    public required double LastByteSeconds { get; init; }
    public required double? NotReadSeconds { get; init; }
    public required bool InsideFrame { get; init; }
}

internal sealed record EndedConnectionJson(long Id, EndJson End);

internal sealed record EndJson
{
    public required long Seq { get; init; }
    public required long Id { get; init; }
    public required DateTime At { get; init; }
    public required string Remote { get; init; }
    public required string Path { get; init; }
    public required string? UserAgent { get; init; }
    public required string? Origin { get; init; }
    public required string? Subprotocol { get; init; }
    public required string Cause { get; init; }
    public required string By { get; init; }
    public required string Detail { get; init; }
    public required string? Verdict { get; init; }
    public required double AgeSeconds { get; init; }
    public required ulong Pings { get; init; }
    public required int Pongs { get; init; }
    public required int Missed { get; init; }
    public required int Late { get; init; }
    public required int OtherPongs { get; init; }
    public required int SubprotocolsNotSpoken { get; init; }
    public required RoundTripJson? RoundTripMs { get; init; }
    public required double? KernelRoundTripMs { get; init; }
    public required uint? Retransmissions { get; init; }
    public required long BytesIn { get; init; }
    public required long BytesOut { get; init; }
    public required long MessagesIn { get; init; }
    public required long MessagesOut { get; init; }
    public required double LastByteSeconds { get; init; }
    public required double LastSentSeconds { get; init; }

    /// <inheritdoc cref="ConnectionJson.Upstream"/>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public UpstreamJson? Upstream { get; init; }
}

internal sealed record WhyJson(DateTime Now, int Connections, long Ended, IReadOnlyList<FindingJson> Sentences);

/// <summary>A sentence and its numbers.</summary>
internal sealed record FindingJson
{
    public required string Kind { get; init; }
    public required string Sentence { get; init; }
    public required int Count { get; init; }
    public required int Of { get; init; }
    public required double? Seconds { get; init; }
    public required DateTime? From { get; init; }
    public required DateTime? To { get; init; }
    public required IReadOnlyDictionary<string, int> Causes { get; init; }
    public required IReadOnlyList<string> Candidates { get; init; }
    public required string? Ping { get; init; }
}

internal sealed record EndsJson(int Total, IReadOnlyList<EndJson> Items);

/// <summary>The last hour in columns. Every column has one element for each sample.</summary>
internal sealed record HistoryJson
{
    public required int IntervalSeconds { get; init; }
    public required IReadOnlyList<long> Time { get; init; }
    public required IReadOnlyList<int> Connections { get; init; }
    public required IReadOnlyList<long> Opened { get; init; }
    public required IReadOnlyList<long> Refused { get; init; }
    public required IReadOnlyDictionary<string, long[]> Ends { get; init; }
    public required IReadOnlyList<long> Strikes { get; init; }
    public required IReadOnlyList<long> Late { get; init; }
    public required IReadOnlyList<double?> P50Ms { get; init; }
    public required IReadOnlyList<double?> P95Ms { get; init; }
    public required IReadOnlyList<double?> P99Ms { get; init; }
    public required IReadOnlyList<double?> LatenessMs { get; init; }
}

/// <summary>A distribution in two columns: so many round trips took at most so long, and longer than the one before in the column.</summary>
internal sealed record RoundTripsJson(IReadOnlyList<double> UpToMs, IReadOnlyList<long> Count);

internal sealed record ErrorJson(string Error);

/// <summary>The compiler makes the serialisers, because Native AOT has no others.</summary>
[JsonSerializable(typeof(StatusJson))]
[JsonSerializable(typeof(ConnectionJson))]
[JsonSerializable(typeof(EndedConnectionJson))]
[JsonSerializable(typeof(EndsJson))]
[JsonSerializable(typeof(WhyJson))]
[JsonSerializable(typeof(HistoryJson))]
[JsonSerializable(typeof(RoundTripsJson))]
[JsonSerializable(typeof(ErrorJson))]
internal sealed partial class StatusJsonContext : JsonSerializerContext
{
    /// <summary>Escapes no more than JSON needs. Browsers are told not to sniff the answers for HTML, so no more is necessary.</summary>
    public static StatusJsonContext Plain { get; } = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });
}
