using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;
using System.Runtime.Versioning;
using HeartbeatServer.Engine;
using HeartbeatServer.Http;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Relay;

/// <summary>
/// One handshake with the application, for a client whose request is complete: the name, the connection, the request, and the answer. All of it
/// together has <c>--upstream-timeout</c>. A request that was sent is never sent again.
/// </summary>
/// <remarks>
/// It fails for the first reason that somebody gives: the application, the timing wheel, the drain, or the client that goes. Whoever gives it closes what
/// the handshake waits for, so that <see cref="RunAsync"/> goes on.
/// </remarks>
[SupportedOSPlatform("linux")]
[SuppressMessage("Design", "CA1001", Justification = "RunAsync is its life, and disposes in its finally.")]
[SuppressMessage("Reliability", "CA2000", Justification = "The connection to the application is disposed of there, too, unless the upgrade has it.")]
internal sealed class UpstreamHandshake : WheelEntry
{
    /// <summary>How long a client may take to read a refusal and to close its connection.</summary>
    private static readonly TimeSpan ReplyTimeout = TimeSpan.FromSeconds(5);

    /// <summary>How often a handshake looks for a descriptor, if the limit of open files is reached.</summary>
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(50);

    private const int FirstRead = 2 * 1024;

    private readonly Upstream _upstream;
    private readonly EventLoop _loop;
    private readonly WaitingClient _client;
    private readonly byte[] _request;
    private readonly UpstreamAnswer _answer;
    private readonly TimeSpan _began;
    private Deadline _deadline;

    // Several threads give reasons to fail. The lock guards these fields.
    private readonly Lock _gate = new();
    private CancellationTokenSource? _waiting; // nobody disposes of it: another thread may be about to cancel it, and without a timer it holds nothing
    private EpollTransport? _transport;
    private TimeSpan _attemptBy = Heartbeat.Never;
    private bool _hasTurn;
    private bool _isOver;

    /// <summary>Whether no descriptor was left for the connection to the application.</summary>
    private bool _lacksDescriptor;

    /// <param name="upstream">The application.</param>
    /// <param name="request">The client's request. Its connection is taken over.</param>
    /// <param name="head">The request for the application.</param>
    /// <exception cref="IOException">The client has gone.</exception>
    public UpstreamHandshake(Upstream upstream, HttpRequest request, byte[] head)
    {
        (_upstream, _loop, _request, _answer) = (upstream, request.Loop, head, new UpstreamAnswer(request.Head, () => HttpReply.DateOf()));
        _began = _loop.Wheel.Now;
        _deadline = new Deadline(_began + upstream.Timeout);
        EpollTransport transport = request.TakeOver(out ReadOnlyMemory<byte> early);
        _client = new WaitingClient(transport, early, Fail);
    }

    /// <summary>Why there is no upgrade; null as long as there may be one.</summary>
    public Refusal? Refusal { get; private set; }

    /// <summary>The client's connection.</summary>
    public EpollTransport Client => _client.Transport;

    /// <summary>The time that the handshake has taken until the application's answer was complete.</summary>
    public TimeSpan Took { get; private set; }

    /// <summary>Runs the handshake. After a success the client has its 101, and the caller owns both legs.</summary>
    /// <returns>Null if there is no upgrade: <see cref="Refusal"/> says why, and <see cref="RefuseAsync"/> tells the client.</returns>
    public async Task<RelayedUpgrade?> RunAsync()
    {
        RelayedUpgrade? upgrade = null;
        _upstream.Begin(this);
        _loop.Wheel.Schedule(this, _deadline.Due);
        _client.Watch();
        try
        {
            if (!_isOver && await EnterAsync() && await AddressesAsync() is { } addresses && await SendAsync(addresses) is { } address
                && await ReadAnswerAsync() is { } frames)
            {
                upgrade = await SwitchAsync(address, frames);
            }
            return upgrade;
        }
        catch
        {
            await Client.DisposeAsync(); // a bug: nobody refuses the client any more
            _upstream.End(this);
            throw;
        }
        finally
        {
            _loop.Wheel.Remove(this);
            if (upgrade is not null)
                _upstream.End(this);
            if (_hasTurn)
                _upstream.Leave();
            if (upgrade is null && _transport is not null)
                await _transport.DisposeAsync();
        }
    }

    /// <summary>Gives a client that is not upgraded its answer, and closes its connection. Until then it counts, because it has a descriptor.</summary>
    public async Task RefuseAsync()
    {
        try
        {
            if (Refusal is { Reason: not RefusalReason.ClientGone } refusal)
            {
                ReadOnlyMemory<byte> reply = refusal.Reason == RefusalReason.UpstreamRefused ? _answer.ForClient : HttpReply.To(refusal).ToBytes();
                await _loop.ReturnAsync();
                using var limit = new ReplyLimit(_loop.Wheel, Client);
                await _client.ReplyAsync(reply);
            }
            await Client.DisposeAsync();
        }
        finally
        {
            _upstream.End(this);
        }
    }

    /// <summary>Ends the handshake. Only the first reason counts, and none after a verified answer.</summary>
    public void Fail(Refusal refusal)
    {
        CancellationTokenSource? waiting;
        EpollTransport? transport;
        lock (_gate)
        {
            if (_isOver)
                return;
            _isOver = true;
            Refusal = refusal;
            (waiting, transport) = (_waiting, _transport);
        }
        waiting?.Cancel();
        transport?.Abort();
    }

    protected internal override TimeSpan OnDue(TimeSpan now, TimeSpan stall)
    {
        if (_deadline.IsOver(now, stall))
        {
            Fail(!_hasTurn ? new Refusal(RefusalReason.UpstreamQueue, "too many requests wait for the application; try again later")
                : _lacksDescriptor ? Refusals.NoDescriptor
                : Refusals.Timeout("answer", _upstream.Timeout));
            return Heartbeat.Never;
        }
        EpollTransport? tooSlow = null;
        TimeSpan due;
        lock (_gate)
        {
            if (now >= _attemptBy)
                (tooSlow, _attemptBy) = (_transport, Heartbeat.Never);
            due = _attemptBy < _deadline.Due ? _attemptBy : _deadline.Due;
        }
        tooSlow?.Abort();
        return due;
    }

    /// <summary>Waits for the handshake's turn.</summary>
    private async ValueTask<bool> EnterAsync()
    {
        try
        {
            if (!_upstream.TryEnter())
                await _upstream.EnterAsync(Waiting());
            return _hasTurn = true;
        }
        catch (OperationCanceledException)
        {
            return false; // it has failed meanwhile
        }
    }

    private async ValueTask<IPEndPoint[]?> AddressesAsync()
    {
        try
        {
            ValueTask<IPEndPoint[]> found = _upstream.Addresses.GetAsync();
            IPEndPoint[] addresses = found.IsCompletedSuccessfully ? found.Result : await found.AsTask().WaitAsync(Waiting());
            // The turn or the look-up may have come on another thread. From here on only the loop's own thread touches the two sockets.
            await _loop.ReturnAsync();
            return addresses;
        }
        catch (OperationCanceledException)
        {
            return null; // it has failed meanwhile
        }
        catch (SocketException e)
        {
            Fail(Refusals.NoAddress(e));
            return null;
        }
    }

    /// <summary>A token that ends a wait when the handshake fails.</summary>
    private CancellationToken Waiting()
    {
        lock (_gate)
        {
            _waiting ??= new CancellationTokenSource();
            return _isOver ? new CancellationToken(canceled: true) : _waiting.Token;
        }
    }

    /// <summary>Connects to the first address that lets it, and sends the request. Each address has its share of the time that is left.</summary>
    /// <returns>The address; null if there is none.</returns>
    private async ValueTask<IPEndPoint?> SendAsync(IPEndPoint[] addresses)
    {
        SocketError error = SocketError.Success;
        for (int i = 0; i < addresses.Length; i++)
        {
            TimeSpan now = _loop.Wheel.Now;
            TimeSpan due = now + ((_deadline.Due - now) / (addresses.Length - i));
            lock (_gate)
                _attemptBy = due;
            _loop.Wheel.Schedule(this, due);
            error = await TrySendAsync(addresses[i]);
            lock (_gate)
            {
                _attemptBy = Heartbeat.Never;
                if (_isOver)
                    return null;
            }
            _upstream.Addresses.Tried(addresses[i], error);
            if (error == SocketError.Success)
                return addresses[i];
            // The connection was made, so a part of the request may be there.
            if (error is SocketError.ConnectionReset or SocketError.Shutdown)
                break;
        }
        Fail(Refusals.Unreachable(error));
        return null;
    }

    private async ValueTask<SocketError> TrySendAsync(IPEndPoint address)
    {
        EpollTransport transport;
        try
        {
            Socket? socket;
            while ((socket = TryConnect(address)) is null)
            {
                var pause = new Pause();
                _loop.Wheel.Schedule(pause, _loop.Wheel.Now + LookEvery);
                await pause.Over;
                if (_isOver)
                    return SocketError.OperationAborted;
            }
            transport = _upstream.Tls is { } tls ? _loop.AttachTls(socket, tls.AuthenticateAsync) : (EpollTransport)_loop.Attach(socket);
        }
        catch (SocketException e)
        {
            return e.SocketErrorCode;
        }
        bool isOver;
        lock (_gate)
            (_transport, isOver) = (transport, _isOver);
        try
        {
            if (isOver)
                return SocketError.OperationAborted;
            if (transport is TlsTransport encrypted)
                await encrypted.AuthenticateAsync();
            await transport.WriteAsync(_request);
            if (UpstreamSocket.IsLoop(transport.Socket!, address))
                Fail(Refusals.Loop);
            return SocketError.Success;
        }
        catch (TlsHandshakeException e)
        {
            Fail(UpstreamSocket.IsLoop(transport.Socket!, address) ? Refusals.Loop : Refusals.ByTls(e.InnerException!));
            return SocketError.ProtocolNotSupported;
        }
        catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException)
        {
            await transport.DisposeAsync();
            return (e.InnerException ?? e) switch
            {
                SocketException failure => failure.SocketErrorCode,
                ObjectDisposedException => SocketError.TimedOut, // its time was over
                _ => SocketError.NoBufferSpaceAvailable, // the kernel has no room to watch the socket
            };
        }
    }

    /// <returns>Null if no descriptor is left. Requests that are refused meanwhile give theirs back.</returns>
    /// <exception cref="SocketException">There is no connection, and none will come.</exception>
    private Socket? TryConnect(IPEndPoint address)
    {
        try
        {
            Socket socket = UpstreamSocket.Connect(address);
            _lacksDescriptor = false;
            return socket;
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.TooManyOpenSockets)
        {
            _lacksDescriptor = true;
            return null;
        }
    }

    /// <summary>Reads the application's answer.</summary>
    /// <returns>The frames behind the answer if it is a 101; null if it is not.</returns>
    private async ValueTask<byte[]?> ReadAnswerAsync()
    {
        byte[] bytes = new byte[FirstRead];
        int length = 0;
        while (true)
        {
            int count;
            try
            {
                count = await _transport!.ReadAsync(bytes.AsMemory(length));
            }
            catch (IOException e)
            {
                Fail(Refusals.Unreachable(e.Message)); // the kernel has no room to watch the socket
                return null;
            }
            length += count;
            if (count == 0 && _transport.Error != SocketError.Success)
            {
                Fail(Refusals.Unreachable(_transport.Error));
                return null;
            }
            switch (_answer.Read(bytes.AsSpan(0, length), isEnd: count == 0))
            {
                case AnswerStep.Switched:
                    Took = _loop.Wheel.Now - _began;
                    return bytes[_answer.Consumed..length];
                case AnswerStep.Refused:
                    Took = _loop.Wheel.Now - _began;
                    Fail(new Refusal(RefusalReason.UpstreamRefused, $"the application answered {_answer.Status}") { Status = _answer.Status });
                    return null;
                case AnswerStep.Bad:
                    Fail(Refusals.BadAnswer(_answer.Fault!));
                    return null;
            }
            if (length == bytes.Length)
                Array.Resize(ref bytes, 2 * length);
        }
    }

    /// <summary>Gives the client its 101.</summary>
    /// <returns>Null if the client has gone.</returns>
    private async ValueTask<RelayedUpgrade?> SwitchAsync(IPEndPoint address, byte[] frames)
    {
        lock (_gate)
        {
            if (_isOver)
                return null;
            _isOver = true;
        }
        byte[] early = _client.Take();
        try
        {
            ValueTask write = Client.WriteAsync(_answer.ForClient);
            using ReplyLimit? limit = write.IsCompleted ? null : new ReplyLimit(_loop.Wheel, Client);
            await write;
        }
        catch (IOException)
        {
            Refusal = Refusals.Gone;
            return null;
        }
        _transport!.LeaveSocket();
        var leg = new UpstreamLeg(_transport, address, Took, _loop.Wheel.Now);
        return new RelayedUpgrade(leg, _answer.HasDeflate, early.Length + frames.Length == 0 ? null : new EarlyBytes(early, frames));
    }

    /// <summary>Ends on the thread of the event loop.</summary>
    private sealed class Pause : WheelEntry
    {
        private readonly TaskCompletionSource _over = new();

        public Task Over => _over.Task;

        protected internal override TimeSpan OnDue(TimeSpan now, TimeSpan stall)
        {
            _over.SetResult();
            return Heartbeat.Never;
        }
    }

    /// <summary>Closes a client's connection when the time for its answer is over.</summary>
    private sealed class ReplyLimit : WheelEntry, IDisposable
    {
        private readonly TimingWheel _wheel;
        private readonly EpollTransport _client;

        public ReplyLimit(TimingWheel wheel, EpollTransport client)
        {
            (_wheel, _client) = (wheel, client);
            wheel.Schedule(this, wheel.Now + ReplyTimeout);
        }

        public void Dispose() => _wheel.Remove(this);

        protected internal override TimeSpan OnDue(TimeSpan now, TimeSpan stall)
        {
            _client.Dispose();
            return Heartbeat.Never;
        }
    }
}
