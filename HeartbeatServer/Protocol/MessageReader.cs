using System.Buffers;
using HeartbeatServer.Framing;

namespace HeartbeatServer.Protocol;

/// <summary>
/// Makes messages and control frames of the client's bytes (RFC 6455 sections 5.4 to 5.6 and 8.1). The bytes may come in pieces of any length.
/// </summary>
/// <remarks>
/// A message that lies in the caller's buffer as one whole frame stays where it is. Any other message is assembled in a pooled array, which grows
/// with the bytes that have come, and not with the length that a header announces. The reader leaves only the start of a header or of a control
/// frame in the caller's buffer: at most <see cref="MaxUnread"/> bytes.
/// </remarks>
/// <param name="maxMessage">The longest message in bytes. A longer one breaks the limit, with close code 1009.</param>
/// <param name="pool">Lends the arrays; the shared pool by default.</param>
internal sealed class MessageReader(int maxMessage, ArrayPool<byte>? pool = null) : IDisposable
{
    /// <summary>How many bytes <see cref="TryRead"/> may leave unread: one less than the longest control frame of a client.</summary>
    public const int MaxUnread = 6 + FrameHeader.MaxControlPayload - 1;

    /// <summary>The smallest room in bytes for a receive, and the first size of the array for a message.</summary>
    private const int LeastRoom = 4 * 1024;

    /// <summary>
    /// How many times larger than the bytes that have come the array may be. So a client that sends slowly cannot hold more memory than that.
    /// </summary>
    private const int Growth = 4;

    private readonly ArrayPool<byte> _pool = pool ?? ArrayPool<byte>.Shared;

    // The data frame whose payload is incomplete. Its Size is 0 between frames.
    private FrameHeader _frame;
    private long _frameRead;

    // The opcode of the message in progress. It is Continuation between messages.
    private Opcode _message;
    private Utf8Validator _utf8;
    private byte[]? _assembly;
    private int _assembled;
    private bool _delivered;

    /// <summary>How many bytes of payload the frame in progress still lacks; 0 between frames.</summary>
    public long FrameRemaining => _frame.Size == 0 ? 0 : _frame.PayloadLength - _frameRead;

    /// <summary>Bytes of the array in which a message is assembled, or was; 0 if there is none. To another thread the answer may be a moment old.</summary>
    public int HeldBytes => _assembly?.Length ?? 0;

    /// <summary>Reads the next message or control frame from the bytes at <paramref name="start"/>.</summary>
    /// <param name="buffer">The received bytes, still masked. The reader unmasks them in place.</param>
    /// <param name="start">The index of the first unread byte. The call moves it past the bytes that it has read.</param>
    /// <param name="end">The index after the last byte received.</param>
    /// <param name="inbound">The message or control frame. It is valid until the next call.</param>
    /// <returns>False if more bytes are needed.</returns>
    /// <exception cref="WebSocketProtocolException">
    /// The client broke a rule. The exception has the rule and the code 1002, 1007 or 1009. The reader cannot be used after it.
    /// </exception>
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
                        CloseBody.Check(inbound.Payload);
                    return true;
                }

                header.CheckOrder(_message != Opcode.Continuation, _assembled, maxMessage);
                if (_message == Opcode.Continuation)
                    _message = header.Opcode;
                // A text or binary frame with FIN is a whole message.
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

    /// <summary>Gives the memory into which the next payload bytes of a long frame may be received without a copy.</summary>
    /// <param name="waiting">How many bytes are already known to wait. The memory has room for them.</param>
    /// <returns>The memory, never longer than <see cref="FrameRemaining"/>, so that it receives only payload.</returns>
    public Memory<byte> PayloadTarget(int waiting = 0)
    {
        Reserve((int)Math.Min(FrameRemaining, Math.Max(waiting, LeastRoom)));
        int offset = FrameWriter.MaxHeaderSize + _assembled;
        return _assembly.AsMemory(offset, (int)Math.Min(FrameRemaining, _assembly!.Length - offset));
    }

    /// <summary>Takes bytes that were received into <see cref="PayloadTarget"/>.</summary>
    /// <inheritdoc cref="TryRead" path="/param|/returns|/exception"/>
    /// <param name="count">How many bytes were received.</param>
    /// <param name="inbound">The message, if these bytes complete it. It is valid until the next call.</param>
    public bool TryAccept(int count, out Inbound inbound)
    {
        Span<byte> payload = _assembly.AsSpan(FrameWriter.MaxHeaderSize + _assembled, count);
        Masking.Unmask(payload, payload, _frame.MaskKey, _frameRead);
        return Assembled(count, out inbound);
    }

    /// <summary>Gives the pooled array back. A message that is not finished is lost, and the reader is of no use after that.</summary>
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

    /// <summary>Adds payload bytes to the message. They already stand, unmasked, after the assembled ones.</summary>
    /// <returns>Whether the message is complete.</returns>
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

    private void CheckText(Opcode message, ReadOnlySpan<byte> bytes, bool last)
    {
        // 8.1: "When an endpoint is to interpret a byte stream as UTF-8 but finds that the byte stream is not, in fact, a valid UTF-8
        // stream, that endpoint MUST _Fail the WebSocket Connection_."
        if (message == Opcode.Text && (!_utf8.Append(bytes) || (last && !_utf8.IsComplete)))
            throw new WebSocketProtocolException(CloseCode.InvalidPayload, "text is not valid UTF-8", "8.1");
    }

    /// <summary>Makes room for this many more bytes of payload. Before the payload there is room for a server's header.</summary>
    private void Reserve(int count)
    {
        int needed = FrameWriter.MaxHeaderSize + _assembled + count;
        if (_assembly is not null && needed <= _assembly.Length)
            return;

        long longest = FrameWriter.MaxHeaderSize + _assembled + FrameRemaining;
        long wanted = Math.Max(needed, Math.Min(longest, Math.Max(LeastRoom, Growth * (long)_assembled)));
        byte[] larger = _pool.Rent((int)Math.Min(wanted, Array.MaxLength));
        byte[]? smaller = _assembly;
        smaller?.AsSpan(0, FrameWriter.MaxHeaderSize + _assembled).CopyTo(larger);
        _assembly = larger;
        if (smaller is not null)
            _pool.Return(smaller);
    }

    private void ReleaseDelivered()
    {
        if (!_delivered)
            return;
        byte[]? assembly = _assembly;
        _assembly = null;
        if (assembly is not null)
            _pool.Return(assembly);
        _assembled = 0;
        _delivered = false;
    }
}
