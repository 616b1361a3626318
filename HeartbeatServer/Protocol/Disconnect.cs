using System.Globalization;
using HeartbeatServer.Framing;

namespace HeartbeatServer.Protocol;

/// <summary>The end of a connection.</summary>
/// <param name="Cause">The first cause; later ones do not count.</param>
/// <param name="Detail">The particulars for a person: the code and reason of a Close frame, the rule that was broken.</param>
/// <param name="Error">The exception behind <see cref="DisconnectCause.InternalError"/>.</param>
/// <param name="Verdict">Who is to blame for <see cref="DisconnectCause.PongTimeout"/>; null for other causes.</param>
/// <param name="Tcp">What the kernel said when the verdict was found; null if it could not be asked.</param>
internal sealed record Disconnect(
    DisconnectCause Cause, string Detail, Exception? Error = null, PathVerdict? Verdict = null, TcpInfo? Tcp = null)
{
    /// <summary>The client closed; 1005 stands for a Close frame without a code (RFC 6455 section 7.1.5).</summary>
    public static Disconnect ByClient(ushort code, string reason) => new(
        DisconnectCause.ClientClosed,
        (code, reason) switch
        {
            (CloseCode.NoStatus, _) => "Close without a code",
            (_, "") => $"Close {code}",
            _ => $"Close {code} \"{string.Concat(reason.Select(Printable))}\"",
        });

    /// <summary>No pong came.</summary>
    /// <param name="strikes">In a row.</param>
    /// <param name="timeout">Of each.</param>
    /// <param name="tcp">What the kernel knows, before our Close frame goes out.</param>
    public static Disconnect ByTimeout(int strikes, TimeSpan timeout, TcpInfo? tcp)
    {
        PathVerdict verdict = tcp?.Verdict ?? PathVerdict.Unknown;
        string meaning = verdict switch
        {
            PathVerdict.PathDead => "the peer's kernel has not acknowledged the ping",
            PathVerdict.PeerFrozen => "the peer's kernel acknowledged the ping, its program did not answer",
            _ => "the kernel could not be asked",
        };
        return new Disconnect(
            DisconnectCause.PongTimeout,
            $"{strikes} ping(s) in a row without a sign of life within {timeout.TotalMilliseconds}ms, {verdict.Name()}: {meaning}",
            Verdict: verdict,
            Tcp: tcp);
    }

    /// <summary>We closed, because the client broke a rule.</summary>
    public static Disconnect ByViolation(WebSocketProtocolException violation) => new(
        violation.CloseCode switch
        {
            CloseCode.InvalidPayload => DisconnectCause.InvalidPayload,
            CloseCode.MessageTooBig => DisconnectCause.MessageTooBig,
            _ => DisconnectCause.ProtocolError,
        },
        $"sent Close {violation.CloseCode}: {violation.Message}");

    /// <summary>The client chose the reason: it must not break the line of the log that shows it, turn it round, nor drive the terminal.</summary>
    private static string Printable(char c) => char.GetUnicodeCategory(c) switch
    {
        UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator => $"\\u{(int)c:x4}",
        _ => c is '"' or '\\' ? $"\\{c}" : $"{c}",
    };
}
