using System.Buffers.Binary;
using System.Text;
using HeartbeatServer.Framing;

namespace HeartbeatServer.Tests.Support;

/// <summary>Makes masked frames as a client sends them, from RFC 6455 section 5.2 and without the code under test.</summary>
internal static class ClientFrames
{
    /// <summary>The mask key of every frame here. It is the one of the example in RFC 6455 section 5.7.</summary>
    public static readonly byte[] Mask = [0x37, 0xFA, 0x21, 0x3D];

    public static byte[] Text(string text, bool fin = true) => Frame(Opcode.Text, Encoding.UTF8.GetBytes(text), fin);

    public static byte[] Text(ReadOnlySpan<byte> payload, bool fin = true) => Frame(Opcode.Text, payload, fin);

    public static byte[] Binary(ReadOnlySpan<byte> payload, bool fin = true) => Frame(Opcode.Binary, payload, fin);

    public static byte[] Continuation(string text, bool fin) => Frame(Opcode.Continuation, Encoding.UTF8.GetBytes(text), fin);

    public static byte[] Continuation(ReadOnlySpan<byte> payload, bool fin) => Frame(Opcode.Continuation, payload, fin);

    public static byte[] Ping(ReadOnlySpan<byte> payload = default) => Frame(Opcode.Ping, payload);

    public static byte[] Pong(ReadOnlySpan<byte> payload = default) => Frame(Opcode.Pong, payload);

    /// <summary>A Close frame without a body.</summary>
    public static byte[] Close() => Frame(Opcode.Close, []);

    public static byte[] Close(int code, string reason = "") => Frame(Opcode.Close, CloseBody(code, Encoding.UTF8.GetBytes(reason)));

    /// <summary>The payload of a Close frame.</summary>
    public static byte[] CloseBody(int code, ReadOnlySpan<byte> reason)
    {
        var body = new byte[2 + reason.Length];
        BinaryPrimitives.WriteUInt16BigEndian(body, checked((ushort)code));
        reason.CopyTo(body.AsSpan(2));
        return body;
    }

    /// <summary>Makes a frame. It is valid if the arguments are.</summary>
    public static byte[] Frame(Opcode opcode, ReadOnlySpan<byte> payload, bool fin = true) =>
        [.. Header((fin ? 0x80 : 0) | (int)opcode, payload.Length), .. Masked(payload)];

    /// <summary>Makes a header, including the mask key. The length takes the fewest bytes.</summary>
    /// <param name="first">FIN, RSV1-3 and opcode.</param>
    /// <param name="length">The payload length that the header claims.</param>
    public static byte[] Header(int first, long length)
    {
        var big = new byte[8];
        BinaryPrimitives.WriteInt64BigEndian(big, length);
        return length switch
        {
            < 126 => [(byte)first, (byte)(0x80 | length), .. Mask],
            <= ushort.MaxValue => [(byte)first, 0x80 | 126, .. big[6..], .. Mask],
            _ => [(byte)first, 0x80 | 127, .. big, .. Mask],
        };
    }

    /// <summary>Masks a payload, byte by byte (section 5.3).</summary>
    public static byte[] Masked(ReadOnlySpan<byte> payload)
    {
        byte[] masked = payload.ToArray();
        for (int i = 0; i < masked.Length; i++)
            masked[i] ^= Mask[i % 4];
        return masked;
    }

    public static byte[] Join(params byte[][] frames) => [.. frames.SelectMany(frame => frame)];
}
