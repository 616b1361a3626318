using HeartbeatServer.Framing;

namespace HeartbeatServer.Protocol;

/// <summary>A whole message or a control frame from the client, unmasked and valid.</summary>
/// <param name="Opcode">Text, Binary, Close, Ping or Pong.</param>
/// <param name="Buffer">
/// The array that holds the payload until the next read. The caller may overwrite the bytes before <paramref name="Offset"/>: there is room for a
/// server's header of this payload, so a reply needs no copy.
/// </param>
/// <param name="Offset">The index in the array at which the payload begins.</param>
/// <param name="Count">The length of the payload in bytes.</param>
internal readonly record struct Inbound(Opcode Opcode, byte[] Buffer, int Offset, int Count)
{
    public ReadOnlySpan<byte> Payload => Buffer.AsSpan(Offset, Count);

    /// <summary>The code of a Close frame; <see cref="CloseCode.NoStatus"/> for a frame without a body (RFC 6455 section 7.1.5).</summary>
    public ushort Code => CloseBody.Code(Payload);

    /// <summary>The reason of a Close frame (RFC 6455 section 7.1.6); may be empty.</summary>
    public string Reason => CloseBody.Reason(Payload);
}
