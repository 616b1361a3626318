using System.Buffers.Binary;
using System.Text;
using System.Text.Unicode;
using HeartbeatServer.Framing;

namespace HeartbeatServer.Protocol;

/// <summary>The unmasked payload of a Close frame: nothing, or a code of two bytes and a reason in UTF-8 (RFC 6455 section 5.5.1).</summary>
internal static class CloseBody
{
    /// <summary>The code; <see cref="CloseCode.NoStatus"/> for an empty body (section 7.1.5).</summary>
    public static ushort Code(ReadOnlySpan<byte> body) => body.IsEmpty ? CloseCode.NoStatus : BinaryPrimitives.ReadUInt16BigEndian(body);

    /// <summary>The reason (section 7.1.6); may be empty.</summary>
    public static string Reason(ReadOnlySpan<byte> body) => body.Length <= sizeof(ushort) ? "" : Encoding.UTF8.GetString(body[sizeof(ushort)..]);

    /// <summary>Checks a body that has come from a peer.</summary>
    /// <exception cref="WebSocketProtocolException">The body breaks a rule. The exception has the rule and the code 1002 or 1007.</exception>
    public static void Check(ReadOnlySpan<byte> body)
    {
        // 5.5.1: "If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer".
        if (body.Length == 1)
            throw new WebSocketProtocolException(CloseCode.ProtocolError, "Close frame with half a code", "5.5.1");
        if (body.IsEmpty)
            return;
        ushort code = Code(body);
        if (!CloseCode.MayBeSent(code))
        {
            string reason = Reason(body);
            throw new WebSocketProtocolException(
                CloseCode.ProtocolError,
                $"Close code {code} must not be sent",
                "7.4",
                reason.Length == 0 ? "" : $", its reason is {PeerText.Quoted(reason)}");
        }
        if (!Utf8.IsValid(body[sizeof(ushort)..]))
            throw new WebSocketProtocolException(CloseCode.InvalidPayload, "reason of a Close frame is not valid UTF-8", "5.5.1");
    }
}
