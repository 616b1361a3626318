using System.Buffers.Binary;
using System.Numerics;

namespace LoadGenerator;

/// <summary>Writes the frames of a client, each with a mask of its own (RFC 6455 section 5.3).</summary>
internal static class ClientFrame
{
    /// <summary>Bytes that a payload takes on the wire.</summary>
    public static int Size(int payloadLength) => payloadLength + 4 + (payloadLength < 126 ? 2 : payloadLength <= ushort.MaxValue ? 4 : 10);

    /// <summary>Writes a final frame of <see cref="Size"/> bytes.</summary>
    public static void Write(Span<byte> destination, byte opcode, ReadOnlySpan<byte> payload)
    {
        int header = Size(payload.Length) - payload.Length - 4;
        destination[0] = (byte)(0x80 | opcode);
        destination[1] = (byte)(0x80 | (header == 2 ? payload.Length : header == 4 ? 126 : 127));
        if (header == 4)
            BinaryPrimitives.WriteUInt16BigEndian(destination[2..], (ushort)payload.Length);
        else if (header == 10)
            BinaryPrimitives.WriteInt64BigEndian(destination[2..], payload.Length);

        uint mask = (uint)Random.Shared.Next();
        BinaryPrimitives.WriteUInt32LittleEndian(destination[header..], mask);
        Mask(payload, destination.Slice(header + 4, payload.Length), mask);
    }

    private static void Mask(ReadOnlySpan<byte> payload, Span<byte> destination, uint mask)
    {
        Vector<byte> wide = Vector.AsVectorByte(new Vector<uint>(mask));
        int i = 0;
        for (; i <= payload.Length - Vector<byte>.Count; i += Vector<byte>.Count)
            (new Vector<byte>(payload[i..]) ^ wide).CopyTo(destination[i..]);
        for (; i < payload.Length; i++)
            destination[i] = (byte)(payload[i] ^ (mask >> (8 * (i & 3))));
    }
}
