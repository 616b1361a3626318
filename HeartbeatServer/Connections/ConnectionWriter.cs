using HeartbeatServer.Engine;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Connections;

/// <summary>Writes what the <see cref="Outbox"/> of a connection lets leave.</summary>
/// <remarks>
/// The read loop writes replies and waits for them. The timing wheel and the drain write pings and the Close frame, and never wait: what cannot leave
/// now is owed, and leaves when the write in progress is done. The outbox is the lock. Nobody holds it during a send: with one core the answer to
/// a ping can be there before the call that sent it has returned, and its reader would wait for the lock.
/// </remarks>
/// <param name="connection">The wheel calls it when a deadline that begins here is over.</param>
/// <param name="transport">Takes the bytes.</param>
/// <param name="outbox">What is owed. It is the lock.</param>
/// <param name="heartbeat">Learns when a ping leaves. Under the lock.</param>
/// <param name="wheel">Knows the time.</param>
/// <param name="context">What all connections share.</param>
internal sealed class ConnectionWriter(
    Connection connection, Transport transport, Outbox outbox, Heartbeat heartbeat, TimingWheel wheel, ConnectionContext context)
{
    /// <summary>Most bytes given to the transport at once.</summary>
    public const int OutputLimit = 128 * 1024;

    /// <summary>Where this thread puts its next ping. The ping leaves at once, as a rule, and the array is free again.</summary>
    [ThreadStatic]
    private static byte[]? _pingFrame;

    /// <summary>The read loop waits here until nothing is being written. Under the lock.</summary>
    private TaskCompletionSource? _turn;

    /// <summary>Whether FIN follows the Close frame. Under the lock.</summary>
    private bool _endsWithFin;

    /// <summary>
    /// Why a write failed, if one did. Nothing leaves any more then, but the connection goes on: what the client sent before is still to be read, and it
    /// may explain the end.
    /// </summary>
    public Exception? Failure { get; private set; }

    /// <summary>How the peer takes what waits for it. Under the lock; null as long as nobody had to ask.</summary>
    public SendProgress? Progress { get; set; }

    /// <summary>Writes whole data frames, and waits as long as the client takes. The read loop's.</summary>
    public async ValueTask WriteAsync(ReadOnlyMemory<byte> frames)
    {
        while (!TryBegin(frames.Length))
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
        catch (IOException e)
        {
            Fail(e);
            return;
        }
        _ = SendOwedAsync(Written());
    }

    /// <summary>Writes a Close frame now, or owes it. Only the first counts.</summary>
    /// <param name="code">Of RFC 6455 section 7.4.</param>
    /// <param name="reason">May be empty.</param>
    /// <param name="endsWithFin">
    /// Whether FIN follows: the client is told that nothing more comes, and may still send. If we closed the socket while it does, the kernel would answer
    /// RST, which may destroy our Close frame on the client's side.
    /// </param>
    public void SendClose(ushort code, string reason, bool endsWithFin = false)
    {
        Outgoing next;
        lock (outbox)
        {
            _endsWithFin |= endsWithFin;
            outbox.OweClose(FrameWriter.Close(code, reason));
            next = TakeOwed();
        }
        _ = SendOwedAsync(next);
    }

    /// <summary>Takes what is owed and may leave now, for <see cref="SendOwedAsync"/>. Under the lock. The time of a ping runs from here.</summary>
    public Outgoing TakeOwed()
    {
        Outgoing next = outbox.Next(FrameWriter.PingSize);
        if (next == Outgoing.Ping)
            heartbeat.PingWritten(wheel.Now);
        return next;
    }

    /// <summary>
    /// Sends what was taken, and then what is owed by that time: every ping and the Close frame leave here. Nobody has to wait for it: what goes wrong is
    /// kept in <see cref="Failure"/>.
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
                        _pingFrame = null; // the write in progress keeps it
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
#pragma warning disable CA1031 // It is the connection's to explain.
        catch (Exception e)
#pragma warning restore CA1031
        {
            Fail(e);
        }
    }

    /// <summary>Waits until nothing is being written. The read loop's.</summary>
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

    /// <summary>Nothing leaves any more.</summary>
    public void Stop()
    {
        TaskCompletionSource? turn;
        lock (outbox)
        {
            outbox.Stop();
            (turn, _turn) = (_turn, null);
        }
        turn?.SetResult();
    }

    /// <summary>A bug of ours ends the connection at once. Of a lost connection the read loop finds the end, and soon.</summary>
    private void Fail(Exception error)
    {
        Failure ??= error;
        Stop();
        if (error is not IOException)
            transport.Abort();
        else
            connection.ExpectEnd();
    }

    private bool TryBegin(int bytes)
    {
        lock (outbox)
            return outbox.TryBegin(bytes);
    }

    /// <summary>The ping that was taken: its number changes only when the next is, and that is not before this one is written.</summary>
    private byte[] PingFrame()
    {
        byte[] frame = _pingFrame ??= new byte[FrameWriter.PingSize];
        FrameWriter.WritePing(frame, heartbeat.Pings);
        return frame;
    }

    /// <summary>The write in progress is done.</summary>
    /// <returns>What leaves next. If nothing does, the read loop has its turn.</returns>
    private Outgoing Written()
    {
        Outgoing next;
        TimeSpan due;
        TaskCompletionSource? turn = null;
        lock (outbox)
        {
            outbox.Written();
            next = TakeOwed();
            due = heartbeat.NextDue;
            if (next == Outgoing.None)
                (turn, _turn) = (_turn, null);
        }
        // A ping that leaves behind another frame may have to be judged before the wheel comes here next.
        if (next == Outgoing.Ping)
            wheel.Schedule(connection, due);
        turn?.SetResult();
        return next;
    }

    /// <summary>The write in progress waits for the client, which owes progress from here on.</summary>
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
