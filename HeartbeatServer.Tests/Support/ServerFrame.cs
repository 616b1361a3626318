using System.Buffers.Binary;
using System.Text;
using HeartbeatServer.Framing;

namespace HeartbeatServer.Tests.Support;

/// <summary>A frame as the server sent it.</summary>
internal sealed record ServerFrame(Opcode Opcode, bool Fin, byte[] Payload)
{
    public string Text => Encoding.UTF8.GetString(Payload);

    /// <summary>The number that a ping of the server carries.</summary>
    public ulong Number => BinaryPrimitives.ReadUInt64BigEndian(Payload);

    /// <summary>The code and reason of a Close frame, for example <c>1011 pong timeout</c>; <c>none</c> for a frame without a body.</summary>
    public string Close => Payload.Length == 0
        ? "none"
        : $"{BinaryPrimitives.ReadUInt16BigEndian(Payload)} {Encoding.UTF8.GetString(Payload.AsSpan(2))}".TrimEnd();

    /// <summary>Reads a server's frame from the start of the bytes.</summary>
    /// <returns>The length of the frame in bytes; 0 if the frame is incomplete.</returns>
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
}
