namespace HeartbeatServer.Framing;

/// <summary>
/// Replies to the frames of one receive, built in the buffer that they were received in, so that they leave in one write and the
/// payload of a single frame is not copied. A server's frame is four bytes shorter than the client's (it has no mask), so the
/// replies never catch up with the bytes that are still to be read.
/// </summary>
internal struct ReplyBatch
{
    /// <summary>Where the replies lie in the receive buffer.</summary>
    public int Start { get; private set; }

    /// <inheritdoc cref="Start"/>
    public int End { get; private set; }

    public readonly bool IsEmpty => Start == End;

    /// <summary>Adds a frame whose payload is at <paramref name="offset"/>, behind everything that was added before.</summary>
    /// <param name="buffer">The receive buffer; the same for the whole batch.</param>
    /// <param name="opcode">Of the reply.</param>
    /// <param name="offset">Of the payload, which a client's header stands before.</param>
    /// <param name="count">Of the payload, in bytes.</param>
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
