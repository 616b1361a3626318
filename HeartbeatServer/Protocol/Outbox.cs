namespace HeartbeatServer.Protocol;

/// <summary>What an <see cref="Outbox"/> lets leave.</summary>
internal enum Outgoing
{
    /// <summary>Nothing: nothing is owed, or a write is in progress, or the Close frame was the last.</summary>
    None,
    Ping,
    Close,
}

/// <summary>
/// What leaves on one connection, frame by frame: what is owed, what is being written, and what may leave next. It sends nothing itself.
/// </summary>
/// <remarks>
/// <code>
///            TryBegin, Next                    Wait
///   idle ---------------------> writing ---------------> the client has to read: whoever looks does so at LookDue
///     ^                            |                           |
///     +---------- Written ---------+---------------------------+
/// </code>
/// One write at a time, so no frame begins inside another. A ping or a Close frame that comes meanwhile is owed, and leaves when the write is done:
/// the Close frame first. After the Close frame nothing leaves (RFC 6455 section 5.5.1). Not safe for threads: the connection has a lock.
/// </remarks>
internal sealed class Outbox
{
    private bool _owesPing;

    /// <summary>Whether a write is in progress.</summary>
    public bool IsWriting { get; private set; }

    /// <summary>Whether the write in progress waits for the client to read.</summary>
    public bool IsWaiting { get; private set; }

    /// <summary>When to look whether the client takes what waits for it, here or in our kernel; <see cref="Heartbeat.Never"/> if nothing does.</summary>
    public TimeSpan LookDue { get; private set; } = Heartbeat.Never;

    /// <summary>Whether nothing may leave any more: the Close frame has left, or is leaving, or the connection is over.</summary>
    public bool IsClosed { get; private set; }

    /// <summary>The Close frame that is owed, or has left; null if there is none.</summary>
    public byte[]? CloseFrame { get; private set; }

    /// <summary>Bytes that were given to the socket.</summary>
    public long BytesOut { get; private set; }

    /// <summary>Begins to write data frames.</summary>
    /// <param name="bytes">Of all of them, headers included.</param>
    /// <returns>False if they have to wait for the write in progress, or may not leave at all: see <see cref="IsClosed"/>.</returns>
    public bool TryBegin(int bytes)
    {
        if (IsWriting || IsClosed)
            return false;
        IsWriting = true;
        BytesOut += bytes;
        return true;
    }

    /// <summary>A ping is due. Two that could not leave are one.</summary>
    public void OwePing() => _owesPing = true;

    /// <summary>The Close frame is due. Only the first counts.</summary>
    public void OweClose(byte[] frame) => CloseFrame ??= frame;

    /// <summary>What is owed and may leave now: from here on it is being written.</summary>
    /// <param name="pingSize">Bytes of a ping on the wire.</param>
    public Outgoing Next(int pingSize)
    {
        if (IsWriting || IsClosed)
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

    /// <summary>The write in progress waits for the client.</summary>
    /// <param name="look">When to look whether it takes anything.</param>
    public void Wait(TimeSpan look) => (IsWaiting, LookDue) = (true, look);

    /// <summary>Bytes wait for the client, and somebody looks again then.</summary>
    /// <param name="look"><see cref="Heartbeat.Never"/> if nothing waits any more.</param>
    public void LookAt(TimeSpan look) => LookDue = look;

    /// <summary>The write in progress is done.</summary>
    public void Written() => (IsWriting, IsWaiting, LookDue) = (false, false, Heartbeat.Never);

    /// <summary>Nothing may leave any more: a write failed, or the connection is over.</summary>
    public void Stop() => (IsWriting, IsWaiting, IsClosed, LookDue) = (false, false, true, Heartbeat.Never);
}
