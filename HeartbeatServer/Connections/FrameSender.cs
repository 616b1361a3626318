using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Connections;

/// <summary>Everything that leaves on one connection, frame by frame.</summary>
/// <remarks>
/// The read loop sends replies and waits for them. The timing wheel and the drain send pings and the Close frame, and never wait: what
/// cannot be written now is owed, and leaves when the write in progress is done. A frame is never begun inside another; after our Close
/// frame nothing more is written. The heartbeat, which both sides need, is the lock of the connection: it costs no object of its own.
/// </remarks>
internal sealed class FrameSender(Connection owner, Stream stream, Heartbeat heartbeat, TimingWheel wheel)
{
    /// <summary>Most bytes given to the socket at once, and so what a client must take within <see cref="WriteTimeout"/>.</summary>
    public const int OutputLimit = 128 * 1024;

    /// <summary>A client that has not taken <see cref="OutputLimit"/> bytes by then, while they wait, is a slow consumer.</summary>
    public static readonly TimeSpan WriteTimeout = TimeSpan.FromSeconds(10);

    /// <summary>Where this thread puts its next ping: sent at once, as a rule, and free again.</summary>
    [ThreadStatic]
    private static byte[]? _pingFrame;

    private Task? _pendingControl;
    private bool _owesPing;
    private byte[]? _owesClose;

    /// <summary>When the write in progress has taken too long; <see cref="Heartbeat.Never"/> if there is none.</summary>
    public TimeSpan WriteDue { get; private set; } = Heartbeat.Never;

    public bool CloseSent { get; private set; }

    /// <summary>Bytes given to the socket.</summary>
    public long BytesOut { get; private set; }

    /// <summary>Writes whole frames, waiting as long as the client takes. The read loop's.</summary>
    public async ValueTask WriteAsync(ReadOnlyMemory<byte> frames)
    {
        bool holding = false;
        while (!frames.IsEmpty)
        {
            Task? before = null;
            ValueTask write = default;
            lock (heartbeat)
            {
                if (CloseSent)
                    return;
                if (!holding && _pendingControl is { IsCompleted: false })
                {
                    before = _pendingControl;
                }
                else
                {
                    ReadOnlyMemory<byte> part = frames[..Math.Min(frames.Length, OutputLimit)];
                    frames = frames[part.Length..];
                    write = stream.WriteAsync(part);
                    BytesOut += part.Length;
                    if (write.IsCompleted && frames.IsEmpty && !holding)
                    {
#pragma warning disable CA1849 // It is complete: this throws what it failed with.
                        write.GetAwaiter().GetResult();
#pragma warning restore CA1849
                        return;
                    }
                    holding = true;
                    WriteDue = wheel.Now + WriteTimeout;
                }
            }
            if (before is not null)
            {
                await before;
                continue;
            }
            wheel.Schedule(owner, WriteDue);
            await write;
        }
        WriteEnded();
    }

    /// <summary>Writes the next ping now, or owes it.</summary>
    /// <returns>Whether it was written.</returns>
    public bool TryPing()
    {
        lock (heartbeat)
        {
            _owesPing = true;
            return WriteOwed();
        }
    }

    /// <summary>Writes a Close frame now, or owes it. Only the first counts.</summary>
    public void Close(byte[] frame)
    {
        lock (heartbeat)
        {
            if (CloseSent || _owesClose is not null)
                return;
            _owesClose = frame;
            WriteOwed();
        }
    }

    /// <summary>Waits for the control frame in progress, and for a Close frame that is owed behind it.</summary>
    public async ValueTask ControlSentAsync()
    {
        while (_pendingControl is { IsCompleted: false } pending)
            await pending;
    }

    /// <returns>Whether a ping was written.</returns>
    private bool WriteOwed()
    {
        if (WriteDue != Heartbeat.Never || CloseSent)
            return false;

        bool ping = _owesClose is null && _owesPing;
        byte[]? frame = _owesClose;
        if (ping)
        {
            frame = _pingFrame ??= new byte[FrameWriter.PingSize];
            FrameWriter.WritePing(frame, heartbeat.Pings + 1);
        }
        if (frame is null)
            return false;

        CloseSent = !ping;
        (_owesPing, _owesClose) = (false, null);
        BytesOut += frame.Length;
        ValueTask write = stream.WriteAsync(frame);
        if (ping)
            heartbeat.PingWritten(wheel.Now);
        if (!write.IsCompletedSuccessfully)
        {
            _pingFrame = null; // the write in progress keeps it
            WriteDue = wheel.Now + WriteTimeout;
            _pendingControl = FinishControlAsync(write);
        }
        return ping;
    }

    private async Task FinishControlAsync(ValueTask write)
    {
        await Task.Yield(); // out of the lock that the caller holds
        wheel.Schedule(owner, WriteDue);
        try
        {
            await write;
            WriteEnded();
        }
#pragma warning disable CA1031 // Nobody awaits this task as long as nothing else is written.
        catch (Exception e)
#pragma warning restore CA1031
        {
            owner.OnWriteFailed(e);
        }
    }

    /// <summary>No write is in progress any more: what was owed meanwhile leaves.</summary>
    private void WriteEnded()
    {
        ulong number;
        TimeSpan due;
        lock (heartbeat)
        {
            WriteDue = Heartbeat.Never;
            if (!WriteOwed())
                return;
            (number, due) = (heartbeat.Pings, heartbeat.NextDue);
        }
        owner.OnLatePing(number, due);
    }
}
