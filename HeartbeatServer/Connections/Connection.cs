using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;
using HeartbeatServer.Engine;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Connections;

/// <summary>One WebSocket connection, from the 101 to its end.</summary>
/// <remarks>
/// Three parties work on a connection. The read loop (<see cref="RunAsync"/>) reads and answers. The timing wheel pings and judges
/// (<see cref="OnDue"/>). The drain closes. Invariants:
/// <list type="bullet">
/// <item>All of them write through the <see cref="ConnectionWriter"/>. The <see cref="Outbox"/> says who may write. It is also the lock of the
/// connection: it guards itself, the heartbeat and the figures.</item>
/// <item>The read loop waits for its own writes before it reads on. So the server does not read from a client that does not read.</item>
/// <item>An idle connection has one receive in progress, into its own small buffer or into that of the last burst, and one entry in the wheel. It has
/// nothing else.</item>
/// </list>
/// </remarks>
[SuppressMessage("Design", "CA1001", Justification = "RunAsync is its life, and disposes in its finally.")]
internal sealed class Connection : WheelEntry
{
    /// <summary>How long a client has to close a connection that the server regards as ended.</summary>
    public static readonly TimeSpan CloseTimeout = TimeSpan.FromSeconds(3);

    private readonly Transport _transport;
    private readonly ConnectionContext _context;
    private readonly TimingWheel _wheel;

    // The lock guards these fields. The outbox is the lock.
    private readonly Outbox _outbox = new();
    private readonly Heartbeat _heartbeat;
    private readonly ConnectionWriter _writer;
    private readonly LivenessJudge _judge;
    private Deadline _endBy = new(Heartbeat.Never);
    private long _bytesIn;

    // Only the read loop uses these fields.
    private readonly MessageReader _reader;
    private ReceiveBuffer _received = new();
    private ReplyBatch _replies;
    private int _strikesCleared;
    private long _messagesIn;
    private long _messagesOut;

    /// <summary>
    /// Whether the read loop throws away what it reads. It does so once the cause of the end is known and the client has been told.
    /// </summary>
    private volatile bool _discards;

    /// <summary>The bytes of the receive buffer that count in the budget of all connections while the replies in it wait.</summary>
    private volatile int _unsent;

    /// <inheritdoc cref="MarkGivenUp"/>
    private volatile bool _givesUp;

    // End sets these once.
    private Disconnect? _end;
    private TimeSpan _endedAt = Heartbeat.Never;

    /// <param name="id">The number of the connection, unique in this process.</param>
    /// <param name="remote">The client's address as this machine sees it.</param>
    /// <param name="transport">The bytes after the 101 response, both ways. The connection owns the transport.</param>
    /// <param name="context">What all connections of the server share.</param>
    /// <param name="phase">0 to 1: which part of the ping period passes before the first ping.</param>
    /// <param name="wheel">Drives the heartbeat and the deadlines.</param>
    public Connection(long id, EndPoint remote, Transport transport, ConnectionContext context, double phase, TimingWheel wheel)
    {
        (Id, Remote, _transport, _context, _wheel) = (id, remote, transport, context, wheel);
        Opened = wheel.Now;
        _heartbeat = new Heartbeat(context.Timings, Opened, phase);
        _writer = new ConnectionWriter(this, transport, _outbox, _heartbeat, wheel, context);
        _judge = new LivenessJudge(this, transport, _outbox, _heartbeat, _writer, context);
        _reader = new MessageReader(context.MaxMessage, new BudgetedPool(this, context.Buffers));
    }

    public long Id { get; }

    public EndPoint Remote { get; }

    /// <summary>Whether the other end of the TCP connection is a proxy. Then the kernel's figures describe the proxy and not the client.</summary>
    public bool IsBehindProxy { get; init; }

    /// <summary>How many subprotocols the client offered, if the server speaks none of them; else 0.</summary>
    public int OffersNotSpoken { get; init; }

    /// <summary>When the connection opened, on the clock of <see cref="TimingWheel.Now"/>.</summary>
    public TimeSpan Opened { get; }

    /// <summary>What the connection has done so far. Once its end is decided, the figures describe that moment.</summary>
    public ConnectionFigures Figures()
    {
        TimeSpan now = _wheel.Now;
        lock (_outbox)
        {
            now = _endedAt < now ? _endedAt : now;
            return new ConnectionFigures(
                Age: now - Opened,
                Pings: _heartbeat.Pings,
                Pongs: _heartbeat.Pongs,
                Missed: _heartbeat.Missed,
                Late: _heartbeat.Late,
                Strikes: _heartbeat.Strikes,
                RoundTrips: _heartbeat.RoundTrips,
                BytesIn: _bytesIn,
                BytesOut: _outbox.BytesOut,
                MessagesIn: _messagesIn,
                MessagesOut: _messagesOut,
                SinceLastByte: now > _heartbeat.LastReceived ? now - _heartbeat.LastReceived : TimeSpan.Zero,
                LastPongLate: _heartbeat.LastPongLate,
                CloseSent: _outbox.IsClosed,
                OtherPongs: _heartbeat.OtherPongs,
                OffersNotSpoken: OffersNotSpoken);
        }
    }

    /// <summary>Runs the connection to its end, and returns the cause. It does not throw: a failure becomes the cause.</summary>
    public async Task<Disconnect> RunAsync()
    {
        try
        {
            _wheel.Schedule(this, _heartbeat.NextDue);
            bool open = true;
            while (open)
            {
                int count = await _transport.ReadAsync(ReceiveTarget(out bool intoMessage));
                open = await OnReceivedAsync(count, intoMessage);
            }
        }
        catch (IOException e)
        {
            End(new Disconnect(DisconnectCause.ConnectionReset, e.Message));
        }
#pragma warning disable CA1031 // A bug in the server ends this connection, and not the process.
        catch (Exception e)
#pragma warning restore CA1031
        {
            EndByBug(e);
        }
        finally
        {
            _wheel.Remove(this);
            // From here on the figures are final: a beat in progress sends and counts nothing more.
            _writer.Stop();
            await _transport.DisposeAsync();
            _reader.Dispose();
            _received.Dispose();
        }
        return _end!;
    }

    /// <summary>What the connection holds now of the memory that all connections may hold together.</summary>
    public HeldBuffers HeldBuffers()
    {
        lock (_outbox)
        {
            bool isUnsent = _outbox.IsWaiting;
            TimeSpan since = isUnsent ? _writer.Progress!.LastMove : _heartbeat.LastReceived;
            return new HeldBuffers(_reader.HeldBytes + _unsent, isUnsent, since, _givesUp);
        }
    }

    /// <summary>Says that <see cref="GiveUpBuffers"/> follows: what the connection holds is as good as free.</summary>
    public void MarkGivenUp() => _givesUp = true;

    /// <summary>Ends the connection, and frees what it holds at once. Any thread may call this.</summary>
    public void GiveUpBuffers(Disconnect end)
    {
        bool isUnsent;
        lock (_outbox)
            isUnsent = _outbox.IsWaiting;
        End(end);
        ExpectEnd();
        // A write in progress holds the memory until its end. The client does not read, so it would not see a Close frame either.
        if (isUnsent)
            _transport.Abort();
        else
            _transport.CancelRead();
    }

    /// <summary>
    /// Begins the closing handshake by sending a Close frame. The caller sets a deadline for the client's answer, and calls <see cref="Cut"/>
    /// after it.
    /// </summary>
    public void Close(Disconnect end, ushort code, string reason)
    {
        if (End(end))
            _writer.SendClose(code, reason);
    }

    /// <summary>Ends the connection at once.</summary>
    public void Cut(Disconnect end)
    {
        End(end);
        _transport.Abort();
    }

    protected internal override TimeSpan OnDue(TimeSpan now, TimeSpan stall)
    {
        try
        {
            return Beat(now, stall);
        }
#pragma warning disable CA1031 // A bug in the server must not end the thread that serves all other connections.
        catch (Exception e)
#pragma warning restore CA1031
        {
            EndByBug(e);
            _transport.Abort();
            return Heartbeat.Never;
        }
    }

    private TimeSpan Beat(TimeSpan now, TimeSpan stall)
    {
        int strikes = 0;
        var next = Outgoing.None;
        TimeSpan due, silence;
        Disconnect? end;
        lock (_outbox)
        {
            end = EndOverdue(now, stall) ?? _judge.Check(now, stall, out strikes);
            if (end is null)
                next = _writer.TakeOwed();
            due = NextDue();
            silence = now - _heartbeat.LastReceived;
        }
        if (strikes > 0)
            _context.Log.Suspect(Id, Remote, strikes, _context.Timings.MaxMissed, _context.Timings.Timeout, silence);
        if (end is null)
        {
            _ = _writer.SendOwedAsync(next);
            return due;
        }
        // While the client's kernel still answers, the client gets a Close frame and FIN, even if its program is frozen or slow.
        if (end.Verdict is not null and not PathVerdict.PathDead && End(end))
        {
            SayGoodbye(CloseCode.InternalError, "pong timeout");
            return now + CloseTimeout;
        }
        Cut(end);
        return Heartbeat.Never;
    }

    /// <summary>Returns the end if the client has not closed an ended connection in time; else null.</summary>
    private Disconnect? EndOverdue(TimeSpan now, TimeSpan stall) => _endBy.IsOver(now, stall) ? _end ?? ByNetwork() : null;

    private TimeSpan NextDue()
    {
        TimeSpan due = _outbox.IsClosed ? Heartbeat.Never : _heartbeat.NextDue;
        due = _endBy.Due < due ? _endBy.Due : due;
        return _outbox.LookDue < due ? _outbox.LookDue : due;
    }

    /// <summary>Where the next receive goes: a long payload straight into the message, everything else into the receive buffer.</summary>
    private Memory<byte> ReceiveTarget(out bool intoMessage)
    {
        intoMessage = !_discards
            && _received.Start == _received.End
            && _reader.FrameRemaining > Math.Max(_received.Array.Length, ReceiveBuffer.BurstSize);
        try
        {
            if (intoMessage)
                return _reader.PayloadTarget(_transport.UnreadBytes);
        }
        catch (OutOfMemoryException)
        {
            GiveUpMessage();
            intoMessage = false;
        }
        return _received.Prepare(_reader.FrameRemaining > 0);
    }

    /// <summary>Reads and answers what one receive brought.</summary>
    /// <returns>Whether the connection goes on.</returns>
    private async ValueTask<bool> OnReceivedAsync(int count, bool intoMessage)
    {
        if (count == Transport.Cancelled)
        {
            GiveUpMessage();
            return true;
        }
        if (count == 0)
        {
            End(ByNetwork());
            return false;
        }
        OnBytes(count);
        if (_discards)
        {
            _received.Start = _received.End;
            return true;
        }

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
            // A late pong has logged this already and set the count to 0.
            if (_strikesCleared > 0)
                _context.Log.AliveAgain(Id, Remote, _strikesCleared);
            return true;
        }
        catch (WebSocketProtocolException violation)
        {
            End(Disconnect.ByViolation(violation));
            // The client still gets the replies to the frames before the violation.
            await FlushAsync();
            _reader.Dispose();
            SayGoodbye(violation.CloseCode, violation.Rule);
            _received.Start = _received.End;
            return true;
        }
        catch (OutOfMemoryException)
        {
            await FlushAsync();
            GiveUpMessage();
            return true;
        }
    }

    /// <summary>Gives back the memory of the message that is coming in, because there is not enough for it, and says goodbye.</summary>
    private void GiveUpMessage()
    {
        End(Disconnect.ByLackOfMemory()); // unless the budget has set the cause
        _reader.Dispose();
        SayGoodbye(CloseCode.TryAgainLater, "try again later");
        _received.Start = _received.End;
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
                // If the server closed first, this frame is the client's answer. Otherwise the client gets its code back (RFC 6455 section 5.5.1).
                ushort code = inbound.Code;
                End(Disconnect.ByClient(code, inbound.Reason));
                await FlushAsync();
                _writer.SendClose(code, "");
                await _writer.UntilIdleAsync();
                return false;

            default:
                _messagesIn++;
                if (_context.Echo && !_outbox.IsClosed)
                {
                    _messagesOut++;
                    await ReplyAsync(inbound, inbound.Opcode);
                }
                return true;
        }
    }

    private void OnBytes(int count)
    {
        lock (_outbox)
        {
            _bytesIn += count;
            _strikesCleared = _heartbeat.BytesReceived(_wheel.Now);
        }
    }

    private void OnPong(ReadOnlySpan<byte> payload)
    {
        TimeSpan? roundTrip;
        bool isLate;
        lock (_outbox)
        {
            TimeSpan now = _heartbeat.LastReceived;
            roundTrip = _heartbeat.PongReceived(payload, now, _wheel.StallAt(now), out isLate);
        }
        if (roundTrip is { } time)
            _context.Metrics.CountRoundTrip(time);
        if (isLate)
        {
            _context.Metrics.CountLatePong();
            _context.Log.LatePong(Id, Remote, roundTrip!.Value, _strikesCleared);
            _strikesCleared = 0;
        }
        else if (_context.Log.IsDebug)
        {
            _context.Log.PongReceived(Id, roundTrip);
        }
    }

    /// <summary>
    /// Sends a payload back without copying it. A payload in the receive buffer joins the batch of replies. Any other leaves as a frame of its own.
    /// </summary>
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
        await _writer.WriteAsync(inbound.Buffer.AsMemory(start, header + inbound.Count));
    }

    private ValueTask FlushAsync()
    {
        if (_replies.IsEmpty)
            return default;
        ReadOnlyMemory<byte> frames = _received.Array.AsMemory(_replies.Start, _replies.End - _replies.Start);
        _replies.Clear();
        ValueTask write = _writer.WriteAsync(frames);
        return write.IsCompleted ? write : WaitAsync(write, _received.Array.Length);
    }

    /// <summary>Waits for a write out of the receive buffer, whose bytes count in the budget of all connections meanwhile.</summary>
    private async ValueTask WaitAsync(ValueTask write, int held)
    {
        _unsent = held;
        _context.Buffers.Add(held);
        try
        {
            await write;
        }
        finally
        {
            _unsent = 0;
            _context.Buffers.Release(held);
        }
    }

    /// <summary>
    /// Tells the client the cause of the end with a Close frame and FIN. From then on the read loop throws away what the client still sends,
    /// until the client's own FIN comes or <see cref="CloseTimeout"/> is over.
    /// </summary>
    private void SayGoodbye(ushort code, string reason)
    {
        _discards = true;
        ExpectEnd();
        _writer.SendClose(code, reason, endsWithFin: true);
    }

    /// <summary>Regards the connection as ended. The client has <see cref="CloseTimeout"/> to close it, too.</summary>
    public void ExpectEnd()
    {
        TimeSpan due = _wheel.Now + CloseTimeout;
        lock (_outbox)
        {
            if (_endBy.Due != Heartbeat.Never)
                return;
            _endBy = new Deadline(due);
        }
        _wheel.Schedule(this, due);
    }

    /// <summary>Sets the cause of the end, if there is none yet.</summary>
    /// <returns>Whether this was the first cause. Later causes do not count.</returns>
    private bool End(Disconnect end)
    {
        lock (_outbox)
        {
            if (_end is not null)
                return false;
            (_end, _endedAt) = (end, _wheel.Now);
            return true;
        }
    }

    private void EndByBug(Exception bug)
    {
        End(ByBug(bug));
        _writer.SendClose(CloseCode.InternalError, "internal error");
    }

    /// <summary>Makes the cause of an end that a read has found or a failed write has brought about.</summary>
    private Disconnect ByNetwork() => (_writer.Failure, _transport.Error) switch
    {
        ({ } bug and not IOException, _) => ByBug(bug),
        // The kernel has given up after its last retransmission or probe.
        (_, SocketError.TimedOut) => Disconnect.ByDeadPath(_wheel.Now - _heartbeat.LastReceived, null, IsBehindProxy),
        // The framework reports EPIPE, which is a write after the reset, as Shutdown.
        (_, SocketError.ConnectionReset or SocketError.Shutdown) => new Disconnect(DisconnectCause.ConnectionReset, "RST"),
        ({ } failure, SocketError.Success) => new Disconnect(DisconnectCause.ConnectionReset, $"write failed: {failure.Message}"),
        (_, SocketError.Success) => new Disconnect(DisconnectCause.ClientVanished, "FIN without a Close frame"),
        (_, var error) => new Disconnect(DisconnectCause.ConnectionReset, error.ToString()),
    };

    private static Disconnect ByBug(Exception bug) =>
        new(DisconnectCause.InternalError, $"sent Close {CloseCode.InternalError}: {bug.GetType().Name}", bug);
}
