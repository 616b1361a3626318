using System.Buffers.Binary;

namespace HeartbeatServer.Framing;

/// <summary>The side of a connection that has sent a frame. A client masks its frames, a server does not (RFC 6455 section 5.1).</summary>
internal enum Sender
{
    Client,
    Server,
}

/// <summary>The header of a frame (RFC 6455 section 5.2).</summary>
/// <param name="Fin">Whether this is the last frame of its message.</param>
/// <param name="Opcode">What the frame carries. It is never a reserved opcode.</param>
/// <param name="MaskKey">The four mask bytes in the order of the wire, read as a little-endian number; 0 in a frame from a server.</param>
/// <param name="PayloadLength">The length of the payload in bytes: 0 to 2^63-1, and at most 125 for a control frame.</param>
/// <param name="Size">The length of the header itself in bytes: 6, 8 or 14 from a client, and 2, 4 or 10 from a server.</param>
internal readonly record struct FrameHeader(bool Fin, Opcode Opcode, uint MaskKey, long PayloadLength, int Size)
{
    /// <summary>The longest payload of a control frame in bytes (section 5.5).</summary>
    public const int MaxControlPayload = 125;

    public bool IsControl => Opcode >= Opcode.Close;

    /// <summary>
    /// Reads the header at the start of <paramref name="source"/>. The call reports a broken rule as soon as the byte that breaks it has come,
    /// even if the header is still incomplete.
    /// </summary>
    /// <param name="source">The bytes of the header, and any that follow.</param>
    /// <param name="header">The header; <see langword="default"/> if it is incomplete.</param>
    /// <param name="sender">Who has sent the frame. This decides whether it must have a mask.</param>
    /// <param name="isDeflateAgreed">Whether the handshake has agreed to permessage-deflate, so that RSV1 has a meaning (RFC 7692 section 6).</param>
    /// <returns>False if more bytes are needed.</returns>
    /// <exception cref="WebSocketProtocolException">The header breaks a rule. The exception has the rule and the code 1002.</exception>
    public static bool TryRead(ReadOnlySpan<byte> source, out FrameHeader header, Sender sender = Sender.Client, bool isDeflateAgreed = false)
    {
        header = default;
        if (source.IsEmpty)
            return false;

        byte first = source[0];
        bool fin = (first & 0x80) != 0;
        var opcode = (Opcode)(first & 0x0F);

        // 5.2: "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values."
        if ((first & 0x70) != 0)
        {
            if (!isDeflateAgreed)
                throw Broken("a reserved bit is set and no extension was negotiated", "5.2");
            // RFC 7692 section 6: RSV1 marks a compressed message, on its first frame alone. RSV2 and RSV3 stay without a meaning.
            if ((first & 0x70) != 0x40 || opcode is not (Opcode.Text or Opcode.Binary))
                throw Broken("a reserved bit is set where permessage-deflate sets none", "5.2");
        }
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
        bool isMasked = (source[1] & 0x80) != 0;
        // 5.1: "A client MUST close a connection if it detects a masked frame."
        if (isMasked && sender == Sender.Server)
            throw Broken("frame from a server is masked", "5.1");
        // 5.1: "The server MUST close the connection upon receiving a frame that is not masked."
        if (!isMasked && sender == Sender.Client)
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

        int size = isMasked ? lengthEnd + sizeof(uint) : lengthEnd;
        if (source.Length < size)
            return false;

        uint maskKey = isMasked ? BinaryPrimitives.ReadUInt32LittleEndian(source[lengthEnd..]) : 0;
        header = new FrameHeader(fin, opcode, maskKey, (long)length, size);
        return true;
    }

    /// <summary>Checks that this data frame may come next, and that its message stays within the limit.</summary>
    /// <param name="isInside">Whether the frames before have begun a message and not ended it.</param>
    /// <param name="soFar">The sum of the payloads of that message in bytes, at most <paramref name="maxMessage"/>; 0 without such a message.</param>
    /// <param name="maxMessage">The longest message in bytes; <see cref="long.MaxValue"/> for no limit.</param>
    /// <exception cref="WebSocketProtocolException">The frame breaks a rule (code 1002), or the message is too long (code 1009).</exception>
    public void CheckOrder(bool isInside, long soFar, long maxMessage)
    {
        // 5.4: "The fragments of one message MUST NOT be interleaved between the fragments of another message."
        if (isInside && Opcode != Opcode.Continuation)
            throw Broken($"{Opcode} frame inside a fragmented message", "5.4");
        if (!isInside && Opcode == Opcode.Continuation)
            throw Broken("Continuation frame without a message to continue", "5.4");
        // 10.4: implementations should protect themselves with limits on the size of a frame and of a message.
        if (PayloadLength > maxMessage - soFar)
            throw new WebSocketProtocolException(CloseCode.MessageTooBig, $"message longer than {maxMessage} bytes", "10.4");
    }

    private static string UnmaskedClose(ushort code) => code == CloseCode.GoingAway
        ? $"unmasked Close {code}: a proxy that stops, not the client"
        : $"unmasked Close {code}: from a proxy that stops, or from a client that does not mask";

    private static WebSocketProtocolException Broken(string rule, string section) => new(CloseCode.ProtocolError, rule, section);
}
