using System.Buffers.Binary;
using System.Text;
using HeartbeatServer.Framing;

namespace HeartbeatServer.Tests.Support;

/// <summary>A frame as the server sent it.</summary>
internal sealed record ServerFrame(Opcode Opcode, bool Fin, byte[] Payload)
{
    public string Text => Encoding.UTF8.GetString(Payload);

    /// <summary>The number that a ping of ours carries.</summary>
    public ulong Number => BinaryPrimitives.ReadUInt64BigEndian(Payload);

    /// <summary>Code and reason of a Close frame: <c>1011 pong timeout</c>; <c>none</c> without a body.</summary>
    public string Close => Payload.Length == 0
        ? "none"
        : $"{BinaryPrimitives.ReadUInt16BigEndian(Payload)} {Encoding.UTF8.GetString(Payload.AsSpan(2))}".TrimEnd();
}

/// <summary>Frames as bytes, from the client's side, written without the code under test.</summary>
internal static class WireFrames
{
    private static readonly byte[] MaskKey = [0x5A, 0x00, 0xC3, 0xFF];

    /// <summary>A masked frame, as a client has to send it.</summary>
    public static byte[] Masked(Opcode opcode, ReadOnlySpan<byte> payload, bool fin = true)
    {
        byte[] head = Header(opcode, payload.Length, fin);
        var frame = new byte[head.Length + payload.Length];
        head.CopyTo(frame, 0);
        for (int i = 0; i < payload.Length; i++)
            frame[head.Length + i] = (byte)(payload[i] ^ MaskKey[i % 4]);
        return frame;
    }

    public static byte[] Text(string text) => Masked(Opcode.Text, Encoding.UTF8.GetBytes(text));

    public static byte[] Close(ushort code, string reason = "") => Masked(Opcode.Close, CloseBody(code, reason));

    /// <summary>The answer to a ping.</summary>
    public static byte[] Pong(ServerFrame ping) => Masked(Opcode.Pong, ping.Payload);

    /// <summary>A masked header alone; its mask is that of <see cref="Masked"/>.</summary>
    public static byte[] Header(Opcode opcode, long length, bool fin = true)
    {
        byte first = (byte)((fin ? 0x80 : 0) | (byte)opcode);
        byte[] size;
        if (length < 126)
        {
            size = [(byte)(0x80 | length)];
        }
        else if (length <= ushort.MaxValue)
        {
            size = [0x80 | 126, 0, 0];
            BinaryPrimitives.WriteUInt16BigEndian(size.AsSpan(1), (ushort)length);
        }
        else
        {
            size = new byte[9];
            size[0] = 0x80 | 127;
            BinaryPrimitives.WriteInt64BigEndian(size.AsSpan(1), length);
        }
        return [first, .. size, .. MaskKey];
    }

    /// <summary>Reads a server's frame from the start of the bytes.</summary>
    /// <returns>The bytes it takes; 0 if it is not whole.</returns>
    public static int Parse(ReadOnlySpan<byte> bytes, out ServerFrame? frame)
    {
        frame = null;
        if (bytes.Length < 2)
            return 0;
        Assert.That(bytes[1] & 0x80, Is.Zero, "a server must not mask");
        int head = 2 + ((bytes[1] & 0x7F) switch { 126 => 2, 127 => 8, _ => 0 });
        if (bytes.Length < head)
            return 0;
        long length = head switch
        {
            4 => BinaryPrimitives.ReadUInt16BigEndian(bytes[2..]),
            10 => BinaryPrimitives.ReadInt64BigEndian(bytes[2..]),
            _ => bytes[1],
        };
        if (bytes.Length < head + length)
            return 0;
        frame = new ServerFrame((Opcode)(bytes[0] & 0x0F), (bytes[0] & 0x80) != 0, bytes.Slice(head, (int)length).ToArray());
        return head + (int)length;
    }

    private static byte[] CloseBody(ushort code, string reason)
    {
        var body = new byte[2 + Encoding.UTF8.GetByteCount(reason)];
        BinaryPrimitives.WriteUInt16BigEndian(body, code);
        Encoding.UTF8.GetBytes(reason, body.AsSpan(2));
        return body;
    }
}
