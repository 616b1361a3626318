using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;
using HeartbeatServer.Engine;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Connections;

/// <summary>One WebSocket connection, from the 101 to its end.</summary>
/// <remarks>
/// Two parties work on it. The read loop (<see cref="RunAsync"/>) reads and answers. The timing wheel pings and judges (<see cref="OnDue"/>), and the
/// drain closes. Invariants:
/// <list type="bullet">
/// <item>Both write through the <see cref="ConnectionWriter"/>. The <see cref="Outbox"/>, which says who may write, is also the lock of the
/// connection: it guards itself, the heartbeat and the figures.</item>
/// <item>The read loop waits for its own writes before it reads on, so a client that does not read is not read from.</item>
/// <item>An idle connection has one receive in progress, into its own small buffer (or that of the last burst), and one entry in the wheel; nothing
/// else.</item>
/// </list>
/// </remarks>
[SuppressMessage("Design", "CA1001", Justification = "RunAsync is its life, and disposes in its finally.")]
internal sealed class Connection : WheelEntry
{
    /// <summary>How long a client has to finish the closing handshake that we began.</summary>
    public static readonly TimeSpan CloseTimeout = TimeSpan.FromSeconds(3);

    private readonly Transport _transport;
    private readonly ConnectionContext _context;
    private readonly TimingWheel _wheel;

    // Under the lock, which is the outbox.
    private readonly Outbox _outbox = new();
    private readonly Heartbeat _heartbeat;
    private TimeSpan _closeBy = Heartbeat.Never;
    private long _bytesIn;

    private readonly ConnectionWriter _writer;

    // Read state: the read loop's own.
    private readonly MessageReader _reader;
    private ReceiveBuffer _received = new();
    private ReplyBatch _replies;
    private int _strikesCleared;
    private long _messagesIn;
    private long _messagesOut;

    /// <summary>Set once, by <see cref="End"/>.</summary>
    private Disconnect? _end;

    /// <param name="id">Its number, unique in this process.</param>
    /// <param name="remote">The client, as this machine sees it.</param>
    /// <param name="transport">The bytes behind the 101 response. The connection owns it.</param>
    /// <param name="context">What all connections share.</param>
    /// <param name="phase">See <see cref="Heartbeat"/>.</param>
    /// <param name="wheel">It drives the heartbeat and the deadlines.</param>
    public Connection(long id, EndPoint remote, Transport transport, ConnectionContext context, double phase, TimingWheel wheel)
    {
        (Id, Remote, _transport, _context, _wheel) = (id, remote, transport, context, wheel);
        Opened = wheel.Now;
        _heartbeat = new Heartbeat(context.Timings, Opened, phase);
        _writer = new ConnectionWriter(this, transport, _outbox, _heartbeat, wheel, context.Log);
        _reader = new MessageReader(context.MaxMessage);
    }

    public long Id { get; }

    public EndPoint Remote { get; }

    /// <summary>When, as <see cref="TimingWheel.Now"/>.</summary>
    public TimeSpan Opened { get; }

    /// <summary>What it did so far.</summary>
    public ConnectionFigures Figures()
    {
        TimeSpan now = _wheel.Now;
        lock (_outbox)
        {
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
                SinceLastByte: now - _heartbeat.LastReceived,
                LastPongLate: _heartbeat.LastPongLate,
                CloseSent: _outbox.IsClosed);
        }
    }

    /// <summary>Lives the connection to its end. Does not throw: what goes wrong is the cause.</summary>
    public async Task<Disconnect> RunAsync()
    {
        try
        {
            _wheel.Schedule(this, _heartbeat.NextDue);
            bool open = true;
            while (open)
            {
                // A long payload is received straight into the message; everything else into the receive buffer.
                bool intoMessage = _received.Start == _received.End && _reader.FrameRemaining > Math.Max(_received.Array.Length, ReceiveBuffer.BurstSize);
                int count = await _transport.ReadAsync(
                    intoMessage ? _reader.PayloadTarget(_transport.UnreadBytes) : _received.Prepare(_reader.FrameRemaining > 0));
                open = await OnReceivedAsync(count, intoMessage);
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
            // The figures are final: a beat in progress sends and counts nothing more.
            _writer.Stop();
            await _transport.DisposeAsync();
            _reader.Dispose();
            _received.Dispose();
        }
        return _end!;
    }

    /// <summary>Begins the closing handshake: sends a Close frame; the client has until the caller's deadline, and then <see cref="Cut"/>.</summary>
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
#pragma warning disable CA1031 // Nor does it end the thread that beats for all the others.
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
            end = CloseOverdue(now) ?? WriteOverdue(now) ?? Judge(now, stall, out strikes);
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
        if (End(end) && end.Cause == DisconnectCause.PongTimeout)
            _writer.SendClose(CloseCode.InternalError, "pong timeout");
        _transport.Abort();
        return Heartbeat.Never;
    }

    /// <summary>The client had its time for the closing handshake that we began.</summary>
    private Disconnect? CloseOverdue(TimeSpan now) => now >= _closeBy ? _end : null;

    private Disconnect? WriteOverdue(TimeSpan now) => now < _outbox.WriteDue ? null : new Disconnect(
        DisconnectCause.SlowConsumer,
        $"did not take {ConnectionWriter.OutputLimit / 1024} KiB, or the rest of a reply, within {ConnectionWriter.WriteTimeout.TotalSeconds}s");

    /// <summary>Does what the heartbeat wants: a ping is owed, or a missing pong is a strike.</summary>
    /// <param name="now">The time.</param>
    /// <param name="stall">How late we are ourselves.</param>
    /// <param name="strikes">In a row, if there was one; else 0.</param>
    /// <returns>The end, after too many strikes.</returns>
    private Disconnect? Judge(TimeSpan now, TimeSpan stall, out int strikes)
    {
        strikes = 0;
        HeartbeatStep step;
        while (!_outbox.IsClosed && (step = _heartbeat.Advance(now, stall)) != HeartbeatStep.None)
        {
            if (step == HeartbeatStep.Ping)
            {
                _outbox.OwePing();
            }
            else if (CouldBeHeard())
            {
                strikes = _heartbeat.Strike();
                _context.Metrics.CountStrike();
                if (_heartbeat.IsDead)
                    return Disconnect.ByTimeout(strikes, _context.Timings.Timeout, _transport.Tcp);
            }
        }
        return null;
    }

    /// <summary>Whether silence means silence: not if we are not reading because the client does not, nor if its bytes wait in the kernel.</summary>
    private bool CouldBeHeard() => _outbox.WriteDue == Heartbeat.Never && _transport.UnreadBytes == 0;

    private TimeSpan NextDue()
    {
        TimeSpan due = _outbox.IsClosed ? Heartbeat.Never : _heartbeat.NextDue;
        due = _closeBy < due ? _closeBy : due;
        return _outbox.WriteDue < due ? _outbox.WriteDue : due;
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
                _context.Log.AliveAgain(Id, Remote, _strikesCleared);
            return true;
        }
        catch (WebSocketProtocolException violation)
        {
            End(Disconnect.ByViolation(violation));
            // The replies to what came before are still due.
            await FlushAsync();
            _writer.SendClose(violation.CloseCode, violation.Rule);
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
        await _writer.WriteAsync(inbound.Buffer.AsMemory(start, header + inbound.Count));
    }

    private ValueTask FlushAsync()
    {
        if (_replies.IsEmpty)
            return default;
        ReadOnlyMemory<byte> frames = _received.Array.AsMemory(_replies.Start, _replies.End - _replies.Start);
        _replies.Clear();
        return _writer.WriteAsync(frames);
    }

    /// <summary>
    /// After a violation nothing that comes can be trusted. If we closed the socket now, while the client still sends, the kernel would answer RST,
    /// which may destroy our Close frame on the client's side. So we half-close, and read on for a while.
    /// </summary>
    private async ValueTask DiscardAsync()
    {
        TimeSpan closeBy = _wheel.Now + CloseTimeout;
        lock (_outbox)
            _closeBy = closeBy;
        _wheel.Schedule(this, closeBy);
        await _writer.UntilIdleAsync();
        _transport.ShutdownSend();
        _received.Start = _received.End;
        while (true)
        {
            int count = await _transport.ReadAsync(_received.Array);
            if (count == 0)
                return;
            OnBytes(count);
        }
    }

    /// <summary>Sets the cause, unless there is one: the first counts.</summary>
    /// <returns>Whether it was the first.</returns>
    private bool End(Disconnect end) => Interlocked.CompareExchange(ref _end, end, null) is null;

    private void EndByBug(Exception bug)
    {
        End(ByBug(bug));
        _writer.SendClose(CloseCode.InternalError, "internal error");
    }

    /// <summary>A read found the end: because the client is gone, or because a write failed and closed the transport.</summary>
    private Disconnect ByNetwork() => (_writer.Failure, _transport.Error) switch
    {
        (IOException failure, _) => new Disconnect(DisconnectCause.ConnectionReset, $"write failed: {failure.Message}"),
        ({ } bug, _) => ByBug(bug),
        (_, SocketError.Success) => new Disconnect(DisconnectCause.ClientVanished, "FIN without a Close frame"),
        // Shutdown is EPIPE: a write after the reset.
        (_, SocketError.ConnectionReset or SocketError.Shutdown) => new Disconnect(DisconnectCause.ConnectionReset, "RST"),
        (_, var error) => new Disconnect(DisconnectCause.ConnectionReset, error.ToString()),
    };

    private static Disconnect ByBug(Exception bug) =>
        new(DisconnectCause.InternalError, $"sent Close {CloseCode.InternalError}: {bug.GetType().Name}", bug);
}
