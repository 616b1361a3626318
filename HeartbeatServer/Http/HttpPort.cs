using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;
using System.Runtime.Versioning;
using HeartbeatServer.Engine;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Http;

/// <summary>
/// Accepts connections and lets <see cref="HttpListener"/> read the requests. It adds two limits that HttpListener does not have. It turns away
/// requests that are not finished in time or are too long. And it accepts nobody while the process has no descriptor to spare.
/// </summary>
/// <remarks>
/// The first event loop accepts, and all loops read. An accepted connection is a pending request first, then a request, which goes to the handler.
/// </remarks>
[SupportedOSPlatform("linux")]
internal sealed class HttpPort : RequestSource
{
    // How often a full port checks for room, and how often it writes a line to the log.
    private static readonly TimeSpan PauseFor = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan WarnEvery = TimeSpan.FromSeconds(10);

    /// <summary>When a new client needs a place, one pending request of so many has to go, and not more than <see cref="MostVictims"/>.</summary>
    private const int PendingForEachVictim = 64;
    private const int MostVictims = 64;

    private static readonly HttpReply Closed = new(503) { Headers = [("Retry-After", "1")] };

    private readonly HttpListener _listener = new() { IgnoreWriteExceptions = true };
    private readonly ListenOptions _options;
    private readonly EventLoops _loops;
    private readonly Func<int> _connections;
    private readonly Throttle _fullLines;
    private readonly Reopening _reopening;
    private Socket? _socket;
    private HttpEndPoint? _endPoint;
    private Acceptor? _acceptor;
    private int _most;
    private int _spare;
    private volatile bool _isPaused;
    private bool _toldFull;

    // The set is null once the port is closed. Whoever takes a request out of the set decides what happens to its connection.
    private readonly Lock _gate = new();
    private HashSet<PendingRequest>? _pending = [];

    /// <inheritdoc cref="RequestSource.Create"/>
    public HttpPort(
        ListenOptions options,
        EventLoops loops,
        Func<HttpRequest, Task> handle,
        TimeProvider time,
        Func<int> connections,
        Action<RefusalReason>? turnedAway,
        ServerLog log)
        : base(handle, turnedAway, log)
    {
        (_options, _loops, _connections) = (options, loops, connections);
        _fullLines = new Throttle(time, WarnEvery);
        _reopening = new Reopening(this);
    }

    public override bool IsFull => _isPaused || _connections() >= _most;

    /// <summary>
    /// Whether a new client finds room. It may take the place of an unfinished request, which is turned away then. If there is none to turn away, because
    /// nobody has read them yet, the client takes a descriptor of the spare ones.
    /// </summary>
    private bool HasRoom => _connections() < _most && InUse < (long)_most + _spare;

    /// <summary>The descriptors that connections have and that unfinished requests will have.</summary>
    private long InUse => _connections() + ((long)_options.DescriptorsEach * Unfinished);

    private int Unfinished
    {
        get
        {
            lock (_gate)
                return _pending?.Count ?? 0;
        }
    }

    public override void Bind()
    {
        _listener.Start();
        IPAddress address = AddressOf(_options);
        try
        {
            _socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            if (address.Equals(IPAddress.IPv6Any))
                _socket.DualMode = true; // IPv4 clients come in, too. PendingRequest turns their mapped addresses back into IPv4.
            // Accepted connections inherit these options.
            _socket.NoDelay = true;
            _options.Tune?.Invoke(_socket);
            _socket.Bind(new IPEndPoint(address, _options.Port));
            _socket.Listen();
            _endPoint = HttpEndPoint.WithoutSocket(_listener, _options.Port);
        }
        catch (SocketException e)
        {
            _socket?.Dispose();
            throw new HttpListenerException(e.ErrorCode, e.Message);
        }
    }

    public override void Start(int most, int spare)
    {
        (_most, _spare) = (most, spare);
        _acceptor = _loops.First.Accept(_socket!, OnAccepted);
        _acceptor.Accept();
    }

    /// <inheritdoc/>
    /// <remarks>Pending requests get the answer 503.</remarks>
    public override void Dispose()
    {
        _acceptor?.Dispose();
        _socket?.Dispose();
        _endPoint?.Close();
        HashSet<PendingRequest>? pending;
        lock (_gate)
            (pending, _pending) = (_pending, null);
        _loops.First.Wheel.Remove(_reopening);
        foreach (PendingRequest request in pending ?? [])
            request.Close(Closed);
        AbortInHand();
        ((IDisposable)_listener).Dispose();
    }

    /// <summary>Takes a request out of the pending ones.</summary>
    /// <returns>Whether the request was still pending. If so, the caller decides what happens to its connection.</returns>
    public bool TryTake(PendingRequest request)
    {
        bool taken;
        lock (_gate)
            taken = _pending?.Remove(request) == true;
        request.Loop.Wheel.Remove(request);
        return taken;
    }

    /// <summary>Answers a pending request with a refusal, and closes its connection. Does nothing if the request is not pending any more.</summary>
    public void TurnAway(PendingRequest request, in Refusal refusal)
    {
        if (!TryTake(request))
            return;
        OnTurnedAway(request.Remote, refusal);
        // A client that speaks TLS cannot read an answer in plain text, nor one before the handshake is done.
        request.Close(refusal.Reason.IsOfTls() ? null : HttpReply.To(refusal));
    }

    /// <summary>Gives a complete request to the handler.</summary>
    public void Handle(HttpRequest request) => _ = HandleAsync(request);

    public void Failed(Exception error) => Log.RequestFailed(error);

    /// <returns>Whether to accept another connection.</returns>
    private bool OnAccepted(Socket? connection, SocketError error)
    {
        try
        {
            if (connection is not null)
                Admit(connection);
        }
#pragma warning disable CA1031 // One client must not close the port for the others.
        catch (Exception e)
#pragma warning restore CA1031
        {
            Log.AcceptFailed(e);
        }
        if (IsHarmless(error) && HasRoom)
            return true;
        Pause(error);
        return false;
    }

    /// <summary>
    /// Whether the error concerns a single client, which left before it was accepted. accept(2) lists these errors. Every other error means that
    /// the process or the machine lacks a resource, for example a descriptor.
    /// </summary>
    private static bool IsHarmless(SocketError error) => error is SocketError.Success or SocketError.WouldBlock
        or SocketError.ConnectionAborted or SocketError.ConnectionReset
        or SocketError.NetworkDown or SocketError.NetworkUnreachable or SocketError.HostDown or SocketError.HostUnreachable
        or SocketError.ProtocolOption or SocketError.ProtocolNotSupported or SocketError.OperationNotSupported;

    private void Admit(Socket socket)
    {
        PendingRequest request;
        try
        {
            request = new PendingRequest(this, socket, _loops.Next(), _endPoint!.Value, _options);
        }
        catch (SocketException)
        {
            socket.Dispose(); // the client has gone
            return;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
        PendingRequest[] victims = [];
        bool isOpen;
        lock (_gate)
        {
            isOpen = _pending is not null;
            if (_pending?.Count > 0 && (_pending.Count >= _options.MostPending || InUse >= _most))
                victims = Victims(_pending);
            _pending?.Add(request);
        }
        if (!isOpen)
        {
            request.Close(Closed);
            return;
        }
        foreach (PendingRequest victim in victims)
        {
            TurnAway(victim, new Refusal(
                RefusalReason.ConnectionLimit, "too many unfinished requests: the oldest of the address with the most of them goes"));
        }
        request.Receive();
    }

    /// <summary>
    /// Chooses the pending requests that make room for a new client: the oldest ones of the address that has the most. Requests with unread bytes are
    /// spared, because these bytes may complete the request; if an address has no other, the next address gives. When many requests are pending,
    /// several go at once, so that a flood does not make this choice for each client.
    /// </summary>
    private static PendingRequest[] Victims(HashSet<PendingRequest> pending) =>
    [
        .. pending
            .GroupBy(request => request.Remote.Address)
            .OrderByDescending(address => address.Count())
            .SelectMany(address => address.OrderBy(request => request.Deadline))
            .Where(request => !request.HasUnread)
            .Take(Math.Clamp(pending.Count / PendingForEachVictim, 1, MostVictims)),
    ];

    /// <summary>Accepts nobody for a while. New clients wait in the kernel.</summary>
    private void Pause(SocketError error)
    {
        _isPaused = true;
        _toldFull = _fullLines.TryPass(out _);
        if (_toldFull && IsHarmless(error))
            Log.NoRoom(_options.Port, _connections(), Unfinished, _most);
        else if (_toldFull)
            Log.CannotAccept(_options.Port, error);
        TimingWheel wheel = _loops.First.Wheel;
        wheel.Schedule(_reopening, wheel.Now + PauseFor);
    }

    private void Reopen()
    {
        _acceptor!.Accept();
        _isPaused = false;
        if (_toldFull)
            Log.RoomAgain(_options.Port);
    }

    /// <summary>Checks from time to time whether there is room again, and then reopens the port.</summary>
    private sealed class Reopening(HttpPort port) : WheelEntry
    {
        protected internal override TimeSpan OnDue(TimeSpan now, TimeSpan stall)
        {
            if (!port.HasRoom)
                return now + PauseFor;
            try
            {
                port.Reopen();
                return TimeSpan.MaxValue;
            }
            catch (IOException)
            {
                return now + PauseFor; // the kernel has no room to watch the socket
            }
        }
    }
}
