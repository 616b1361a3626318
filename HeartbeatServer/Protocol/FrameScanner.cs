using HeartbeatServer.Framing;

namespace HeartbeatServer.Protocol;

/// <summary>
/// Follows the frames of one direction without taking them apart: it reads the headers, and says how far the bytes may be passed on as they are. The
/// bytes may come in pieces of any length. The memory is the same for frames of any length.
/// </summary>
/// <remarks>
/// A header or a control frame that is not whole stays unread in the caller's buffer: at most <see cref="MaxUnread"/> bytes. The payload of data frames is
/// passed on as it comes, and text is not checked. After a Close frame there is nothing to scan: the sender may send nothing more.
/// </remarks>
/// <param name="sender">Who sends the frames. This decides whether they must have a mask.</param>
/// <param name="isDeflateAgreed">Whether the handshake has agreed to permessage-deflate, so that RSV1 has a meaning.</param>
/// <param name="maxMessage">The longest message in bytes, as on the wire; <see cref="long.MaxValue"/> for no limit.</param>
internal struct FrameScanner(Sender sender, bool isDeflateAgreed, long maxMessage)
{
    /// <summary>How many bytes may stay unread: one less than the longest control frame of a client.</summary>
    public const int MaxUnread = MessageReader.MaxUnread;

    // The data frame whose payload passes.
    private bool _isInFrame;
    private bool _isFinal;

    // The message whose frames have begun and not ended.
    private bool _isInMessage;
    private long _messageLength;

    /// <summary>How many bytes of payload the frame in progress still lacks; 0 between frames.</summary>
    public long FrameRemaining { get; private set; }

    /// <summary>Whether the bytes that were passed on end with a whole frame, so that another frame may follow them.</summary>
    public readonly bool IsBetweenFrames => !_isInFrame;

    /// <summary>How many data messages have passed to their end.</summary>
    public long Messages { get; private set; }

    /// <summary>Reads up to the end of the next control frame, or as far as the bytes may be passed on.</summary>
    /// <param name="bytes">The received bytes. Those that an earlier call left unread stand at <paramref name="position"/> again.</param>
    /// <param name="position">
    /// The index of the first unread byte. The call moves it. The bytes before it may be passed on, but for a control frame that the caller drops. If the
    /// call throws, the index is that of the frame that breaks the rule.
    /// </param>
    /// <param name="control">The control frame that ends at <paramref name="position"/>, if there is one.</param>
    /// <param name="boundary">
    /// The last index up to <paramref name="position"/> at which another frame may be put in, also between the fragments of a message; -1 if there is none.
    /// </param>
    /// <returns>Whether there is a control frame. If not, more bytes are needed.</returns>
    /// <exception cref="WebSocketProtocolException">
    /// The sender broke a rule. The exception has the rule and the code 1002, 1007 or 1009. The scanner cannot be used after it.
    /// </exception>
    public bool TryRead(ReadOnlySpan<byte> bytes, ref int position, out ControlFrame control, out int boundary)
    {
        control = default;
        boundary = -1;
        while (true)
        {
            if (_isInFrame && !EndFrame(bytes.Length, ref position))
                return false;
            boundary = position;

            if (!FrameHeader.TryRead(bytes[position..], out FrameHeader header, sender, isDeflateAgreed))
                return false;
            if (header.IsControl)
            {
                var frame = new ControlFrame(header, position);
                if (bytes.Length < frame.End)
                    return false;
                if (header.Opcode == Opcode.Close)
                    CheckClose(frame, bytes);
                control = frame;
                position = boundary = frame.End;
                return true;
            }

            header.CheckOrder(_isInMessage, _messageLength, maxMessage);
            _isInMessage = !header.Fin;
            _messageLength = header.Fin ? 0 : _messageLength + header.PayloadLength;
            (_isInFrame, _isFinal, FrameRemaining) = (true, header.Fin, header.PayloadLength);
            position += header.Size;
        }
    }

    /// <summary>Moves past the payload of the frame in progress.</summary>
    /// <returns>Whether the frame has ended.</returns>
    private bool EndFrame(int end, ref int position)
    {
        int count = (int)Math.Min(FrameRemaining, end - position);
        position += count;
        FrameRemaining -= count;
        if (FrameRemaining > 0)
            return false;
        _isInFrame = false;
        if (_isFinal)
            Messages++;
        return true;
    }

    private static void CheckClose(in ControlFrame close, ReadOnlySpan<byte> bytes) =>
        CloseBody.Check(close.Payload(bytes, stackalloc byte[FrameHeader.MaxControlPayload]));
}

/// <summary>A whole control frame among received bytes.</summary>
/// <param name="Header">Its header.</param>
/// <param name="Start">The index of its first byte.</param>
internal readonly record struct ControlFrame(FrameHeader Header, int Start)
{
    /// <summary>Close, Ping or Pong.</summary>
    public Opcode Opcode => Header.Opcode;

    /// <summary>The index after its last byte.</summary>
    public int End => Start + Header.Size + (int)Header.PayloadLength;

    /// <summary>Copies the payload and removes its mask.</summary>
    /// <param name="bytes">The bytes that were scanned. They stay as they are.</param>
    /// <param name="room">Gets the payload: <see cref="FrameHeader.MaxControlPayload"/> bytes are enough.</param>
    /// <returns>The part of <paramref name="room"/> that has the payload.</returns>
    public ReadOnlySpan<byte> Payload(ReadOnlySpan<byte> bytes, Span<byte> room)
    {
        Masking.Unmask(bytes[(Start + Header.Size)..End], room, Header.MaskKey, 0);
        return room[..(int)Header.PayloadLength];
    }
}
