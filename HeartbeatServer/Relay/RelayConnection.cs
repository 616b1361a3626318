using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;
using System.Runtime.Versioning;
using HeartbeatServer.Connections;
using HeartbeatServer.Engine;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Relay;

/// <summary>
/// A connection whose frames go to an application and come from it. The client is pinged and judged as in any other connection. The frames pass as
/// they are, and so does the end: the relay invents no Close frame.
/// </summary>
/// <remarks>
/// Two pumps pass the frames on: the read loop those of the client (up), a second loop those of the application (down). Each waits for its write before
/// it receives again, so a side that does not read stops the other side, and nothing is queued. Both sockets belong to one event loop.
/// <code>
///   first event                          the other side gets                        then
///   a Close frame                        that Close                                 its answer passes, and the client gets FIN
///   FIN                                  FIN, behind all that came before           the other direction goes on for up to 10 s
///   RST                                  RST if nothing is unsent, else FIN         the rest of the other direction is dropped
///   FIN or RST of a client that is not   the same, behind all that came before      the application has 10 s for each piece
///   read, because the application is slow
///   the client is dead or takes nothing  application: FIN; client: RST
///   the client breaks a rule             application: FIN; client: Close, FIN
///   the application breaks a rule        both: FIN
///   the application's host is dead       client: FIN
///   drain                                client: Close 1001 between two frames      its answer goes no further; application: FIN
/// </code>
/// When nothing passes any more, whichever way, both legs are closed after 3 s; after 10 s, if a side has not taken yet what came for it before. Of a side whose
/// bytes go no further <see cref="Inflow.MostIgnored"/> bytes are read, and no more. The connection is over when both pumps are.
/// </remarks>
[SupportedOSPlatform("linux")]
[SuppressMessage("Design", "CA1001", Justification = "Release disposes: the base class calls it at the end of its life.")]
internal sealed class RelayConnection : Connection
{
    /// <summary>How many receives in a row a peer may have. Then others have their turn.</summary>
    private const int ReadsInTurn = 4;

    private readonly EpollTransport _client;
    private readonly UpstreamLeg _application;
    private Inflow _fromClient;
    private Inflow _fromApplication;
    private EarlyBytes? _early;
    private Task _down = Task.CompletedTask;
    private readonly RelayEnd _relayEnd;
    private bool _clientIsGone;

    /// <summary>The client's end, if it has come while nobody reads from the client; else null. It counts unless what is unread explains it better.</summary>
    private Disconnect? _clientLeft;

    /// <summary>The leg to the application when the end was decided; null before.</summary>
    private UpstreamFigures? _legAtEnd;

    /// <param name="id">The number of the connection, unique in this process.</param>
    /// <param name="remote">The client's address as this machine sees it.</param>
    /// <param name="client">The bytes after the 101 response. The connection owns the transport.</param>
    /// <param name="upgrade">The leg to the application, and what the two sides have agreed on.</param>
    /// <param name="context">What all connections of the server share.</param>
    /// <param name="random">Gives the phase of the pings, and their mark.</param>
    /// <param name="wheel">Drives the heartbeat and the deadlines.</param>
    public RelayConnection(
        long id, EndPoint remote, EpollTransport client, RelayedUpgrade upgrade, ConnectionContext context, Random random, TimingWheel wheel)
        : base(id, remote, client, context, random.NextDouble(), wheel)
    {
        (_client, _application, _early) = (client, upgrade.Leg, upgrade.Early);
        _fromClient = new(new FrameScanner(Sender.Client, upgrade.HasDeflate, context.MaxMessage == 0 ? long.MaxValue : context.MaxMessage));
        _fromApplication = new(new FrameScanner(Sender.Server, upgrade.HasDeflate, long.MaxValue));
        _relayEnd = new RelayEnd(client, _application, Writer, wheel, Schedule);
        (_client.IsEmptied, _application.Transport.IsEmptied) = (true, true);
        // Four bytes at random and four that count: the application's own pings hardly look like that.
        Writer.PingMark = (ulong)random.NextInt64(1, uint.MaxValue) << 32;
    }

    public override TcpInfo? UpstreamTcp => _application.Transport.Tcp;

    /// <inheritdoc/>
    /// <remarks>All that a relay holds is on its way to a side that does not read.</remarks>
    public override HeldBuffers HeldBuffers() => base.HeldBuffers() with { IsUnsent = true };

    public override void GiveUpBuffers(Disconnect end) => Cut(end);

    /// <inheritdoc/>
    /// <remarks>The Close frame has to wait while a frame of the application passes. It does not wait for ever.</remarks>
    public override void Close(Disconnect end, ushort code, string reason)
    {
        if (!End(_clientLeft ?? end))
            return;
        Writer.SendClose(code, reason);
        _relayEnd.ExpectGoodbye();
    }

    public override void Cut(Disconnect end)
    {
        base.Cut(end);
        _application.Dispose();
    }

    protected internal override TimeSpan OnDue(TimeSpan now, TimeSpan stall)
    {
        if (_relayEnd.Check(now, stall))
        {
            if (_clientLeft is not null)
                End(_clientLeft);
            _relayEnd.Close();
        }
        if (_application.Look(now) is { } silence)
            OnApplicationDead(silence);
        return base.OnDue(now, stall);
    }

    protected override TimeSpan NextDue() => Min(base.NextDue(), Min(_relayEnd.Due, _application.LookDue));

    protected override void Begin() => _down = PumpDownAsync();

    protected override ValueTask<int> ReceiveAsync() =>
        _early is not null ? new(0) : _fromClient.IsOver ? _client.WaitEndAsync() : _client.WaitReadableAsync(_fromClient.IsBusy);

    protected override async ValueTask<bool> OnReceivedAsync(int count)
    {
        if (_early is { } early)
        {
            if (early.FromClient.Length > 0)
            {
                early.FromClient.CopyTo(_fromClient.Bytes.Take());
                await PassUpAsync(early.FromClient.Length);
            }
            _early = null;
            return true;
        }
        if (_fromClient.IsOver)
        {
            await OnClientEndAsync();
            return false;
        }
        for (int turn = 0; turn < ReadsInTurn; turn++)
        {
            int received = _fromClient.Receive(_client);
            if (received > 0)
                await PassUpAsync(received);
            if (received == 0)
            {
                await OnClientEndAsync();
                return false;
            }
            if (!_fromClient.IsBusy || _fromClient.IsOver)
                break;
        }
        return true;
    }

    /// <returns>Whether the application may send more.</returns>
    private async ValueTask<bool> ReceiveDownAsync()
    {
        for (int turn = 0; turn < ReadsInTurn; turn++)
        {
            int received = _fromApplication.Receive(_application.Transport);
            if (received > 0)
                await PassDownAsync(received);
            if (received == 0)
                return false;
            if (!_fromApplication.IsBusy || _fromApplication.IsOver)
                break;
        }
        return true;
    }

    private async Task PumpDownAsync()
    {
        try
        {
            if (_early is { FromApplication.Length: > 0 } early)
            {
                early.FromApplication.CopyTo(_fromApplication.Bytes.Take());
                await PassDownAsync(early.FromApplication.Length);
            }
            bool isOpen = true;
            while (isOpen)
            {
                await _application.Transport.WaitReadableAsync(_fromApplication.IsBusy);
                isOpen = await ReceiveDownAsync() && !_fromApplication.IsOver;
            }
            if (_fromApplication.IsOver)
                await _application.Transport.WaitEndAsync();
            await OnApplicationEndAsync();
        }
        catch (IOException e)
        {
            Cut(new Disconnect(DisconnectCause.UpstreamReset, e.Message)); // the kernel has no room to watch the socket
        }
#pragma warning disable CA1031 // A bug in the server ends this connection, and not the process.
        catch (Exception e)
#pragma warning restore CA1031
        {
            EndByBug(e);
            _relayEnd.EndBoth();
        }
    }

    /// <summary>Passes on to the application what the client has sent, without our own pongs.</summary>
    /// <param name="count">How many bytes were received into the buffer.</param>
    private async ValueTask PassUpAsync(int count)
    {
        TimeSpan now = OnBytes(count);
        _fromClient.Bytes.Received(count);
        if (Discards || _application.IsEnded || _relayEnd.ClientHasClosed)
        {
            _fromClient.Ignore(count);
            _relayEnd.Settle();
            return;
        }
        byte[] bytes = _fromClient.Bytes.Array;
        Passage passage = ScanUp(bytes);
        ValueTask write = _application.WriteAsync(bytes.AsMemory(0, passage.Count), now);
        if (_application.ExpectLook(now))
            Schedule(_application.LookDue);
        _fromClient.IsSlow = !write.IsCompleted;
        if (_fromClient.IsSlow)
        {
            // Nobody reads from the client meanwhile, and its end has to be seen nevertheless. Of the client's early bytes the application takes all at once.
            if (_early is null)
                _client.WhenEnded(OnClientLeaves);
            await HoldAsync(write, bytes.Length);
        }
        _relayEnd.Extend();

        if (passage.Violation is { } violation)
        {
            _relayEnd.EndUp();
            if (End(Disconnect.ByViolation(violation)))
                SayGoodbye(violation.CloseCode, violation.Rule);
            else
                _relayEnd.EndDown();
        }
        else if (passage.HasClose)
        {
            OnCloseFromClient();
        }
        _relayEnd.Settle();
        _fromClient.Bytes.Return();
        TellRecovery();
    }

    /// <summary>
    /// Reads the frames of the client. All goes on to the application but the pongs to our pings, and but the answer to a Close frame of ours.
    /// </summary>
    private Passage ScanUp(byte[] bytes)
    {
        Span<byte> room = stackalloc byte[FrameHeader.MaxControlPayload];
        var frames = new PassingFrames(bytes.AsSpan(0, _fromClient.Bytes.End), ref _fromClient.Frames);
        while (frames.TryNext(out ControlFrame control))
        {
            bool isOurs = false;
            switch (control.Opcode)
            {
                case Opcode.Pong:
                    ReadOnlySpan<byte> payload = control.Payload(bytes, room);
                    isOurs = TryAbsorb(payload);
                    if (!isOurs)
                        Writer.ForeignPongPasses(payload);
                    break;
                case Opcode.Close:
                    isOurs = Writer.HasSentClose;
                    ReadOnlySpan<byte> body = control.Payload(bytes, room);
                    End(Disconnect.ByClient(CloseBody.Code(body), CloseBody.Reason(body)));
                    break;
            }
            if (isOurs)
                frames.TakeOut(control);
        }
        Passage passage = frames.End();
        _fromClient.Bytes.Start = passage.Unread;
        MessagesIn = _fromClient.Frames.Messages;
        return passage;
    }

    /// <summary>Takes a pong to one of our pings, also a late or a repeated one.</summary>
    /// <returns>False if the pong is not ours: it goes on.</returns>
    private bool TryAbsorb(ReadOnlySpan<byte> payload)
    {
        if (payload.Length != sizeof(ulong))
            return false;
        ulong number = BinaryPrimitives.ReadUInt64BigEndian(payload) - Writer.PingMark;
        if (number == 0 || number > Pings)
            return false;
        Span<byte> unmarked = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64BigEndian(unmarked, number);
        OnPong(unmarked);
        return true;
    }

    /// <summary>Passes on to the client what the application has sent. A ping of ours that is owed leaves between two frames.</summary>
    /// <inheritdoc cref="PassUpAsync"/>
    private async ValueTask PassDownAsync(int count)
    {
        _application.OnBytes(count, Wheel.Now);
        _fromApplication.Bytes.Received(count);
        if (IsClosed)
        {
            _fromApplication.Ignore(count);
            _relayEnd.Settle();
            return;
        }
        byte[] bytes = _fromApplication.Bytes.Array;
        Passage passage = ScanDown(bytes);
        Ending ending = passage.HasClose ? Ending.Close : _fromApplication.Frames.IsBetweenFrames ? Ending.Frame : Ending.InsideFrame;
        ValueTask write = passage.Count == 0 ? default
            : ending == Ending.InsideFrame && passage.Boundary > 0 && Owes ? WriteInTwoAsync(bytes, passage.Boundary, passage.Count)
            : Writer.WriteAsync(bytes.AsMemory(0, passage.Count), ending);
        _fromApplication.IsSlow = !write.IsCompleted;
        if (_fromApplication.IsSlow)
            await HoldAsync(write, bytes.Length);
        _relayEnd.Extend();

        if (passage.Violation is { } violation)
        {
            End(Disconnect.ByUpstreamViolation(violation));
            _relayEnd.EndUp();
            _relayEnd.EndDown();
        }
        else if (passage.HasClose)
        {
            _relayEnd.PassClose(isFromClient: false);
        }
        _relayEnd.Settle();
        _fromApplication.Bytes.Return();
    }

    private Passage ScanDown(byte[] bytes)
    {
        Span<byte> room = stackalloc byte[FrameHeader.MaxControlPayload];
        var frames = new PassingFrames(bytes.AsSpan(0, _fromApplication.Bytes.End), ref _fromApplication.Frames);
        while (frames.TryNext(out ControlFrame control))
        {
            switch (control.Opcode)
            {
                case Opcode.Ping:
                    Context.Metrics.CountForeignPing();
                    Writer.ForeignPingPasses(control.Payload(bytes, room));
                    break;
                case Opcode.Close:
                    ReadOnlySpan<byte> body = control.Payload(bytes, room);
                    End(Disconnect.ByUpstream(CloseBody.Code(body), CloseBody.Reason(body)));
                    break;
            }
        }
        Passage passage = frames.End();
        _fromApplication.Bytes.Start = passage.Unread;
        MessagesOut = _fromApplication.Frames.Messages;
        return passage;
    }

    private async ValueTask WriteInTwoAsync(byte[] bytes, int boundary, int end)
    {
        await Writer.WriteAsync(bytes.AsMemory(0, boundary));
        await Writer.WriteAsync(bytes.AsMemory(boundary, end - boundary), Ending.InsideFrame);
    }

    private void OnCloseFromClient()
    {
        // The answer to a Close frame of ours goes no further.
        if (Writer.HasSentClose)
        {
            _relayEnd.EndBoth();
            return;
        }
        StopJudging();
        _relayEnd.PassClose(isFromClient: true);
    }

    /// <summary>
    /// The client's FIN or RST has come while its bytes wait for the application. What it has sent still goes on, as long as the application takes some of it.
    /// </summary>
    private void OnClientLeaves()
    {
        if (!_application.IsWaiting)
            return; // the pump reads again, and finds the end by itself
        _client.LearnEnd();
        Disconnect end = ByNetwork();
        string how = _client.Error == SocketError.Success ? "FIN" : end.Detail;
        _clientLeft = end.Verdict is null ? end with { Detail = $"{how} behind bytes that the application did not take" } : end;
        StopJudging();
        if (_client.Error != SocketError.Success)
            Writer.Stop();
        _relayEnd.AllowTimeToRead();
    }

    /// <summary>The client's FIN or RST has come, or the relay has closed the client's leg.</summary>
    private async ValueTask OnClientEndAsync()
    {
        bool isReset = Transport.Error != SocketError.Success;
        _clientIsGone = true;
        End(ByNetwork());
        StopJudging();
        if (isReset)
            Writer.Stop();
        if (!_relayEnd.HaveBothClosed)
            _relayEnd.EndUp(isReset && !_relayEnd.ClientHasClosed);
        await _down;
    }

    /// <summary>The application's FIN or RST has come, or the relay has closed its leg.</summary>
    private async ValueTask OnApplicationEndAsync()
    {
        Disconnect end = UpstreamLeg.ByNetwork(_application.Transport.Error);
        End(_clientLeft ?? end);
        if (end.Cause != DisconnectCause.UpstreamVanished)
            _application.Drop();
        _relayEnd.AllowTime();
        // A ping of ours may still be leaving.
        await Writer.UntilIdleAsync();
        _relayEnd.EndDown(isReset: end.Cause == DisconnectCause.UpstreamReset && !_relayEnd.ApplicationHasClosed);
        if (_relayEnd.HaveBothClosed || _clientIsGone)
            _application.Dispose();
    }

    private void OnApplicationDead(TimeSpan silence)
    {
        End(_clientLeft ?? new Disconnect(
            DisconnectCause.UpstreamDead,
            $"the kernel of the application's host has acknowledged nothing for {silence.TotalSeconds:0.0}s, though our bytes or probes wait for an answer"));
        _relayEnd.EndDown();
        _application.Abort();
    }

    protected override TimeSpan Condemn(Disconnect end, TimeSpan now)
    {
        // A write has failed because the client has left. What it has sent before still goes on: the relay's own deadline counts.
        if (_clientLeft is not null && _application.IsWaiting)
            return _relayEnd.Due;
        End(end);
        Writer.Stop();
        _relayEnd.EndUp();
        Transport.Abort();
        return _relayEnd.Due;
    }

    /// <inheritdoc/>
    /// <remarks>While bytes of the client wait for the application, nobody reads from the client.</remarks>
    protected override bool IsBlocked => base.IsBlocked || _application.IsWaiting;

    protected override void OnEnd(TimeSpan now) => _legAtEnd = LegAt(now);

    /// <inheritdoc/>
    /// <remarks>As with the client's leg, the times are those of the end, and the bytes count on.</remarks>
    protected override UpstreamFigures? UpstreamFigures(TimeSpan now)
    {
        UpstreamFigures leg = LegAt(now);
        return _legAtEnd is { } then
            ? then with { BytesIn = leg.BytesIn, BytesOut = leg.BytesOut, KernelRoundTrip = leg.KernelRoundTrip }
            : leg;
    }

    private UpstreamFigures LegAt(TimeSpan now) => _application.Figures(now, !_fromApplication.Frames.IsBetweenFrames);

    protected override void Release() => _application.Dispose();

    private static TimeSpan Min(TimeSpan one, TimeSpan other) => one < other ? one : other;
}
