using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;
using HeartbeatServer.Engine;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Connections;

/// <summary>
/// One WebSocket connection, from the 101 to its end: its heartbeat, its judgement, and the cause of its end. What happens to its messages is the
/// business of the derived class.
/// </summary>
/// <remarks>
/// Three parties work on a connection. The read loop (<see cref="RunAsync"/>) reads and answers. The timing wheel pings and judges
/// (<see cref="OnDue"/>). The drain closes. Invariants:
/// <list type="bullet">
/// <item>All of them write through the <see cref="ConnectionWriter"/>. The <see cref="Outbox"/> says who may write. It is also the lock of the
/// connection: it guards itself, the heartbeat and the figures.</item>
/// <item>An idle connection has one receive in progress and one entry in the wheel. It has nothing else.</item>
/// </list>
/// </remarks>
[SuppressMessage("Design", "CA1001", Justification = "RunAsync is its life, and disposes in its finally.")]
internal abstract class Connection : WheelEntry
{
    /// <summary>How long a client has to close a connection that the server regards as ended.</summary>
    public static readonly TimeSpan CloseTimeout = TimeSpan.FromSeconds(3);

    /// <summary>The first round trip of so many connections is logged: whoever tries the server sees that it pings.</summary>
    private const int FirstToTell = 3;

    // The lock guards these fields. The outbox is the lock.
    private readonly Outbox _outbox = new();
    private readonly Heartbeat _heartbeat;
    private readonly LivenessJudge _judge;
    private LateNews _news;
    private Deadline _endBy = new(Heartbeat.Never);
    private long _bytesIn;
    private bool _discards;
    private bool _isJudged = true;

    /// <summary>How many strikes the last receive has cleared, if nobody has told so yet. Only the read loop uses it.</summary>
    private int _strikesCleared;

    /// <summary>The bytes of the buffers out of which writes wait. They count in the budget of all connections.</summary>
    private int _unsent;

    /// <inheritdoc cref="MarkGivenUp"/>
    private volatile bool _givesUp;

    // End sets these once: the times describe that moment, whatever still comes or leaves after it.
    private Disconnect? _end;
    private Moments _ended;

    /// <param name="id">The number of the connection, unique in this process.</param>
    /// <param name="remote">The client's address as this machine sees it.</param>
    /// <param name="transport">The bytes after the 101 response, both ways. The connection owns the transport.</param>
    /// <param name="context">What all connections of the server share.</param>
    /// <param name="phase">0 to 1: which part of the ping period passes before the first ping, at least.</param>
    /// <param name="wheel">Drives the heartbeat and the deadlines.</param>
    protected Connection(long id, EndPoint remote, Transport transport, ConnectionContext context, double phase, TimingWheel wheel)
    {
        (Id, Remote, Transport, Context, Wheel) = (id, remote, transport, context, wheel);
        Opened = wheel.Now;
        _heartbeat = new Heartbeat(context.Timings, Opened, context.Timings.FirstPing(Opened, phase, wheel.Count));
        Writer = new ConnectionWriter(this, transport, _outbox, _heartbeat, wheel, context);
        _judge = new LivenessJudge(this, transport, _outbox, _heartbeat, Writer, context);
    }

    public long Id { get; }

    public EndPoint Remote { get; }

    /// <summary>Whether the other end of the TCP connection is a proxy. Then the kernel's figures describe the proxy and not the client.</summary>
    public bool IsBehindProxy { get; init; }

    /// <summary>How many subprotocols the client offered, if the server speaks none of them; else 0.</summary>
    public int OffersNotSpoken { get; init; }

    /// <summary>What the client said of itself.</summary>
    public ClientInfo Client { get; init; } = ClientInfo.Unknown;

    /// <summary>When the connection opened, on the clock of <see cref="TimingWheel.Now"/>.</summary>
    public TimeSpan Opened { get; }

    /// <summary>The bytes of the connection, both ways.</summary>
    protected Transport Transport { get; }

    /// <summary>Drives the heartbeat and the deadlines, and has the clock.</summary>
    protected TimingWheel Wheel { get; }

    /// <summary>What all connections of the server share.</summary>
    protected ConnectionContext Context { get; }

    /// <summary>Writes to the client. Every byte to the client leaves here.</summary>
    protected ConnectionWriter Writer { get; }

    /// <summary>
    /// Whether the read loop throws away what it reads. It does so once the cause of the end is known and the client has been told.
    /// </summary>
    protected bool Discards => Volatile.Read(ref _discards);

    /// <summary>Whether nothing may be sent to the client any more.</summary>
    protected bool IsClosed => _outbox.IsClosed;

    /// <summary>Whether a ping or the Close frame waits until it may leave.</summary>
    protected bool Owes
    {
        get
        {
            lock (_outbox)
                return _outbox.Owes;
        }
    }

    /// <summary>The number of the last ping that was written.</summary>
    protected ulong Pings => _heartbeat.Pings;

    /// <summary>How many whole data messages came from the client. Only the read loop changes it.</summary>
    protected long MessagesIn { get; set; }

    /// <summary>How many whole data messages went to the client. Only whoever writes them changes it.</summary>
    protected long MessagesOut { get; set; }

    /// <summary>How many bytes of memory the connection holds for a message that is not complete.</summary>
    protected virtual long MessageBytes => 0;

    /// <summary>What the connection has done so far. Once its end is decided, the times are those of that moment. Bytes and messages still count.</summary>
    public ConnectionFigures Figures()
    {
        lock (_outbox)
        {
            Moments last = _end is null ? Moment() : _ended;
            return new ConnectionFigures(
                Age: last.Now - Opened,
                Pings: _heartbeat.Pings,
                Pongs: _heartbeat.Pongs,
                Missed: _heartbeat.Missed,
                Late: _heartbeat.Late,
                Strikes: _heartbeat.Strikes,
                RoundTrips: _heartbeat.RoundTrips,
                BytesIn: _bytesIn,
                BytesOut: _outbox.BytesOut,
                MessagesIn: MessagesIn,
                MessagesOut: MessagesOut,
                SinceLastByte: last.Since(last.Received),
                SinceLastSent: last.Since(last.Sent),
                LastPongLate: _heartbeat.LastPongLate,
                CloseSent: _outbox.IsClosed,
                OtherPongs: _heartbeat.OtherPongs,
                OffersNotSpoken: OffersNotSpoken,
                IsBlocked: last.IsBlocked,
                Upstream: UpstreamFigures(last.Now));
        }
    }

    /// <summary>The leg to the application; null if the connection has none. The caller holds the lock.</summary>
    protected virtual UpstreamFigures? UpstreamFigures(TimeSpan now) => null;

    /// <summary>What the kernel knows of the leg to the application; null if there is none, or if it cannot be asked.</summary>
    public virtual TcpInfo? UpstreamTcp => null;

    /// <summary>Runs the connection to its end, and returns the cause. It does not throw: a failure becomes the cause.</summary>
    public async Task<Disconnect> RunAsync()
    {
        try
        {
            Wheel.Schedule(this, _heartbeat.NextDue);
            Begin();
            bool open = true;
            while (open)
                open = await OnReceivedAsync(await ReceiveAsync());
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
            Wheel.Remove(this);
            // From here on the figures are final: a beat in progress sends and counts nothing more.
            Writer.Stop();
            if (_heartbeat.Strikes > 0)
                Context.Metrics.Suspects.Remove(Id, isBack: false, Wheel.Now);
            await Transport.DisposeAsync();
            Release();
        }
        return _end!;
    }

    /// <summary>What the connection holds now of the memory that all connections may hold together.</summary>
    public virtual HeldBuffers HeldBuffers()
    {
        lock (_outbox)
        {
            bool isUnsent = _outbox.IsWaiting;
            TimeSpan since = isUnsent ? Writer.Progress!.LastMove : _heartbeat.LastReceived;
            return new HeldBuffers(MessageBytes + _unsent, isUnsent, since, _givesUp);
        }
    }

    /// <summary>Says that <see cref="GiveUpBuffers"/> follows: what the connection holds is as good as free.</summary>
    public void MarkGivenUp() => _givesUp = true;

    /// <summary>Ends the connection, and frees what it holds at once. Any thread may call this.</summary>
    public virtual void GiveUpBuffers(Disconnect end)
    {
        bool isUnsent;
        lock (_outbox)
            isUnsent = _outbox.IsWaiting;
        End(end);
        ExpectEnd();
        // A write in progress holds the memory until its end. The client does not read, so it would not see a Close frame either.
        if (isUnsent)
            Transport.Abort();
        else
            Transport.CancelRead();
    }

    /// <summary>
    /// Begins the closing handshake by sending a Close frame. The caller sets a deadline for the client's answer, and calls <see cref="Cut"/>
    /// after it.
    /// </summary>
    public virtual void Close(Disconnect end, ushort code, string reason)
    {
        if (End(end))
            Writer.SendClose(code, reason);
    }

    /// <summary>Ends the connection at once.</summary>
    public virtual void Cut(Disconnect end)
    {
        End(end);
        Transport.Abort();
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
            Transport.Abort();
            return Heartbeat.Never;
        }
    }

    private TimeSpan Beat(TimeSpan now, TimeSpan stall)
    {
        int strikes = 0;
        var next = Outgoing.None;
        TimeSpan due, silence;
        Disconnect? end;
        bool isNews;
        lock (_outbox)
        {
            end = EndOverdue(now, stall) ?? (_isJudged ? _judge.Check(now, stall, out strikes) : null);
            isNews = strikes > 0 && _news.OnStrike(_heartbeat.Pings, strikes);
            if (end is null)
                next = Writer.TakeOwed();
            due = NextDue();
            silence = now - _heartbeat.LastReceived;
        }
        if (isNews)
            Context.Log.Suspect(Id, Remote, strikes, Context.Timings.MaxMissed, Context.Timings.Timeout, silence);
        if (end is null)
        {
            _ = Writer.SendOwedAsync(next);
            return due;
        }
        return Condemn(end, now);
    }

    /// <summary>Ends a connection that is judged dead, or that its peers have not closed in time.</summary>
    /// <returns>When the wheel is to call again.</returns>
    protected virtual TimeSpan Condemn(Disconnect end, TimeSpan now)
    {
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

    /// <summary>Begins what goes on beside the read loop.</summary>
    protected virtual void Begin() { }

    /// <summary>Waits for bytes of the client.</summary>
    protected abstract ValueTask<int> ReceiveAsync();

    /// <summary>Reads and serves what came.</summary>
    /// <param name="count">What <see cref="ReceiveAsync"/> returned.</param>
    /// <returns>Whether the connection goes on. If it does not, <see cref="End"/> has set the cause.</returns>
    protected abstract ValueTask<bool> OnReceivedAsync(int count);

    /// <summary>Gives the memory back. The transport is closed, and nobody reads or writes any more.</summary>
    protected abstract void Release();

    /// <summary>Lets the wheel call at this time, which <see cref="NextDue"/> knows already.</summary>
    protected void Schedule(TimeSpan due)
    {
        lock (_outbox)
            Wheel.Schedule(this, due);
    }

    /// <summary>When the wheel is to call next. The caller holds the lock.</summary>
    protected virtual TimeSpan NextDue()
    {
        TimeSpan due = _outbox.IsClosed || !_isJudged ? Heartbeat.Never : _heartbeat.NextDue;
        due = _endBy.Due < due ? _endBy.Due : due;
        return _isJudged && _outbox.LookDue < due ? _outbox.LookDue : due;
    }

    /// <summary>Stops the pings and the judgement: the client has said that it is about to leave, and need not answer any more.</summary>
    protected void StopJudging()
    {
        lock (_outbox)
            _isJudged = false;
    }

    /// <summary>Counts bytes that came from the client. They are a sign of life.</summary>
    /// <returns>The present time.</returns>
    protected TimeSpan OnBytes(int count)
    {
        TimeSpan now = Wheel.Now;
        lock (_outbox)
        {
            _bytesIn += count;
            _strikesCleared = _heartbeat.BytesReceived(now);
            if (_strikesCleared > 0)
                Context.Metrics.Suspects.Remove(Id, isBack: true, now);
        }
        return now;
    }

    /// <summary>Notes a pong of the client. The bytes of the pong have been counted.</summary>
    protected void OnPong(ReadOnlySpan<byte> payload)
    {
        TimeSpan? roundTrip;
        bool isLate;
        bool isNews = false;
        bool isFirst = false;
        lock (_outbox)
        {
            TimeSpan now = _heartbeat.LastReceived;
            roundTrip = _heartbeat.PongReceived(payload, now, Wheel.StallAt(now), out isLate);
            if (roundTrip is { } trip)
            {
                isNews = isLate ? _news.OnLatePong(_heartbeat.Pings, trip) : _news.OnPongInTime(_heartbeat.Pings);
                isFirst = _heartbeat.Pongs == 1;
                // The deadline is void. Under the lock nobody else can make the connection due earlier meanwhile.
                Wheel.Postpone(this, NextDue());
            }
        }
        if (roundTrip is { } time)
            Context.Metrics.CountRoundTrip(time);
        if (isLate)
            Context.Metrics.CountLatePong();
        TellPong(roundTrip, isLate, isNews, isFirst);
    }

    private void TellPong(TimeSpan? roundTrip, bool isLate, bool isNews, bool isFirst)
    {
        if (isNews && isLate)
        {
            Context.Log.LatePong(Id, Remote, roundTrip!.Value, _strikesCleared);
            _strikesCleared = 0;
        }
        else if (isNews)
        {
            Context.Log.InTimeAgain(Id, Remote, roundTrip!.Value);
        }
        else if (isFirst && Id <= FirstToTell)
        {
            Context.Log.FirstPong(Id, Remote, roundTrip!.Value);
        }
        else if (Context.Log.IsDebug)
        {
            Context.Log.PongReceived(Id, roundTrip);
        }
    }

    /// <summary>Logs that a suspect client is alive, unless a late pong has told so already.</summary>
    protected void TellRecovery()
    {
        if (_strikesCleared == 0)
            return;
        bool isNews;
        lock (_outbox)
            isNews = _news.OnSignOfLife();
        if (isNews)
            Context.Log.AliveAgain(Id, Remote, _strikesCleared);
    }

    /// <summary>
    /// Tells the client the cause of the end with a Close frame and FIN. From then on the read loop throws away what the client still sends,
    /// until the client's own FIN comes or <see cref="CloseTimeout"/> is over.
    /// </summary>
    protected void SayGoodbye(ushort code, string reason)
    {
        Volatile.Write(ref _discards, true);
        ExpectEnd();
        Writer.SendClose(code, reason, endsWithFin: true);
    }

    /// <summary>Waits for a write out of a buffer, whose bytes count in the budget of all connections meanwhile.</summary>
    protected async ValueTask HoldAsync(ValueTask write, int bytes)
    {
        Interlocked.Add(ref _unsent, bytes);
        Context.Buffers.Add(bytes);
        try
        {
            await write;
        }
        finally
        {
            Interlocked.Add(ref _unsent, -bytes);
            Context.Buffers.Release(bytes);
        }
    }

    /// <summary>Regards the connection as ended. The client has <see cref="CloseTimeout"/> to close it, too.</summary>
    public void ExpectEnd()
    {
        TimeSpan due = Wheel.Now + CloseTimeout;
        lock (_outbox)
        {
            if (_endBy.Due != Heartbeat.Never)
                return;
            _endBy = new Deadline(due);
        }
        Wheel.Schedule(this, due);
    }

    /// <summary>Sets the cause of the end, if there is none yet.</summary>
    /// <returns>Whether this was the first cause. Later causes do not count.</returns>
    protected bool End(Disconnect end)
    {
        lock (_outbox)
        {
            if (_end is not null)
                return false;
            (_end, _ended) = (end, Moment());
            OnEnd(_ended.Now);
            return true;
        }
    }

    /// <summary>Called once, when the end is decided. The caller holds the lock.</summary>
    protected virtual void OnEnd(TimeSpan now) { }

    /// <inheritdoc cref="ConnectionFigures.IsBlocked"/>
    protected virtual bool IsBlocked => Writer.IsBlocked;

    /// <summary>The caller holds the lock.</summary>
    private Moments Moment() => new(Wheel.Now, _heartbeat.LastReceived, Writer.LastSent, IsBlocked);

    /// <summary>Sets a bug in the server as the cause of the end, and says goodbye.</summary>
    protected void EndByBug(Exception bug)
    {
        End(ByBug(bug));
        Writer.SendClose(CloseCode.InternalError, "internal error");
    }

    /// <summary>Makes the cause of an end that a read has found or a failed write has brought about.</summary>
    protected Disconnect ByNetwork() => (Writer.Failure, Transport.Error) switch
    {
        ({ } bug and not IOException, _) => ByBug(bug),
        // The kernel has given up after its last retransmission or probe.
        (_, SocketError.TimedOut) => Disconnect.ByDeadPath(Wheel.Now - _heartbeat.LastReceived, null, IsBehindProxy),
        // The framework reports EPIPE, which is a write after the reset, as Shutdown.
        (_, SocketError.ConnectionReset or SocketError.Shutdown) => new Disconnect(DisconnectCause.ConnectionReset, "RST"),
        ({ } failure, SocketError.Success) => new Disconnect(DisconnectCause.ConnectionReset, $"write failed: {failure.Message}"),
        (_, SocketError.Success) => new Disconnect(DisconnectCause.ClientVanished, "FIN without a Close frame"),
        (_, var error) => new Disconnect(DisconnectCause.ConnectionReset, error.ToString()),
    };

    private static Disconnect ByBug(Exception bug) =>
        new(DisconnectCause.InternalError, $"sent Close {CloseCode.InternalError}: {bug.GetType().Name}", bug);
}
