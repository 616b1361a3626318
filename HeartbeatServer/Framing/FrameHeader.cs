using System.Buffers.Binary;

namespace HeartbeatServer.Framing;

/// <summary>The header of a frame from a client (RFC 6455 section 5.2).</summary>
/// <param name="Fin">Whether this is the last frame of its message.</param>
/// <param name="Opcode">What the frame carries. It is never a reserved opcode.</param>
/// <param name="MaskKey">The four mask bytes in the order of the wire, read as a little-endian number.</param>
/// <param name="PayloadLength">The length of the payload in bytes: 0 to 2^63-1, and at most 125 for a control frame.</param>
/// <param name="Size">The length of the header itself in bytes: 6, 8 or 14.</param>
internal readonly record struct FrameHeader(bool Fin, Opcode Opcode, uint MaskKey, long PayloadLength, int Size)
{
    /// <summary>The longest payload of a control frame in bytes (section 5.5).</summary>
    public const int MaxControlPayload = 125;

    public bool IsControl => Opcode >= Opcode.Close;

    /// <summary>
    /// Reads the header at the start of <paramref name="source"/>. The call reports a broken rule as soon as the byte that breaks it has come,
    /// even if the header is still incomplete.
    /// </summary>
    /// <returns>False if more bytes are needed.</returns>
    /// <exception cref="WebSocketProtocolException">The header breaks a rule. The exception has the rule and the code 1002.</exception>
    public static bool TryRead(ReadOnlySpan<byte> source, out FrameHeader header)
    {
        header = default;
        if (source.IsEmpty)
            return false;

        byte first = source[0];
        bool fin = (first & 0x80) != 0;
        var opcode = (Opcode)(first & 0x0F);

        // 5.2: "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values."
        if ((first & 0x70) != 0)
            throw Broken("a reserved bit is set and no extension was negotiated", "5.2");
        // 5.2: "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket Connection_."
        if (opcode is (> Opcode.Binary and < Opcode.Close) or > Opcode.Pong)
            throw Broken($"reserved opcode 0x{(byte)opcode:X}", "5.2");
        // 5.5: "All control frames MUST have a payload length of 125 bytes or less and MUST NOT be fragmented."
        if (opcode >= Opcode.Close && !fin)
            throw Broken($"fragmented {opcode} frame", "5.5");

        if (source.Length < 2)
            return false;

        int shortLength = source[1] & 0x7F;
        if (opcode >= Opcode.Close && shortLength > MaxControlPayload)
            throw Broken($"{opcode} frame with a payload of more than {MaxControlPayload} bytes", "5.5");
        // 5.1: "The server MUST close the connection upon receiving a frame that is not masked."
        if ((source[1] & 0x80) == 0)
        {
            // When some proxies stop, they send a Close frame to both sides in the unmasked form for clients. The code of the frame tells this case.
            bool hasCode = opcode == Opcode.Close && shortLength >= sizeof(ushort);
            if (hasCode && source.Length < 2 + sizeof(ushort))
                return false;
            throw Broken(hasCode ? UnmaskedClose(BinaryPrimitives.ReadUInt16BigEndian(source[2..])) : "frame from a client is not masked", "5.1");
        }

        int lengthEnd = shortLength switch { 126 => 4, 127 => 10, _ => 2 };
        // 5.2: "the most significant bit MUST be 0".
        if (lengthEnd == 10 && source.Length > 2 && (source[2] & 0x80) != 0)
            throw Broken("most significant bit of a 64-bit length is set", "5.2");
        if (source.Length < lengthEnd)
            return false;

        ulong length = shortLength switch
        {
            126 => BinaryPrimitives.ReadUInt16BigEndian(source[2..]),
            127 => BinaryPrimitives.ReadUInt64BigEndian(source[2..]),
            _ => (ulong)shortLength,
        };
        // 5.2: "the minimal number of bytes MUST be used to encode the length".
        if ((shortLength == 126 && length < 126) || (shortLength == 127 && length <= ushort.MaxValue))
            throw Broken("length is not encoded in the fewest bytes", "5.2");

        int size = lengthEnd + sizeof(uint);
        if (source.Length < size)
            return false;

        header = new FrameHeader(fin, opcode, BinaryPrimitives.ReadUInt32LittleEndian(source[lengthEnd..]), (long)length, size);
        return true;
    }

    private static string UnmaskedClose(ushort code) => code == CloseCode.GoingAway
        ? $"unmasked Close {code}: a proxy that stops, not the client"
        : $"unmasked Close {code}: from a proxy that stops, or from a client that does not mask";

    private static WebSocketProtocolException Broken(string rule, string section) => new(CloseCode.ProtocolError, rule, section);
}
