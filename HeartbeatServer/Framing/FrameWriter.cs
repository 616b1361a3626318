using System.Buffers.Binary;
using System.Text;

namespace HeartbeatServer.Framing;

/// <summary>
/// Writes frames, whole and final (RFC 6455 section 5.2). Those of a server are never masked, and those of a client always (section 5.1).
/// </summary>
internal static class FrameWriter
{
    /// <summary>The longest header that a server writes, in bytes. It has a 64-bit length and no mask.</summary>
    public const int MaxHeaderSize = 10;

    /// <summary>The length in bytes of the header for a payload of <paramref name="payloadLength"/> bytes: 2, 4 or 10.</summary>
    public static int HeaderSize(int payloadLength) => payloadLength < 126 ? 2 : payloadLength <= ushort.MaxValue ? 4 : MaxHeaderSize;

    /// <summary>Writes a header to the start of <paramref name="destination"/>.</summary>
    /// <returns>The number of bytes written, which is that of <see cref="HeaderSize"/>.</returns>
    public static int WriteHeader(Span<byte> destination, Opcode opcode, int payloadLength)
    {
        int size = HeaderSize(payloadLength);
        destination[0] = (byte)(0x80 | (byte)opcode);
        switch (size)
        {
            case 2:
                destination[1] = (byte)payloadLength;
                break;
            case 4:
                destination[1] = 126;
                BinaryPrimitives.WriteUInt16BigEndian(destination[2..], (ushort)payloadLength);
                break;
            default:
                destination[1] = 127;
                BinaryPrimitives.WriteUInt64BigEndian(destination[2..], (ulong)payloadLength);
                break;
        }
        return size;
    }

    /// <summary>The length in bytes of a Ping frame that <see cref="WritePing"/> writes.</summary>
    public const int PingSize = 2 + sizeof(ulong);

    /// <summary>Writes a Ping frame (section 5.5.2). The payload is the number in 8 bytes, big-endian.</summary>
    public static void WritePing(Span<byte> destination, ulong number)
    {
        WriteHeader(destination, Opcode.Ping, sizeof(ulong));
        BinaryPrimitives.WriteUInt64BigEndian(destination[2..], number);
    }

    /// <summary>
    /// Makes a Close frame (section 5.5.1). For <see cref="CloseCode.NoStatus"/> the frame has no body. A reason longer than 123 bytes in UTF-8
    /// is cut after a whole character.
    /// </summary>
    public static byte[] Close(ushort code, string reason = "")
    {
        if (code == CloseCode.NoStatus)
            return [0x80 | (byte)Opcode.Close, 0];

        Span<byte> text = stackalloc byte[FrameHeader.MaxControlPayload - sizeof(ushort)];
        Encoding.UTF8.GetEncoder().Convert(reason, text, flush: true, out _, out int length, out _);
        var frame = new byte[2 + sizeof(ushort) + length];
        WriteHeader(frame, Opcode.Close, sizeof(ushort) + length);
        BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(2), code);
        text[..length].CopyTo(frame.AsSpan(4));
        return frame;
    }

    /// <summary>Makes a frame of a client.</summary>
    /// <param name="opcode">What the frame carries.</param>
    /// <param name="payload">The payload without a mask.</param>
    /// <param name="maskKey">A number that nobody can guess, new for each frame (section 5.3).</param>
    public static byte[] Masked(Opcode opcode, ReadOnlySpan<byte> payload, uint maskKey)
    {
        int header = HeaderSize(payload.Length);
        int start = header + sizeof(uint);
        var frame = new byte[start + payload.Length];
        WriteHeader(frame, opcode, payload.Length);
        frame[1] |= 0x80;
        BinaryPrimitives.WriteUInt32LittleEndian(frame.AsSpan(header), maskKey);
        // 5.3: the same operation masks and unmasks.
        Masking.Unmask(payload, frame.AsSpan(start), maskKey, 0);
        return frame;
    }
}
