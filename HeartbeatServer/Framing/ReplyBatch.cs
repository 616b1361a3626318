namespace HeartbeatServer.Framing;

/// <summary>
/// The replies to the frames of one receive, built in the receive buffer itself. So they leave in one write, and the payload of a single frame is not
/// copied. A server's frame has no mask and is four bytes shorter than the client's. So the replies never reach the bytes that are still to be read.
/// </summary>
internal struct ReplyBatch
{
    /// <summary>A bound of the replies in the receive buffer.</summary>
    public int Start { get; private set; }

    /// <inheritdoc cref="Start"/>
    public int End { get; private set; }

    public readonly bool IsEmpty => Start == End;

    /// <summary>Adds a reply with a payload that lies in the receive buffer, after all payloads that were added before.</summary>
    /// <param name="buffer">The receive buffer, the same one for the whole batch.</param>
    /// <param name="opcode">The opcode of the reply.</param>
    /// <param name="offset">The index of the payload. The client's header stands before it, and may be overwritten.</param>
    /// <param name="count">The length of the payload in bytes.</param>
    public void Add(byte[] buffer, Opcode opcode, int offset, int count)
    {
        int header = FrameWriter.HeaderSize(count);
        if (IsEmpty)
            Start = End = offset - header;
        else if (End + header != offset)
            buffer.AsSpan(offset, count).CopyTo(buffer.AsSpan(End + header));
        FrameWriter.WriteHeader(buffer.AsSpan(End), opcode, count);
        End += header + count;
    }

    public void Clear() => Start = End = 0;
}
