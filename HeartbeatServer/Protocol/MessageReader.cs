using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using HeartbeatServer.Framing;

namespace HeartbeatServer.Protocol;

/// <summary>
/// Frames in, messages and control frames out (RFC 6455 sections 5.4 to 5.6 and 8.1). Bytes may come in any pieces.
/// </summary>
/// <remarks>
/// A message that lies whole and in one frame in the caller's buffer is handed on where it is. Any other is assembled in a pooled
/// array, which grows as the bytes come, not as a header promises them. Only the start of a header or of a control frame is ever left in
/// the caller's buffer: at most <see cref="MaxUnread"/> bytes.
/// </remarks>
/// <param name="maxMessage">Longest message, in bytes, before 1009.</param>
internal sealed class MessageReader(int maxMessage) : IDisposable
{
    /// <summary>Bytes that <see cref="TryRead"/> may leave unread: one short of the largest control frame of a client.</summary>
    public const int MaxUnread = 6 + FrameHeader.MaxControlPayload - 1;

    /// <summary>The least room that a receive is worth, and what a message begins with.</summary>
    private const int LeastRoom = 4 * 1024;

    /// <summary>Room for so many times the bytes that have come: a client that trickles cannot pin more memory than that.</summary>
    private const int Growth = 4;

    // The data frame whose payload is coming in; Size 0 between frames.
    private FrameHeader _frame;
    private long _frameRead;

    // The message in progress; Continuation between messages.
    private Opcode _message;
    private Utf8Validator _utf8;
    private byte[]? _assembly;
    private int _assembled;
    private bool _delivered;

    /// <summary>Payload bytes that the frame in progress still lacks; 0 between frames.</summary>
    public long FrameRemaining => _frame.Size == 0 ? 0 : _frame.PayloadLength - _frameRead;

    /// <summary>Reads the next message or control frame from the bytes at <paramref name="start"/>.</summary>
    /// <param name="buffer">Masked bytes as received; unmasked in place.</param>
    /// <param name="start">Moved past the bytes that were read.</param>
    /// <param name="end">Behind the last byte received.</param>
    /// <param name="inbound">Good until the next call.</param>
    /// <returns>False if more bytes are needed.</returns>
    /// <exception cref="WebSocketProtocolException">1002, 1007 or 1009, with the rule; the reader is of no use after that.</exception>
    public bool TryRead(byte[] buffer, ref int start, int end, out Inbound inbound)
    {
        ReleaseDelivered();
        inbound = default;
        while (true)
        {
            if (_frame.Size == 0)
            {
                if (!FrameHeader.TryRead(buffer.AsSpan(start, end - start), out FrameHeader header))
                    return false;

                int payload = start + header.Size;
                bool whole = end - payload >= header.PayloadLength;
                if (header.IsControl)
                {
                    if (!whole)
                        return false;
                    inbound = Take(buffer, header, payload, header.Opcode, ref start);
                    if (header.Opcode == Opcode.Close)
                        CheckClose(inbound.Payload);
                    return true;
                }

                CheckOrder(header);
                // A text or binary frame with FIN is a message of its own.
                if (whole && header.Fin && header.Opcode != Opcode.Continuation)
                {
                    inbound = Take(buffer, header, payload, header.Opcode, ref start);
                    CheckText(header.Opcode, inbound.Payload, last: true);
                    _message = Opcode.Continuation;
                    return true;
                }

                start = payload;
                _frame = header;
                _frameRead = 0;
            }

            int count = (int)Math.Min(end - start, FrameRemaining);
            if (count == 0 && FrameRemaining > 0)
                return false;
            Reserve(count);
            Span<byte> destination = _assembly.AsSpan(FrameWriter.MaxHeaderSize + _assembled, count);
            Masking.Unmask(buffer.AsSpan(start, count), destination, _frame.MaskKey, _frameRead);
            start += count;
            if (Assembled(count, out inbound))
                return true;
            if (_frame.Size != 0)
                return false;
        }
    }

    /// <summary>Where the next payload bytes of a long frame may be received without a copy.</summary>
    /// <param name="waiting">Bytes that are known to be there already: so many have room.</param>
    /// <returns>Never longer than <see cref="FrameRemaining"/>, so that nothing but payload lands there.</returns>
    public Memory<byte> PayloadTarget(int waiting = 0)
    {
        Reserve((int)Math.Min(FrameRemaining, Math.Max(waiting, LeastRoom)));
        int offset = FrameWriter.MaxHeaderSize + _assembled;
        return _assembly.AsMemory(offset, (int)Math.Min(FrameRemaining, _assembly!.Length - offset));
    }

    /// <summary>Takes bytes that were received into <see cref="PayloadTarget"/>.</summary>
    /// <inheritdoc cref="TryRead" path="/param|/returns|/exception"/>
    /// <param name="count">Bytes received.</param>
    /// <param name="inbound">The message, if they complete it.</param>
    public bool TryAccept(int count, out Inbound inbound)
    {
        Span<byte> payload = _assembly.AsSpan(FrameWriter.MaxHeaderSize + _assembled, count);
        Masking.Unmask(payload, payload, _frame.MaskKey, _frameRead);
        return Assembled(count, out inbound);
    }

    /// <summary>Gives pooled memory back.</summary>
    public void Dispose()
    {
        _delivered = true;
        ReleaseDelivered();
    }

    private static Inbound Take(byte[] buffer, in FrameHeader header, int payload, Opcode opcode, ref int start)
    {
        int count = (int)header.PayloadLength;
        Span<byte> bytes = buffer.AsSpan(payload, count);
        Masking.Unmask(bytes, bytes, header.MaskKey, 0);
        start = payload + count;
        return new Inbound(opcode, buffer, payload, count);
    }

    /// <summary>Counts payload bytes that now stand, unmasked, behind the assembled ones.</summary>
    private bool Assembled(int count, out Inbound inbound)
    {
        inbound = default;
        bool frameEnds = FrameRemaining == count;
        bool messageEnds = frameEnds && _frame.Fin;
        CheckText(_message, _assembly.AsSpan(FrameWriter.MaxHeaderSize + _assembled, count), messageEnds);
        _frameRead += count;
        _assembled += count;
        if (frameEnds)
            _frame = default;
        if (!messageEnds)
            return false;

        inbound = new Inbound(_message, _assembly!, FrameWriter.MaxHeaderSize, _assembled);
        _delivered = true;
        _message = Opcode.Continuation;
        return true;
    }

    private void CheckOrder(in FrameHeader header)
    {
        // 5.4: "The fragments of one message MUST NOT be interleaved between the fragments of another message."
        if (_message != Opcode.Continuation && header.Opcode != Opcode.Continuation)
            throw new WebSocketProtocolException(CloseCode.ProtocolError, $"{header.Opcode} frame inside a fragmented message", "5.4");
        if (_message == Opcode.Continuation && header.Opcode == Opcode.Continuation)
            throw new WebSocketProtocolException(CloseCode.ProtocolError, "Continuation frame without a message to continue", "5.4");
        // 10.4: implementations should protect themselves with limits on the size of a frame and of a message.
        if (header.PayloadLength > maxMessage - _assembled)
            throw new WebSocketProtocolException(CloseCode.MessageTooBig, $"message longer than {maxMessage} bytes", "10.4");
        if (_message == Opcode.Continuation)
            _message = header.Opcode;
    }

    private void CheckText(Opcode message, ReadOnlySpan<byte> bytes, bool last)
    {
        // 8.1: "When an endpoint is to interpret a byte stream as UTF-8 but finds that the byte stream is not, in fact, a valid UTF-8
        // stream, that endpoint MUST _Fail the WebSocket Connection_."
        if (message == Opcode.Text && (!_utf8.Append(bytes) || (last && !_utf8.IsComplete)))
            throw new WebSocketProtocolException(CloseCode.InvalidPayload, "text is not valid UTF-8", "8.1");
    }

    private static void CheckClose(ReadOnlySpan<byte> payload)
    {
        // 5.5.1: "If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer".
        if (payload.Length == 1)
            throw new WebSocketProtocolException(CloseCode.ProtocolError, "Close frame with half a code", "5.5.1");
        if (payload.Length < sizeof(ushort))
            return;
        ushort code = BinaryPrimitives.ReadUInt16BigEndian(payload);
        if (!CloseCode.MayBeSent(code))
        {
            string reason = Encoding.UTF8.GetString(payload[sizeof(ushort)..]);
            throw new WebSocketProtocolException(
                CloseCode.ProtocolError, $"Close code {code} must not be sent", "7.4", reason.Length == 0 ? "" : $", its reason is {Disconnect.Quoted(reason)}");
        }
        if (!System.Text.Unicode.Utf8.IsValid(payload[sizeof(ushort)..]))
            throw new WebSocketProtocolException(CloseCode.InvalidPayload, "reason of a Close frame is not valid UTF-8", "5.5.1");
    }

    /// <summary>Makes room for so many more bytes of payload, with a server's header before them.</summary>
    private void Reserve(int count)
    {
        int needed = FrameWriter.MaxHeaderSize + _assembled + count;
        if (_assembly is not null && needed <= _assembly.Length)
            return;

        long longest = FrameWriter.MaxHeaderSize + _assembled + FrameRemaining;
        long wanted = Math.Max(needed, Math.Min(longest, Math.Max(LeastRoom, Growth * (long)_assembled)));
        byte[] larger = ArrayPool<byte>.Shared.Rent((int)Math.Min(wanted, Array.MaxLength));
        if (_assembly is not null)
        {
            _assembly.AsSpan(0, FrameWriter.MaxHeaderSize + _assembled).CopyTo(larger);
            ArrayPool<byte>.Shared.Return(_assembly);
        }
        _assembly = larger;
    }

    private void ReleaseDelivered()
    {
        if (!_delivered)
            return;
        if (_assembly is not null)
            ArrayPool<byte>.Shared.Return(_assembly);
        _assembly = null;
        _assembled = 0;
        _delivered = false;
    }
}
