using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Connections;

/// <summary>One WebSocket connection, from the 101 to its end.</summary>
/// <remarks>
/// Two parties work on it: the read loop (<see cref="RunAsync"/>), which also answers, and the timing wheel, which pings and judges
/// (<see cref="OnDue"/>). Invariants:
/// <list type="bullet">
/// <item>Whoever writes holds the write state, guarded by <see cref="_gate"/>; a frame is never begun inside another.</item>
/// <item>The wheel never waits. What it cannot write now, it owes; the owed frames leave when the write in progress is done.</item>
/// <item>The read loop waits for its own writes before it reads on, so a client that does not read is not read from.</item>
/// <item>After our Close frame nothing more is written.</item>
/// <item>An idle connection has one receive in progress, into its own small buffer, and one entry in the wheel; nothing else.</item>
/// </list>
/// </remarks>
[SuppressMessage("Design", "CA1001", Justification = "RunAsync is its life, and disposes in its finally.")]
internal sealed class Connection : WheelEntry
{
    /// <summary>Most bytes given to the socket at once, and so what a client must take within <see cref="WriteTimeout"/>.</summary>
    public const int OutputLimit = 128 * 1024;

    /// <summary>A client that has not taken <see cref="OutputLimit"/> bytes by then, while they wait, is a slow consumer.</summary>
    public static readonly TimeSpan WriteTimeout = TimeSpan.FromSeconds(10);

    /// <summary>How long a client has to finish the closing handshake that we began.</summary>
    public static readonly TimeSpan CloseTimeout = TimeSpan.FromSeconds(3);

    /// <summary>Receives that complete at once before other connections get their turn on this thread.</summary>
    private const int ReceivesInTurn = 2;

    /// <summary>Where this thread puts its next ping: sent at once, as a rule, and free again.</summary>
    [ThreadStatic]
    private static byte[]? _pingFrame;

    private readonly Stream _stream;
    private readonly ConnectionOptions _options;
    private readonly TimingWheel _wheel;
    private readonly ServerLog _log;
    private readonly ServerMetrics _metrics;
    private readonly Heartbeat _heartbeat;
    private readonly MessageReader _reader;
    private readonly TimeSpan _opened;
    private readonly Lock _gate = new();

    // Read state: the read loop's own.
    private ReceiveBuffer _received = new();
    private ReplyBatch _replies;
    private int _strikesCleared;
    private long _bytesIn;
    private long _messagesIn;
    private long _messagesOut;

    // Write state: under _gate.
    private Task? _pendingControl;
    private TimeSpan _writingSince = Heartbeat.Never;
    private bool _owesPing;
    private byte[]? _owesClose;
    private long _bytesOut;

    // Close state. The end is set once; the rest under _gate.
    private Disconnect? _end;
    private bool _closeSent;
    private TimeSpan _closeBy = Heartbeat.Never;

    /// <param name="id">Its number, unique in this process.</param>
    /// <param name="remote">Of the client, as seen by this machine.</param>
    /// <param name="stream">Behind the 101 response. Disposed of at the end.</param>
    /// <param name="options">What applies to every connection.</param>
    /// <param name="phase">See <see cref="Heartbeat"/>.</param>
    /// <param name="wheel">That drives the heartbeat and the deadlines.</param>
    /// <param name="log">For pings, pongs and strikes.</param>
    /// <param name="metrics">Likewise.</param>
    public Connection(
        long id, EndPoint remote, Stream stream, ConnectionOptions options, double phase, TimingWheel wheel, ServerLog log, ServerMetrics metrics)
    {
        (Id, Remote, _stream, _options, _wheel, _log, _metrics) = (id, remote, stream, options, wheel, log, metrics);
        _opened = wheel.Now;
        _heartbeat = new Heartbeat(options.Timings, _opened, phase);
        _reader = new MessageReader(options.MaxMessage);
    }

    public long Id { get; }

    public EndPoint Remote { get; }

    /// <summary>What it did so far.</summary>
    public ConnectionFigures Figures()
    {
        TimeSpan now = _wheel.Now;
        lock (_gate)
        {
            return new ConnectionFigures(
                now - _opened,
                _heartbeat.Pings,
                _heartbeat.Pongs,
                _heartbeat.Missed,
                _heartbeat.Late,
                _heartbeat.Strikes,
                _heartbeat.RoundTrips,
                _bytesIn,
                _bytesOut,
                _messagesIn,
                _messagesOut,
                now - _heartbeat.LastReceived);
        }
    }

    /// <summary>Lives the connection to its end. Does not throw: what goes wrong is the cause.</summary>
    public async Task<Disconnect> RunAsync()
    {
        try
        {
            _wheel.Schedule(this, _heartbeat.NextDue);
            int turn = 0;
            bool open = true;
            while (open)
            {
                // A long payload is received straight into the message; everything else into the receive buffer.
                bool intoMessage = _received.Start == _received.End && _reader.FrameRemaining > _received.Array.Length;
                ValueTask<int> receive = _stream.ReadAsync(intoMessage ? _reader.PayloadTarget() : _received.Prepare(_reader.FrameRemaining > 0));
                turn = receive.IsCompleted ? turn + 1 : 0;
                open = await OnReceivedAsync(await receive, intoMessage);
                if (turn >= ReceivesInTurn)
                {
                    turn = 0;
                    await Task.Yield();
                }
            }
        }
        catch (IOException e)
        {
            End(new Disconnect(DisconnectCause.ConnectionReset, e.Message));
        }
#pragma warning disable CA1031 // A bug of ours ends this connection, not the server.
        catch (Exception e)
#pragma warning restore CA1031
        {
            EndByBug(e);
        }
        finally
        {
            _wheel.Remove(this);
            await _stream.DisposeAsync();
            _reader.Dispose();
            _received.Dispose();
        }
        return _end!;
    }

    /// <summary>Begins the closing handshake: sends a Close frame; the client has until the caller's deadline, and then <see cref="Cut"/>.</summary>
    public void Close(Disconnect end, ushort code, string reason)
    {
        if (End(end))
            SendClose(FrameWriter.Close(code, reason));
    }

    /// <summary>Ends the connection at once.</summary>
    public void Cut(Disconnect end)
    {
        End(end);
        Abort();
    }

    protected internal override TimeSpan OnDue(TimeSpan now, TimeSpan stall)
    {
        try
        {
            return Beat(now, stall);
        }
#pragma warning disable CA1031 // Nor does it end the thread that beats for all the others.
        catch (Exception e)
#pragma warning restore CA1031
        {
            EndByBug(e);
            Abort();
            return Heartbeat.Never;
        }
    }

    private TimeSpan Beat(TimeSpan now, TimeSpan stall)
    {
        int strikes = 0;
        Disconnect? cut = null;
        ulong? pinged = null;
        TimeSpan next;
        lock (_gate)
        {
            if (now >= _closeBy)
            {
                cut = _end;
            }
            else if (now - WriteTimeout >= _writingSince)
            {
                cut = new Disconnect(
                    DisconnectCause.SlowConsumer, $"did not take {OutputLimit / 1024} KiB, or the rest of a reply, within {WriteTimeout.TotalSeconds}s");
            }
            else if (!_closeSent)
            {
                HeartbeatStep step;
                while (cut is null && (step = _heartbeat.Advance(now, stall)) != HeartbeatStep.None)
                {
                    if (step == HeartbeatStep.Ping)
                    {
                        _owesPing = true;
                        pinged = WriteOwed() ? _heartbeat.Pings : null;
                    }
                    else if (!CouldBeHeard())
                    {
                        // Its bytes wait for us, not we for them.
                    }
                    else
                    {
                        strikes = _heartbeat.Strike();
                        if (_heartbeat.IsDead)
                            cut = Disconnect.ByTimeout(strikes, _options.Timings.Timeout, (_stream as SocketStream)?.Tcp);
                    }
                }
            }
            next = Earliest(_closeSent ? Heartbeat.Never : _heartbeat.NextDue, _closeBy, WriteDue());
        }

        if (pinged is { } number && _log.IsDebug)
            _log.PingSent(Id, number);
        if (strikes > 0)
        {
            _metrics.CountStrike();
            _log.Suspect(Id, Remote, strikes, _options.Timings.MaxMissed, _options.Timings.Timeout, now - _heartbeat.LastReceived);
        }
        if (cut is null)
            return next;

        if (cut.Cause == DisconnectCause.PongTimeout && End(cut))
            SendClose(FrameWriter.Close(CloseCode.InternalError, "pong timeout"));
        Cut(cut);
        return Heartbeat.Never;
    }

    /// <summary>Reads and answers what one receive brought.</summary>
    /// <returns>Whether the connection goes on.</returns>
    private async ValueTask<bool> OnReceivedAsync(int count, bool intoMessage)
    {
        if (count == 0)
        {
            End(ByNetwork());
            return false;
        }
        OnBytes(count);

        try
        {
            if (!intoMessage)
                _received.Received(count);
            else if (_reader.TryAccept(count, out Inbound message))
                await HandleAsync(message);

            while (_reader.TryRead(_received.Array, ref _received.Start, _received.End, out Inbound inbound))
            {
                if (!await HandleAsync(inbound))
                    return false;
            }
            await FlushAsync();
            // A late pong has told so already.
            if (_strikesCleared > 0)
                _log.AliveAgain(Id, Remote, _strikesCleared);
            return true;
        }
        catch (WebSocketProtocolException violation)
        {
            End(Disconnect.ByViolation(violation));
            // The replies to what came before are still due.
            await FlushAsync();
            SendClose(FrameWriter.Close(violation.CloseCode, violation.Rule));
            await DiscardAsync();
            return false;
        }
    }

    /// <summary>Answers one message or control frame.</summary>
    /// <returns>False after a Close frame: the connection is over.</returns>
    private async ValueTask<bool> HandleAsync(Inbound inbound)
    {
        switch (inbound.Opcode)
        {
            case Opcode.Ping:
                await ReplyAsync(inbound, Opcode.Pong);
                return true;

            case Opcode.Pong:
                OnPong(inbound.Payload);
                return true;

            case Opcode.Close:
                // If we closed first this is the client's answer. Otherwise it gets its code back (section 5.5.1).
                ushort code = inbound.Code;
                End(Disconnect.ByClient(code, inbound.Reason));
                await FlushAsync();
                SendClose(FrameWriter.Close(code));
                await ControlSentAsync();
                return false;

            default:
                _messagesIn++;
                if (_options.Echo)
                {
                    _messagesOut++;
                    await ReplyAsync(inbound, inbound.Opcode);
                }
                return true;
        }
    }

    private void OnBytes(int count)
    {
        lock (_gate)
        {
            _bytesIn += count;
            _strikesCleared = _heartbeat.BytesReceived(_wheel.Now);
        }
    }

    private void OnPong(ReadOnlySpan<byte> payload)
    {
        TimeSpan? roundTrip;
        bool isLate;
        lock (_gate)
            roundTrip = _heartbeat.PongReceived(payload, _heartbeat.LastReceived, out isLate);
        if (roundTrip is { } time)
            _metrics.RoundTrips.Add(time);
        if (isLate)
        {
            _metrics.CountLatePong();
            _log.LatePong(Id, Remote, roundTrip!.Value, _strikesCleared);
            _strikesCleared = 0;
        }
        else if (_log.IsDebug)
        {
            _log.PongReceived(Id, roundTrip);
        }
    }

    /// <summary>Sends a frame back with the payload where it is: in the batch if it lies in the receive buffer, else by itself.</summary>
    private async ValueTask ReplyAsync(Inbound inbound, Opcode opcode)
    {
        if (inbound.Buffer == _received.Array)
        {
            _replies.Add(inbound.Buffer, opcode, inbound.Offset, inbound.Count);
            return;
        }
        await FlushAsync();
        int header = FrameWriter.HeaderSize(inbound.Count);
        int start = inbound.Offset - header;
        FrameWriter.WriteHeader(inbound.Buffer.AsSpan(start), opcode, inbound.Count);
        await WriteAsync(inbound.Buffer.AsMemory(start, header + inbound.Count));
    }

    private ValueTask FlushAsync()
    {
        if (_replies.IsEmpty)
            return default;
        ReadOnlyMemory<byte> frames = _received.Array.AsMemory(_replies.Start, _replies.End - _replies.Start);
        _replies.Clear();
        return WriteAsync(frames);
    }

    /// <summary>Writes whole frames, waiting as long as the client takes.</summary>
    private async ValueTask WriteAsync(ReadOnlyMemory<byte> frames)
    {
        bool holding = false;
        while (!frames.IsEmpty)
        {
            Task? before = null;
            ValueTask write = default;
            lock (_gate)
            {
                if (_closeSent)
                    return;
                if (!holding && _pendingControl is { IsCompleted: false })
                {
                    before = _pendingControl;
                }
                else
                {
                    ReadOnlyMemory<byte> part = frames[..Math.Min(frames.Length, OutputLimit)];
                    frames = frames[part.Length..];
                    write = _stream.WriteAsync(part);
                    _bytesOut += part.Length;
                    if (write.IsCompleted && frames.IsEmpty && !holding)
                    {
#pragma warning disable CA1849 // It is complete: this throws what it failed with.
                        write.GetAwaiter().GetResult();
#pragma warning restore CA1849
                        return;
                    }
                    holding = true;
                    _writingSince = _wheel.Now;
                }
            }
            if (before is not null)
            {
                await before;
                continue;
            }
            _wheel.Schedule(this, WriteDue());
            await write;
        }
        WriteEnded();
    }

    /// <summary>No write is in progress any more: what was owed meanwhile leaves.</summary>
    private void WriteEnded()
    {
        ulong pinged;
        TimeSpan due;
        lock (_gate)
        {
            _writingSince = Heartbeat.Never;
            if (!WriteOwed())
                return;
            (pinged, due) = (_heartbeat.Pings, _heartbeat.NextDue);
        }
        // The wheel knows of the next beat only, and this ping is to be judged before it.
        _wheel.Schedule(this, due);
        if (_log.IsDebug)
            _log.PingSent(Id, pinged);
    }

    /// <summary>Writes the ping or the Close frame that is owed, if no write is in progress. Under <see cref="_gate"/>.</summary>
    /// <returns>Whether a ping was written.</returns>
    private bool WriteOwed()
    {
        if (_writingSince != Heartbeat.Never || _closeSent)
            return false;

        bool ping = _owesClose is null && _owesPing;
        byte[]? frame = _owesClose;
        if (ping)
        {
            frame = _pingFrame ??= new byte[FrameWriter.PingSize];
            FrameWriter.WritePing(frame, _heartbeat.Pings + 1);
        }
        if (frame is null)
            return false;

        _closeSent = !ping;
        (_owesPing, _owesClose) = (false, null);
        _bytesOut += frame.Length;
        ValueTask write = _stream.WriteAsync(frame);
        if (ping)
            _heartbeat.PingWritten(_wheel.Now);
        if (!write.IsCompletedSuccessfully)
        {
            _pingFrame = null; // the write in progress keeps it
            _writingSince = _wheel.Now;
            _pendingControl = FinishControlAsync(write);
        }
        return ping;
    }

    private async Task FinishControlAsync(ValueTask write)
    {
        await Task.Yield(); // out of the lock that the caller holds
        _wheel.Schedule(this, WriteDue());
        try
        {
            await write;
            WriteEnded();
        }
        catch (IOException e)
        {
            Cut(new Disconnect(DisconnectCause.ConnectionReset, $"write failed: {e.Message}"));
        }
#pragma warning disable CA1031 // As in RunAsync.
        catch (Exception e)
#pragma warning restore CA1031
        {
            EndByBug(e);
            Abort();
        }
    }

    private void SendClose(byte[] frame)
    {
        lock (_gate)
        {
            if (_closeSent || _owesClose is not null)
                return;
            _owesClose = frame;
            WriteOwed();
        }
    }

    /// <summary>Waits for the control frame in progress, and for a Close frame that is owed behind it.</summary>
    private async ValueTask ControlSentAsync()
    {
        while (_pendingControl is { IsCompleted: false } pending)
            await pending;
    }

    /// <summary>
    /// After a violation nothing that comes can be trusted. Closing the socket now, while the client still sends, would make the kernel
    /// answer RST, which may destroy our Close frame on the client's side: so half-close, and read on for a while.
    /// </summary>
    private async ValueTask DiscardAsync()
    {
        lock (_gate)
            _closeBy = _wheel.Now + CloseTimeout;
        _wheel.Schedule(this, _closeBy);
        await ControlSentAsync();
        (_stream as SocketStream)?.ShutdownSend();
        _received.Start = _received.End;
        while (true)
        {
            ValueTask<int> receive = _stream.ReadAsync(_received.Array);
            if (receive.IsCompleted)
                await Task.Yield(); // a flood must not keep this thread from others
            int count = await receive;
            if (count == 0)
                return;
            lock (_gate)
                _bytesIn += count;
        }
    }

    private void EndByBug(Exception bug)
    {
        End(new Disconnect(DisconnectCause.InternalError, $"sent Close {CloseCode.InternalError}: {bug.GetType().Name}", bug));
        try
        {
            SendClose(FrameWriter.Close(CloseCode.InternalError, "internal error"));
        }
#pragma warning disable CA1031 // Then there is no goodbye.
        catch (Exception)
#pragma warning restore CA1031
        {
        }
    }

    private bool End(Disconnect end) => Interlocked.CompareExchange(ref _end, end, null) is null;

    private void Abort()
    {
        if (_stream is SocketStream socket)
            socket.Abort();
        else
            _stream.Dispose();
    }

    private Disconnect ByNetwork() => (_stream as SocketStream)?.Error switch
    {
        null or SocketError.Success => new Disconnect(DisconnectCause.ClientVanished, "FIN without a Close frame"),
        SocketError.ConnectionReset => new Disconnect(DisconnectCause.ConnectionReset, "RST"),
        { } error => new Disconnect(DisconnectCause.ConnectionReset, error.ToString()),
    };

    /// <summary>Whether silence means silence: not if we are not reading because the client does not, nor if its bytes wait in the kernel.</summary>
    private bool CouldBeHeard() => _writingSince == Heartbeat.Never && !(_stream is SocketStream { HasUnreadBytes: true });

    private TimeSpan WriteDue() => _writingSince == Heartbeat.Never ? Heartbeat.Never : _writingSince + WriteTimeout;

    private static TimeSpan Earliest(TimeSpan a, TimeSpan b, TimeSpan c) => a < b ? a < c ? a : c : b < c ? b : c;
}
