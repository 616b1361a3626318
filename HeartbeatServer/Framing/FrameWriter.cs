using System.Buffers.Binary;
using System.Text;

namespace HeartbeatServer.Framing;

/// <summary>Writes the frames of a server: whole, final and never masked (RFC 6455 sections 5.1 and 5.2).</summary>
internal static class FrameWriter
{
    /// <summary>The longest header that a server writes, in bytes: no mask, 64-bit length.</summary>
    public const int MaxHeaderSize = 10;

    /// <summary>The wire size of a control frame with the longest payload, in bytes.</summary>
    public const int MaxControlFrameSize = 2 + FrameHeader.MaxControlPayload;

    /// <summary>Bytes of the header for a payload of so many bytes: 2, 4 or 10.</summary>
    public static int HeaderSize(int payloadLength) => payloadLength < 126 ? 2 : payloadLength <= ushort.MaxValue ? 4 : MaxHeaderSize;

    /// <summary>Writes a header to the start of <paramref name="destination"/>.</summary>
    /// <returns>The bytes written, as <see cref="HeaderSize"/> says.</returns>
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

    /// <summary>A Ping frame whose payload is the number, big-endian (section 5.5.2).</summary>
    public const int PingSize = 2 + sizeof(ulong);

    /// <inheritdoc cref="PingSize"/>
    public static void WritePing(Span<byte> destination, ulong number)
    {
        WriteHeader(destination, Opcode.Ping, sizeof(ulong));
        BinaryPrimitives.WriteUInt64BigEndian(destination[2..], number);
    }

    /// <summary>
    /// A Close frame (section 5.5.1); without a body for <see cref="CloseCode.NoStatus"/>. A reason over 123 bytes is cut, at a character.
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
}
