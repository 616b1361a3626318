using HeartbeatServer.Framing;

namespace HeartbeatServer.Protocol;

/// <summary>The end of a connection.</summary>
/// <param name="Cause">The first cause; later ones do not count.</param>
/// <param name="Detail">The particulars for a person: the code and reason of a Close frame, the rule that was broken.</param>
/// <param name="Error">The exception behind <see cref="DisconnectCause.InternalError"/>.</param>
internal sealed record Disconnect(DisconnectCause Cause, string Detail, Exception? Error = null)
{
    /// <summary>The client closed; 1005 stands for a Close frame without a code (RFC 6455 section 7.1.5).</summary>
    public static Disconnect ByClient(ushort code, string reason) => new(
        DisconnectCause.ClientClosed,
        (code, reason) switch
        {
            (CloseCode.NoStatus, _) => "Close without a code",
            (_, "") => $"Close {code}",
            _ => $"Close {code} \"{reason}\"",
        });

    /// <summary>We closed, because the client broke a rule.</summary>
    public static Disconnect ByViolation(WebSocketProtocolException violation) => new(
        violation.CloseCode switch
        {
            CloseCode.InvalidPayload => DisconnectCause.InvalidPayload,
            CloseCode.MessageTooBig => DisconnectCause.MessageTooBig,
            _ => DisconnectCause.ProtocolError,
        },
        $"sent Close {violation.CloseCode}: {violation.Message}");
}
