using System.Buffers.Binary;

namespace LoadGenerator;

/// <summary>The header of a frame from a server (RFC 6455 section 5.2): no mask, no extension.</summary>
internal readonly record struct ServerFrame(byte Opcode, bool Final, long PayloadLength, int HeaderSize)
{
    public const byte Continuation = 0, Text = 1, Binary = 2, Close = 8, Ping = 9, Pong = 10;

    public bool IsControl => Opcode >= Close;

    /// <summary>Whether the header is whole; one that breaks a rule has <see cref="PayloadLength"/> -1.</summary>
    public static bool TryRead(ReadOnlySpan<byte> bytes, out ServerFrame frame)
    {
        frame = default;
        if (bytes.Length < 2)
            return false;
        int shortLength = bytes[1];
        int size = shortLength switch { 126 => 4, 127 => 10, _ => 2 };
        if (bytes.Length < size)
            return false;
        long length = shortLength switch
        {
            126 => BinaryPrimitives.ReadUInt16BigEndian(bytes[2..]),
            127 => BinaryPrimitives.ReadInt64BigEndian(bytes[2..]),
            _ => shortLength,
        };
        frame = new ServerFrame((byte)(bytes[0] & 0x0F), (bytes[0] & 0x80) != 0, length, size);
        bool broken = (bytes[0] & 0x70) != 0 || shortLength > 127 || (frame.IsControl && (length > 125 || !frame.Final));
        if (broken)
            frame = frame with { PayloadLength = -1 };
        return true;
    }
}
