using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;
using HeartbeatServer.Engine;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Connections;

/// <summary>One WebSocket connection, from the 101 to its end.</summary>
/// <remarks>
/// Two parties work on it: the read loop (<see cref="RunAsync"/>), which also answers, and the timing wheel, which pings and judges
/// (<see cref="OnDue"/>). Invariants:
/// <list type="bullet">
/// <item>Both write through the <see cref="FrameSender"/>. The lock on the heartbeat guards what they share: it, the write state, the figures.</item>
/// <item>The read loop waits for its own writes before it reads on, so a client that does not read is not read from.</item>
/// <item>An idle connection has one receive in progress, into its own small buffer (or that of the last burst), and one entry in the wheel; nothing else.</item>
/// </list>
/// </remarks>
[SuppressMessage("Design", "CA1001", Justification = "RunAsync is its life, and disposes in its finally.")]
internal sealed class Connection : WheelEntry
{
    /// <summary>How long a client has to finish the closing handshake that we began.</summary>
    public static readonly TimeSpan CloseTimeout = TimeSpan.FromSeconds(3);

    private readonly Stream _stream;
    private readonly ConnectionOptions _options;
    private readonly TimingWheel _wheel;
    private readonly ServerLog _log;
    private readonly ServerMetrics _metrics;
    private readonly Heartbeat _heartbeat;
    private readonly MessageReader _reader;
    private readonly FrameSender _sender;

    // Read state: the read loop's own.
    private ReceiveBuffer _received = new();
    private ReplyBatch _replies;
    private int _strikesCleared;
    private long _bytesIn;
    private long _messagesIn;
    private long _messagesOut;

    // Close state. The end is set once.
    private Disconnect? _end;
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
        Opened = wheel.Now;
        _heartbeat = new Heartbeat(options.Timings, Opened, phase);
        _reader = new MessageReader(options.MaxMessage);
        _sender = new FrameSender(this, stream, _heartbeat, wheel);
    }

    public long Id { get; }

    public EndPoint Remote { get; }

    /// <summary>When, as <see cref="TimingWheel.Now"/>.</summary>
    public TimeSpan Opened { get; }

    /// <summary>What it did so far.</summary>
    public ConnectionFigures Figures()
    {
        TimeSpan now = _wheel.Now;
        lock (_heartbeat)
        {
            return new ConnectionFigures(
                now - Opened,
                _heartbeat.Pings,
                _heartbeat.Pongs,
                _heartbeat.Missed,
                _heartbeat.Late,
                _heartbeat.Strikes,
                _heartbeat.RoundTrips,
                _bytesIn,
                _sender.BytesOut,
                _messagesIn,
                _messagesOut,
                now - _heartbeat.LastReceived,
                _heartbeat.LastPongLate,
                _sender.CloseSent);
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
                int count = await _stream.ReadAsync(intoMessage ? _reader.PayloadTarget(UnreadBytes) : _received.Prepare(_reader.FrameRemaining > 0));
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
            _sender.Finish();
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
            _sender.Close(FrameWriter.Close(code, reason));
    }

    /// <summary>A ping left later than on its beat, behind a write that was in progress: it is to be judged before the next.</summary>
    public void OnLatePing(ulong number, TimeSpan due)
    {
        _wheel.Schedule(this, due);
        if (_log.IsDebug)
            _log.PingSent(Id, number);
    }

    /// <summary>A control frame could not be written.</summary>
    public void OnWriteFailed(Exception error)
    {
        if (error is IOException)
            End(new Disconnect(DisconnectCause.ConnectionReset, $"write failed: {error.Message}"));
        else
            EndByBug(error);
        Abort();
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
        bool ping = false;
        lock (_heartbeat)
        {
            if (now >= _closeBy)
            {
                cut = _end;
            }
            else if (now >= _sender.WriteDue)
            {
                cut = new Disconnect(
                    DisconnectCause.SlowConsumer,
                    $"did not take {FrameSender.OutputLimit / 1024} KiB, or the rest of a reply, within {FrameSender.WriteTimeout.TotalSeconds}s");
            }
            else if (!_sender.CloseSent)
            {
                HeartbeatStep step;
                while (cut is null && (step = _heartbeat.Advance(now, stall)) != HeartbeatStep.None)
                {
                    if (step == HeartbeatStep.Ping)
                    {
                        ping = true;
                    }
                    else if (!CouldBeHeard())
                    {
                        // Its bytes wait for us, not we for them.
                    }
                    else
                    {
                        strikes = _heartbeat.Strike();
                        _metrics.CountStrike();
                        if (_heartbeat.IsDead)
                            cut = Disconnect.ByTimeout(strikes, _options.Timings.Timeout, (_stream as SocketTransport)?.Tcp);
                    }
                }
            }
        }

        // Not under the lock: see FrameSender.
        if (ping && _sender.TryPing() && _log.IsDebug)
            _log.PingSent(Id, _heartbeat.Pings);
        if (strikes > 0)
            _log.Suspect(Id, Remote, strikes, _options.Timings.MaxMissed, _options.Timings.Timeout, now - _heartbeat.LastReceived);
        if (cut is null)
        {
            lock (_heartbeat)
                return Earliest(_sender.CloseSent ? Heartbeat.Never : _heartbeat.NextDue, _closeBy, _sender.WriteDue);
        }

        if (cut.Cause == DisconnectCause.PongTimeout && End(cut))
            _sender.Close(FrameWriter.Close(CloseCode.InternalError, "pong timeout"));
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
            _sender.Close(FrameWriter.Close(violation.CloseCode, violation.Rule));
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
                _sender.Close(FrameWriter.Close(code));
                await _sender.ControlSentAsync();
                return false;

            default:
                _messagesIn++;
                if (_options.Echo && !_sender.CloseSent)
                {
                    _messagesOut++;
                    await ReplyAsync(inbound, inbound.Opcode);
                }
                return true;
        }
    }

    private void OnBytes(int count)
    {
        lock (_heartbeat)
        {
            _bytesIn += count;
            _strikesCleared = _heartbeat.BytesReceived(_wheel.Now);
        }
    }

    private void OnPong(ReadOnlySpan<byte> payload)
    {
        TimeSpan? roundTrip;
        bool isLate;
        lock (_heartbeat)
        {
            TimeSpan now = _heartbeat.LastReceived;
            roundTrip = _heartbeat.PongReceived(payload, now, _wheel.StallAt(now), out isLate);
        }
        if (roundTrip is { } time)
            _metrics.CountRoundTrip(time);
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
        await _sender.WriteAsync(inbound.Buffer.AsMemory(start, header + inbound.Count));
    }

    private ValueTask FlushAsync()
    {
        if (_replies.IsEmpty)
            return default;
        ReadOnlyMemory<byte> frames = _received.Array.AsMemory(_replies.Start, _replies.End - _replies.Start);
        _replies.Clear();
        return _sender.WriteAsync(frames);
    }

    /// <summary>
    /// After a violation nothing that comes can be trusted. Closing the socket now, while the client still sends, would make the kernel
    /// answer RST, which may destroy our Close frame on the client's side: so half-close, and read on for a while.
    /// </summary>
    private async ValueTask DiscardAsync()
    {
        lock (_heartbeat)
            _closeBy = _wheel.Now + CloseTimeout;
        _wheel.Schedule(this, _closeBy);
        await _sender.ControlSentAsync();
        (_stream as SocketTransport)?.ShutdownSend();
        _received.Start = _received.End;
        while (true)
        {
            int count = await _stream.ReadAsync(_received.Array);
            if (count == 0)
                return;
            OnBytes(count);
        }
    }

    private void EndByBug(Exception bug)
    {
        End(new Disconnect(DisconnectCause.InternalError, $"sent Close {CloseCode.InternalError}: {bug.GetType().Name}", bug));
        try
        {
            _sender.Close(FrameWriter.Close(CloseCode.InternalError, "internal error"));
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
        if (_stream is SocketTransport socket)
            socket.Abort();
        else
            _stream.Dispose();
    }

    private Disconnect ByNetwork()
    {
        // A ping that is being sent at this moment may be told of the reset instead of us.
        _sender.LetCallReturn();
        return (_stream as SocketTransport)?.Error switch
        {
            null or SocketError.Success => new Disconnect(DisconnectCause.ClientVanished, "FIN without a Close frame"),
            // Shutdown is EPIPE: a write after the reset.
            SocketError.ConnectionReset or SocketError.Shutdown => new Disconnect(DisconnectCause.ConnectionReset, "RST"),
            { } error => new Disconnect(DisconnectCause.ConnectionReset, error.ToString()),
        };
    }

    /// <summary>Whether silence means silence: not if we are not reading because the client does not, nor if its bytes wait in the kernel.</summary>
    private bool CouldBeHeard() => _sender.WriteDue == Heartbeat.Never && UnreadBytes == 0;

    /// <summary>Bytes that wait in the kernel, as far as it can be asked.</summary>
    private int UnreadBytes => (_stream as SocketTransport)?.UnreadBytes ?? 0;

    private static TimeSpan Earliest(TimeSpan a, TimeSpan b, TimeSpan c) => a < b ? a < c ? a : c : b < c ? b : c;
}
