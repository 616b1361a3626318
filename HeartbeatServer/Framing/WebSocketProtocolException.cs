namespace HeartbeatServer.Framing;

/// <summary>
/// The peer has broken a rule of RFC 6455. No other exception leaves the readers of <c>Framing</c> and <c>Protocol</c>. The connection turns it
/// into a Close frame, in one place.
/// </summary>
/// <param name="closeCode">The code for the Close frame: 1002, 1007 or 1009.</param>
/// <param name="rule">The rule, in words for a log line and for the reason of the Close frame.</param>
/// <param name="section">The section of RFC 6455 that has the rule.</param>
/// <param name="detail">What the peer has sent, in printable characters. It goes into the log only.</param>
internal sealed class WebSocketProtocolException(ushort closeCode, string rule, string section, string detail = "")
    : Exception($"{rule}{detail} (RFC 6455 section {section})")
{
    public ushort CloseCode { get; } = closeCode;

    /// <summary>The rule without its section. It is short enough for the reason of a Close frame.</summary>
    public string Rule { get; } = rule;
}
