namespace HeartbeatServer.Protocol;

/// <summary>Which frame an <see cref="Outbox"/> lets leave.</summary>
internal enum Outgoing
{
    /// <summary>No frame: none is owed, or a write is in progress, or the Close frame has left.</summary>
    None,
    Ping,
    Close,
}

/// <summary>How the bytes of one write end.</summary>
internal enum Ending
{
    /// <summary>With a whole frame. Another one may follow.</summary>
    Frame,
    /// <summary>Inside a frame, whose rest the next write begins with.</summary>
    InsideFrame,
    /// <summary>With a Close frame. Nothing may follow.</summary>
    Close,
}

/// <summary>
/// Knows what leaves on one connection, frame by frame: what is owed, what is being written, and what may leave next. The outbox itself sends
/// nothing.
/// </summary>
/// <remarks>
/// <code>
///            TryBegin, Next                    Wait
///   idle ---------------------> writing ---------------> the client has to read: whoever looks does so at LookDue
///     ^                            |                           |
///     +---------- Written ---------+---------------------------+
/// </code>
/// There is one write at a time, and the rest of a frame leaves before another frame begins, so no frame begins inside another. A ping or a Close
/// frame that becomes due meanwhile is owed, and leaves when it may. The Close frame leaves first. After a Close frame nothing leaves (RFC 6455
/// section 5.5.1). The outbox is not safe for threads: the caller holds the connection's lock.
/// </remarks>
internal sealed class Outbox
{
    private bool _owesPing;

    /// <summary>Whether the bytes that left last, or are leaving, end inside a frame. Then no other frame may begin.</summary>
    private bool _isInsideFrame;

    /// <summary>Whether a write is in progress.</summary>
    public bool IsWriting { get; private set; }

    /// <summary>Whether the write in progress waits for the client to read.</summary>
    public bool IsWaiting { get; private set; }

    /// <summary>
    /// When to look whether the client takes the bytes that wait for it, in this process or in our kernel; <see cref="Heartbeat.Never"/> if none
    /// wait.
    /// </summary>
    public TimeSpan LookDue { get; private set; } = Heartbeat.Never;

    /// <summary>Whether nothing may leave any more. Then the Close frame has left or is leaving, or the connection is over.</summary>
    public bool IsClosed { get; private set; }

    /// <summary>The Close frame that is owed or has left; null if there is none.</summary>
    public byte[]? CloseFrame { get; private set; }

    /// <summary>Whether a ping or the Close frame is due and has not left.</summary>
    public bool Owes => _owesPing || (CloseFrame is not null && !IsClosed);

    /// <summary>How many bytes were given to the socket.</summary>
    public long BytesOut { get; private set; }

    /// <summary>Begins to write data frames.</summary>
    /// <param name="bytes">The length of all frames together in bytes, including their headers.</param>
    /// <param name="ending">How the bytes end.</param>
    /// <returns>False if the frames have to wait for the write in progress, or may not leave any more (<see cref="IsClosed"/>).</returns>
    public bool TryBegin(int bytes, Ending ending = Ending.Frame)
    {
        if (IsWriting || IsClosed)
            return false;
        (IsWriting, IsClosed, _isInsideFrame) = (true, ending == Ending.Close, ending == Ending.InsideFrame);
        BytesOut += bytes;
        return true;
    }

    /// <summary>Notes that a ping is due. If a ping is owed already, the two become one.</summary>
    public void OwePing() => _owesPing = true;

    /// <summary>Notes that the Close frame is due. Only the first Close frame counts.</summary>
    public void OweClose(byte[] frame) => CloseFrame ??= frame;

    /// <summary>Whether a ping is owed, and would leave now.</summary>
    public bool CanPing => _owesPing && CloseFrame is null && !IsWriting && !IsClosed && !_isInsideFrame;

    /// <summary>Forgets the ping that is owed.</summary>
    public void DropPing() => _owesPing = false;

    /// <summary>Takes the owed frame that may leave now. From here on this frame is being written.</summary>
    /// <param name="pingSize">The length of a ping on the wire in bytes.</param>
    public Outgoing Next(int pingSize)
    {
        if (IsWriting || IsClosed || _isInsideFrame)
            return Outgoing.None;
        if (CloseFrame is not null)
        {
            (IsWriting, IsClosed) = (true, true);
            BytesOut += CloseFrame.Length;
            return Outgoing.Close;
        }
        if (!_owesPing)
            return Outgoing.None;
        (IsWriting, _owesPing) = (true, false);
        BytesOut += pingSize;
        return Outgoing.Ping;
    }

    /// <summary>Notes that the write in progress waits for the client.</summary>
    /// <param name="look">When to look whether the client takes anything.</param>
    public void Wait(TimeSpan look) => (IsWaiting, LookDue) = (true, look < LookDue ? look : LookDue);

    /// <summary>Sets when to look again whether the client takes the bytes that wait for it.</summary>
    /// <param name="look">The time of the look; <see cref="Heartbeat.Never"/> if no bytes wait any more.</param>
    public void LookAt(TimeSpan look) => LookDue = look;

    /// <summary>Notes that the write in progress is done.</summary>
    /// <remarks>A look that is due stays: our kernel may still have bytes for the client.</remarks>
    public void Written() => (IsWriting, IsWaiting) = (false, false);

    /// <summary>Notes that nothing may leave any more, because a write has failed or the connection is over.</summary>
    public void Stop() => (IsWriting, IsWaiting, IsClosed, LookDue) = (false, false, true, Heartbeat.Never);
}
