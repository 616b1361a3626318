using HeartbeatServer.Engine;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Connections;

/// <summary>Writes what the <see cref="Outbox"/> of a connection lets leave.</summary>
/// <remarks>
/// The read loop writes replies and waits for them. The timing wheel and the drain write pings and the Close frame, and never wait: a frame that
/// cannot leave now is owed, and leaves when the write in progress is done. The outbox is the lock. Nobody holds it during a send. On one core
/// the answer to a ping can arrive before the sending call has returned, and the reader of that answer would have to wait for the lock.
/// </remarks>
/// <param name="connection">The connection that the wheel calls when a deadline that begins here is over.</param>
/// <param name="transport">Takes the bytes.</param>
/// <param name="outbox">Knows what is owed. It is also the lock.</param>
/// <param name="heartbeat">Learns when a ping leaves. The lock guards it.</param>
/// <param name="wheel">Gives the time, and watches the deadlines that begin here.</param>
/// <param name="context">What all connections of the server share.</param>
internal sealed class ConnectionWriter(
    Connection connection, Transport transport, Outbox outbox, Heartbeat heartbeat, TimingWheel wheel, ConnectionContext context)
{
    /// <summary>The most bytes that one write gives to the transport.</summary>
    public const int OutputLimit = 128 * 1024;

    /// <summary>The array in which this thread builds its next ping. As a rule the ping leaves at once, and the array is free again.</summary>
    [ThreadStatic]
    private static byte[]? _pingFrame;

    /// <summary>The pings of somebody else that pass to the client; null as long as there was none. The lock guards it.</summary>
    private ForeignPings? _foreignPings;

    /// <summary>Whoever has data frames waits on this until nothing is being written. The lock guards it.</summary>
    private TaskCompletionSource? _turn;

    /// <summary>Whether FIN follows the Close frame. The lock guards it.</summary>
    private bool _endsWithFin;

    /// <summary>Whether the write that waited for the client is over because nothing leaves any more. The lock guards it.</summary>
    private bool _wasBlocked;

    /// <summary>
    /// Why a write failed; null if none did. After a failure nothing leaves any more, but reading goes on: the bytes that the client sent before
    /// may explain the end.
    /// </summary>
    public Exception? Failure { get; private set; }

    /// <summary>Whether nothing may leave any more.</summary>
    public bool IsClosed => outbox.IsClosed;

    /// <summary>Whether bytes wait for the client, or did so when the last write failed. The lock guards it.</summary>
    public bool IsBlocked => outbox.IsWaiting || _wasBlocked;

    /// <summary>Whether the Close frame of this server has left, or is leaving.</summary>
    public bool HasSentClose { get; private set; }

    /// <summary>Is added to the number of each ping, and so marks the pings as those of this server where others send pings, too.</summary>
    public ulong PingMark { get; set; }

    /// <summary>Whether the client takes what waits for it; null as long as nobody had to ask. The lock guards it.</summary>
    public SendProgress? Progress { get; set; }

    /// <summary>
    /// When bytes were last given to the socket: at the start of a write, and at the end of one that had to wait. It is the time of the upgrade if
    /// there was no write. The lock guards it.
    /// </summary>
    public TimeSpan LastSent { get; private set; } = wheel.Now;

    /// <summary>Writes frames, and waits until the transport has taken them all. One caller at a time writes: the read loop, as a rule.</summary>
    public async ValueTask WriteAsync(ReadOnlyMemory<byte> frames, Ending ending = Ending.Frame)
    {
        while (!TryBegin(frames.Length, ending))
        {
            if (outbox.IsClosed)
                return;
            await UntilIdleAsync();
        }
        try
        {
            while (!frames.IsEmpty)
            {
                ReadOnlyMemory<byte> part = frames[..Math.Min(frames.Length, OutputLimit)];
                frames = frames[part.Length..];
                ValueTask write = transport.WriteAsync(part);
                if (!write.IsCompleted)
                    WaitForClient();
                await write;
            }
        }
#pragma warning disable CA1031 // The connection turns every failure into the cause of its end.
        catch (Exception e)
#pragma warning restore CA1031
        {
            Fail(e);
            return;
        }
        _ = SendOwedAsync(Written());
    }

    /// <summary>Writes a Close frame now, or as soon as the write in progress is done. Only the first Close frame counts.</summary>
    /// <param name="code">The close code of RFC 6455 section 7.4.</param>
    /// <param name="reason">The reason for the client; may be empty.</param>
    /// <param name="endsWithFin">
    /// Whether FIN follows. FIN tells the client that nothing more comes, and lets it go on sending. If the server closed the socket instead, the
    /// kernel would answer the client's next bytes with RST, and RST may destroy the Close frame on the client's side.
    /// </param>
    public void SendClose(ushort code, string reason, bool endsWithFin = false)
    {
        Outgoing next;
        bool hasLeft;
        lock (outbox)
        {
            hasLeft = outbox.IsClosed && !outbox.IsWriting && Failure is null;
            _endsWithFin |= endsWithFin;
            outbox.OweClose(FrameWriter.Close(code, reason));
            next = TakeOwed();
        }
        // An earlier Close frame has left already, without FIN.
        if (hasLeft && endsWithFin)
            transport.ShutdownSend();
        _ = SendOwedAsync(next);
    }

    /// <summary>
    /// Takes the owed frame that may leave now, for <see cref="SendOwedAsync"/>. The caller holds the lock. The time of a ping runs from this call.
    /// </summary>
    public Outgoing TakeOwed()
    {
        if (_foreignPings is not null && outbox.CanPing && _foreignPings.TryHold())
        {
            outbox.DropPing();
            heartbeat.PingHeld(wheel.Now);
            wheel.Schedule(connection, heartbeat.NextDue);
        }
        Outgoing next = outbox.Next(FrameWriter.PingSize);
        if (next == Outgoing.Ping)
            heartbeat.PingWritten(wheel.Now);
        HasSentClose |= next == Outgoing.Close;
        if (next != Outgoing.None)
            LastSent = wheel.Now;
        return next;
    }

    /// <summary>
    /// Sends the frame that was taken, and then the frames that are owed by that time. Every ping and the Close frame leave here. The caller need
    /// not wait: <see cref="Failure"/> keeps what goes wrong.
    /// </summary>
    public async Task SendOwedAsync(Outgoing next)
    {
        try
        {
            while (next != Outgoing.None)
            {
                byte[] frame = next == Outgoing.Close ? outbox.CloseFrame! : PingFrame();
                ValueTask write = transport.WriteAsync(frame);
                if (!write.IsCompleted)
                {
                    if (frame == _pingFrame)
                        _pingFrame = null; // the write in progress still needs the array
                    WaitForClient();
                }
                await write;
                if (next == Outgoing.Ping && context.Log.IsDebug)
                    context.Log.PingSent(connection.Id, heartbeat.Pings);
                if (next == Outgoing.Close && _endsWithFin)
                    transport.ShutdownSend();
                next = Written();
            }
        }
#pragma warning disable CA1031 // The connection turns every failure into the cause of its end.
        catch (Exception e)
#pragma warning restore CA1031
        {
            Fail(e);
        }
    }

    /// <summary>Notes that a ping of somebody else passes to the client. No ping leaves before it is answered.</summary>
    public void ForeignPingPasses(ReadOnlySpan<byte> payload)
    {
        lock (outbox)
            (_foreignPings ??= new ForeignPings(context.Timings.MaxMissed)).PingPassed(payload);
    }

    /// <summary>Notes that a pong of the client passes which answers no ping of this server.</summary>
    public void ForeignPongPasses(ReadOnlySpan<byte> payload)
    {
        lock (outbox)
            _foreignPings?.PongPassed(payload);
    }

    /// <summary>Waits until nothing is being written. Only the caller of <see cref="WriteAsync"/> calls this.</summary>
    public async ValueTask UntilIdleAsync()
    {
        while (true)
        {
            Task turn;
            lock (outbox)
            {
                if (!outbox.IsWriting)
                    return;
                turn = (_turn ??= new TaskCompletionSource()).Task;
            }
            await turn;
        }
    }

    /// <summary>Makes sure that nothing leaves any more.</summary>
    public void Stop()
    {
        TaskCompletionSource? turn;
        lock (outbox)
        {
            _wasBlocked |= outbox.IsWaiting;
            outbox.Stop();
            (turn, _turn) = (_turn, null);
        }
        turn?.SetResult();
    }

    /// <summary>Ends the connection at once after a bug in the server. If the connection is lost, the read loop finds the end soon.</summary>
    private void Fail(Exception error)
    {
        Failure ??= error;
        Stop();
        if (error is not IOException)
            transport.Abort();
        else
            connection.ExpectEnd();
    }

    private bool TryBegin(int bytes, Ending ending)
    {
        lock (outbox)
        {
            bool begins = outbox.TryBegin(bytes, ending);
            if (begins)
                LastSent = wheel.Now;
            return begins;
        }
    }

    /// <summary>
    /// Builds the ping that was taken. The number of pings cannot change meanwhile: the next ping is taken only after this one is written.
    /// </summary>
    private byte[] PingFrame()
    {
        byte[] frame = _pingFrame ??= new byte[FrameWriter.PingSize];
        FrameWriter.WritePing(frame, PingMark + heartbeat.Pings);
        return frame;
    }

    /// <summary>Notes that the write in progress is done.</summary>
    /// <returns>What leaves next. If nothing leaves next, the read loop may write.</returns>
    private Outgoing Written()
    {
        Outgoing next;
        TimeSpan due;
        TaskCompletionSource? turn = null;
        lock (outbox)
        {
            if (outbox.IsWaiting)
                LastSent = wheel.Now;
            outbox.Written();
            next = TakeOwed();
            due = heartbeat.NextDue;
            if (next == Outgoing.None)
                (turn, _turn) = (_turn, null);
        }
        // A ping that has waited for another frame may have its deadline before the wheel calls this connection next.
        if (next == Outgoing.Ping)
            wheel.Schedule(connection, due);
        turn?.SetResult();
        return next;
    }

    /// <summary>Notes that the write in progress waits for the client. From here on the client has to make progress.</summary>
    private void WaitForClient()
    {
        TimeSpan now = wheel.Now;
        TimeSpan due = now + context.LookEvery;
        lock (outbox)
        {
            (Progress ??= new SendProgress()).Begin(now);
            outbox.Wait(due);
        }
        wheel.Schedule(connection, due);
    }
}
