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
///   the client is dead or takes nothing  application: FIN; client: RST
///   the client breaks a rule             application: FIN; client: Close, FIN
///   the application breaks a rule        both: FIN
///   the application's host is dead       client: FIN
///   drain                                client: Close 1001 between two frames      its answer goes no further; application: FIN
/// </code>
/// The connection is over when both pumps are.
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
        if (!End(end))
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
        _relayEnd.Check(now, stall);
        if (_application.Look(now) is { } silence)
            OnApplicationDead(silence);
        return base.OnDue(now, stall);
    }

    protected override TimeSpan NextDue() => Min(base.NextDue(), Min(_relayEnd.Due, _application.LookDue));

    protected override void Begin() => _down = PumpDownAsync();

    protected override ValueTask<int> ReceiveAsync() => _early is null ? _client.WaitReadableAsync(_fromClient.IsBusy) : new(0);

    protected override async ValueTask<bool> OnReceivedAsync(int count)
    {
        if (_early is { } early)
        {
            _early = null;
            if (early.FromClient.Length > 0)
            {
                early.FromClient.CopyTo(_fromClient.Bytes.Take());
                await PassUpAsync(early.FromClient.Length);
            }
            return true;
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
            if (!_fromClient.IsBusy)
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
            if (!_fromApplication.IsBusy)
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
                isOpen = await ReceiveDownAsync();
            }
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
            _fromClient.Bytes.Dispose();
            return;
        }
        byte[] bytes = _fromClient.Bytes.Array;
        Passage passage = ScanUp(bytes);
        ValueTask write = _application.WriteAsync(bytes.AsMemory(0, passage.Count), now);
        if (_application.ExpectLook(now))
            Schedule(_application.LookDue);
        _fromClient.IsSlow = !write.IsCompleted;
        if (_fromClient.IsSlow)
            await HoldAsync(write, bytes.Length);
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
            _fromApplication.Bytes.Dispose();
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
        End(end);
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
        End(new Disconnect(
            DisconnectCause.UpstreamDead,
            $"the kernel of the application's host has acknowledged nothing for {silence.TotalSeconds:0.0}s, though our bytes or probes wait for an answer"));
        _relayEnd.EndDown();
        _application.Abort();
    }

    protected override TimeSpan Condemn(Disconnect end, TimeSpan now)
    {
        End(end);
        _relayEnd.EndUp();
        Transport.Abort();
        return _relayEnd.Due;
    }

    protected override UpstreamFigures? UpstreamFigures(TimeSpan now) => _application.Figures(now, !_fromApplication.Frames.IsBetweenFrames);

    protected override void Release() => _application.Dispose();

    private static TimeSpan Min(TimeSpan one, TimeSpan other) => one < other ? one : other;
}
