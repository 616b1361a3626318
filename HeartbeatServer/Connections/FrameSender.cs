using HeartbeatServer.Engine;
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

    /// <summary>How often to look whether a call of another thread has returned.</summary>
    private const int MostSpins = 100;

    /// <summary>A client that has not taken <see cref="OutputLimit"/> bytes by then, while they wait, is a slow consumer.</summary>
    public static readonly TimeSpan WriteTimeout = TimeSpan.FromSeconds(10);

    /// <summary>Where this thread puts its next ping: sent at once, as a rule, and free again.</summary>
    [ThreadStatic]
    private static byte[]? _pingFrame;

    // Whether a write is in progress. The lock is not held while it is: with one core, the answer to a ping can be there before the call
    // that sent it has returned, and its reader would wait for the lock.
    private bool _writing;
    private Task? _pendingControl;
    private bool _owesPing;
    private byte[]? _owesClose;

    /// <summary>When the write that waits for the client has taken too long; <see cref="Heartbeat.Never"/> if none waits.</summary>
    public TimeSpan WriteDue { get; private set; } = Heartbeat.Never;

    public bool CloseSent { get; private set; }

    /// <summary>Bytes given to the socket.</summary>
    public long BytesOut { get; private set; }

    /// <summary>Writes whole frames, waiting as long as the client takes. The read loop's.</summary>
    public async ValueTask WriteAsync(ReadOnlyMemory<byte> frames)
    {
        while (true)
        {
            lock (heartbeat)
            {
                if (CloseSent)
                    return;
                if (!_writing)
                {
                    _writing = true;
                    BytesOut += frames.Length;
                    break;
                }
            }
            await ControlSentAsync();
        }

        while (!frames.IsEmpty)
        {
            ReadOnlyMemory<byte> part = frames[..Math.Min(frames.Length, OutputLimit)];
            frames = frames[part.Length..];
            ValueTask write = stream.WriteAsync(part);
            if (!write.IsCompleted)
                Wait();
            await write;
        }
        WriteEnded();
    }

    /// <summary>Writes the next ping now, or owes it.</summary>
    /// <returns>Whether it was written.</returns>
    public bool TryPing()
    {
        lock (heartbeat)
            _owesPing = true;
        return WriteOwed();
    }

    /// <summary>Writes a Close frame now, or owes it. Only the first counts.</summary>
    public void Close(byte[] frame)
    {
        lock (heartbeat)
            _owesClose ??= frame;
        WriteOwed();
    }

    /// <summary>Waits for the control frame in progress, and for a Close frame that is owed behind it. The read loop's.</summary>
    public async ValueTask ControlSentAsync()
    {
        var spin = new SpinWait();
        while (true)
        {
            Task? pending;
            lock (heartbeat)
            {
                if (!_writing)
                    return;
                pending = _pendingControl;
            }
            // It waits for the client, or another thread is about to return from the call that sends it.
            if (pending is { IsCompleted: false })
                await pending;
            else if (spin.Count < MostSpins)
                spin.SpinOnce(sleep1Threshold: -1);
            else
                await Task.Yield(); // elsewhere: it may be this thread that the call waits for
        }
    }

    /// <summary>Gives another thread that is inside a call to the socket a moment to come back from it.</summary>
    public void LetCallReturn()
    {
        var spin = new SpinWait();
        for (int i = 0; i < MostSpins && IsInCall(); i++)
            spin.SpinOnce(sleep1Threshold: -1);

        bool IsInCall()
        {
            lock (heartbeat)
                return _writing && (_pendingControl is null || _pendingControl.IsCompleted);
        }
    }

    /// <summary>Writes what is owed, unless a write is in progress, which will do it at its end.</summary>
    /// <returns>Whether a ping was written.</returns>
    private bool WriteOwed()
    {
        bool pinged = false;
        while (TakeOwed(out bool isPing) is { } frame)
        {
            pinged |= isPing;
            ValueTask write;
            try
            {
                write = stream.WriteAsync(frame);
            }
            catch
            {
                Fail();
                throw;
            }
            if (!write.IsCompletedSuccessfully)
            {
                _pingFrame = null; // the write in progress keeps it
                Wait();
                Task finishing = FinishControlAsync(write);
                // If it is over already, another may have begun at its end.
                if (!finishing.IsCompleted)
                    _pendingControl = finishing;
                return pinged;
            }
            lock (heartbeat)
                _writing = false;
        }
        return pinged;
    }

    /// <summary>The frame that is to be written now, if any: the Close frame before a ping.</summary>
    private byte[]? TakeOwed(out bool isPing)
    {
        lock (heartbeat)
        {
            isPing = _owesClose is null && _owesPing;
            if (_writing || CloseSent || (_owesClose is null && !_owesPing))
                return null;

            byte[] frame = _owesClose ?? (_pingFrame ??= new byte[FrameWriter.PingSize]);
            if (isPing)
            {
                FrameWriter.WritePing(frame, heartbeat.Pings + 1);
                heartbeat.PingWritten(wheel.Now);
            }
            CloseSent = !isPing;
            _owesPing = false;
            _writing = true;
            BytesOut += frame.Length;
            return frame;
        }
    }

    /// <summary>The connection is over, and its figures are final: a beat in progress sends and counts nothing more.</summary>
    public void Finish()
    {
        lock (heartbeat)
            CloseSent = true;
    }

    /// <summary>The write in progress waits for the client, and its time runs.</summary>
    private void Wait()
    {
        TimeSpan due = wheel.Now + WriteTimeout;
        lock (heartbeat)
            WriteDue = due;
        wheel.Schedule(owner, due);
    }

    private async Task FinishControlAsync(ValueTask write)
    {
        try
        {
            await write;
            WriteEnded();
        }
#pragma warning disable CA1031 // Nobody awaits this task as long as nothing else is written.
        catch (Exception e)
#pragma warning restore CA1031
        {
            Fail();
            owner.OnWriteFailed(e);
        }
    }

    /// <summary>Nothing can be written any more.</summary>
    private void Fail()
    {
        lock (heartbeat)
            (_writing, CloseSent) = (false, true);
    }

    /// <summary>No write is in progress any more: what was owed meanwhile leaves.</summary>
    private void WriteEnded()
    {
        lock (heartbeat)
        {
            _writing = false;
            WriteDue = Heartbeat.Never;
            if (!_owesPing && _owesClose is null)
                return;
        }
        if (!WriteOwed())
            return;
        ulong number;
        TimeSpan due;
        lock (heartbeat)
            (number, due) = (heartbeat.Pings, heartbeat.NextDue);
        owner.OnLatePing(number, due);
    }
}
