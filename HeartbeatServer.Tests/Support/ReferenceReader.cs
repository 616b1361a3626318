using System.Buffers.Binary;
using System.Numerics;
using HeartbeatServer.Framing;

namespace HeartbeatServer.Tests.Support;

/// <summary>
/// The reading side of a server by RFC 6455, written as plainly as possible: it reads the whole stream at once, and copies every payload. Tests
/// compare the results of <see cref="HeartbeatServer.Protocol.MessageReader"/> with those of this reader.
/// </summary>
internal static class ReferenceReader
{
    public static Transcript Run(ReadOnlySpan<byte> stream, int maxMessage)
    {
        var transcript = new Transcript();
        Opcode? open = null;
        List<byte> message = [];
        ReadOnlySpan<byte> rest = stream;
        while (!rest.IsEmpty)
        {
            int opcode = rest[0] & 0x0F;
            bool fin = rest[0] >= 0x80;
            bool control = opcode >= 8;
            if ((rest[0] & 0x70) != 0 || opcode is (>= 3 and <= 7) or >= 11 || (control && !fin))
                return End(transcript, 1002);
            if (rest.Length < 2)
                break;
            int length7 = rest[1] & 0x7F;
            // The frame is not masked. The message names the code of such a Close frame.
            if (rest[1] < 0x80 && opcode == 8 && length7 is >= 2 and <= 125 && rest.Length < 4)
                break;
            if (rest[1] < 0x80 || (control && length7 > 125))
                return End(transcript, 1002);
            int extended = length7 == 126 ? 2 : length7 == 127 ? 8 : 0;
            if (extended == 8 && rest.Length > 2 && rest[2] >= 0x80)
                return End(transcript, 1002);
            if (rest.Length < 2 + extended)
                break;
            var length = new BigInteger(rest.Slice(2, extended), isUnsigned: true, isBigEndian: true);
            if ((extended == 2 && length < 126) || (extended == 8 && length < 65536))
                return End(transcript, 1002);
            if (extended == 0)
                length = length7;
            int size = 2 + extended + 4;
            if (rest.Length < size)
                break;

            if (!control)
            {
                if (open is null == (opcode == 0))
                    return End(transcript, 1002);
                if (message.Count + length > maxMessage)
                    return End(transcript, 1009);
                open ??= (Opcode)opcode;
            }
            byte[] payload = rest[size..(int)BigInteger.Min(rest.Length, size + length)].ToArray();
            for (int i = 0; i < payload.Length; i++)
                payload[i] ^= rest[size - 4 + i % 4];
            bool whole = payload.Length == length;
            rest = rest[(size + payload.Length)..];

            if (control)
            {
                if (!whole)
                    break;
                if (opcode == 8 && CloseViolation(payload) is > 0 and var code)
                    return End(transcript, code);
                transcript.Add((Opcode)opcode, payload);
                if (opcode == 8)
                    break;
                continue;
            }
            message.AddRange(payload);
            bool last = whole && fin;
            byte[] soFar = [.. message];
            if (open == Opcode.Text && !(last ? Utf8Oracle.IsWhole(soFar) : Utf8Oracle.IsPrefix(soFar)))
                return End(transcript, 1007);
            if (last)
            {
                transcript.Add(open!.Value, soFar);
                message.Clear();
                open = null;
            }
        }
        return transcript;
    }

    private static int CloseViolation(ReadOnlySpan<byte> body)
    {
        if (body.IsEmpty)
            return 0;
        if (body.Length == 1)
            return 1002;
        int code = BinaryPrimitives.ReadUInt16BigEndian(body);
        int[] defined = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
        if (!defined.Contains(code) && (code < 3000 || code > 4999))
            return 1002;
        return Utf8Oracle.IsWhole(body[2..]) ? 0 : 1007;
    }

    private static Transcript End(Transcript transcript, int code)
    {
        transcript.End(code);
        return transcript;
    }
}
