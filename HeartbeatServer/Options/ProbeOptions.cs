namespace HeartbeatServer.Options;

/// <summary>What <c>HeartbeatServer probe</c> was asked to do, validated.</summary>
/// <param name="Url">Where it connects.</param>
internal sealed record ProbeOptions(ProbeUrl Url)
{
    /// <summary>How long it measures at most.</summary>
    public TimeSpan For { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Fields that are added to each request.</summary>
    public IReadOnlyList<(string Name, string Value)> Headers { get; init; } = [];

    /// <summary>The subprotocols that are offered, the preferred one first.</summary>
    public IReadOnlyList<string> Subprotocols { get; init; } = [];

    /// <summary>The Origin field; null for none.</summary>
    public string? Origin { get; init; }

    /// <summary>A text message that each connection sends once, as soon as it is open; null for none.</summary>
    public string? Message { get; init; }

    /// <summary>Whether the server's certificate is taken as it is.</summary>
    public bool IsInsecure { get; init; }

    /// <summary>Whether the output is one JSON object.</summary>
    public bool IsJson { get; init; }
}
