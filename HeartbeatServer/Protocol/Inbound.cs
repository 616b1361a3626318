using System.Buffers.Binary;
using System.Text;
using HeartbeatServer.Framing;

namespace HeartbeatServer.Protocol;

/// <summary>What the client said: a whole message or a control frame, unmasked and valid.</summary>
/// <param name="Opcode">Text, Binary, Close, Ping or Pong.</param>
/// <param name="Buffer">
/// The array that holds the payload, good until the next read. The bytes before <paramref name="Offset"/> may be overwritten, as many
/// as a server's header for this payload takes: a reply needs no copy.
/// </param>
/// <param name="Offset">Where the payload begins.</param>
/// <param name="Count">Bytes of payload.</param>
internal readonly record struct Inbound(Opcode Opcode, byte[] Buffer, int Offset, int Count)
{
    public ReadOnlySpan<byte> Payload => Buffer.AsSpan(Offset, Count);

    /// <summary>The code of a Close frame; <see cref="CloseCode.NoStatus"/> for one without a body.</summary>
    public ushort Code => Count == 0 ? CloseCode.NoStatus : BinaryPrimitives.ReadUInt16BigEndian(Payload);

    /// <summary>The reason of a Close frame; may be empty.</summary>
    public string Reason => Count <= sizeof(ushort) ? "" : Encoding.UTF8.GetString(Payload[sizeof(ushort)..]);
}
