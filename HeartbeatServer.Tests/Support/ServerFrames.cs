using System.Buffers.Binary;
using HeartbeatServer.Framing;

namespace HeartbeatServer.Tests.Support;

/// <summary>Makes frames as a server must send them, from RFC 6455 section 5.2 and without the code under test.</summary>
internal static class ServerFrames
{
    public static byte[] Frame(Opcode opcode, ReadOnlySpan<byte> payload, bool fin = true)
    {
        byte first = (byte)((fin ? 0x80 : 0) | (int)opcode);
        var big = new byte[8];
        BinaryPrimitives.WriteInt64BigEndian(big, payload.Length);
        return payload.Length switch
        {
            < 126 => [first, big[7], .. payload],
            <= ushort.MaxValue => [first, 126, big[6], big[7], .. payload],
            _ => [first, 127, .. big, .. payload],
        };
    }
}
