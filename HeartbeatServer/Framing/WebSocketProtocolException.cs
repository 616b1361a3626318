namespace HeartbeatServer.Framing;

/// <summary>
/// The peer broke a rule of RFC 6455. The only exception that <c>Framing</c> and <c>Protocol</c> let out; the connection turns it
/// into a Close frame in one place.
/// </summary>
/// <param name="closeCode">1002, 1007 or 1009.</param>
/// <param name="rule">The rule, in words that fit a log line.</param>
/// <param name="section">The section of RFC 6455 that has the rule.</param>
/// <param name="detail">What the peer sent, for the log alone; printable.</param>
internal sealed class WebSocketProtocolException(ushort closeCode, string rule, string section, string detail = "")
    : Exception($"{rule}{detail} (RFC 6455 section {section})")
{
    public ushort CloseCode { get; } = closeCode;

    /// <summary>The rule without its section: short enough for the reason of any Close frame.</summary>
    public string Rule { get; } = rule;
}
