using System.Net;
using System.Text;
using HeartbeatServer.Admin;
using HeartbeatServer.Connections;
using HeartbeatServer.Engine;
using HeartbeatServer.Framing;
using HeartbeatServer.Http;
using HeartbeatServer.Options;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Hosting;

/// <summary>Accepts, routes, upgrades; and drains at the end.</summary>
internal sealed class Server : IAsyncDisposable
{
    /// <summary>Close frames a second when draining, unless the window asks for more: every client comes back somewhere else at once.</summary>
    private const int ClosesPerSecond = 1000;

    private static readonly TimeSpan PaceStep = TimeSpan.FromMilliseconds(20);

    /// <summary>How often a limit that is reached is worth a line in the log.</summary>
    private static readonly TimeSpan LimitLineEvery = TimeSpan.FromSeconds(10);

    private readonly ServerOptions _options;
    private readonly ConnectionContext _context;
    private readonly TimeProvider _time;
    private readonly EventLoops _loops;
    private readonly ConnectionTable _table;
    private readonly ServerMetrics _metrics;
    private readonly ServerLog _log;
    private readonly TaskCompletionSource _empty = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly RequestSource _requests;
    private readonly Admission _admission;
    private readonly Throttle _connectionLimitLines;
    private readonly Throttle _ipLimitLines;
    private readonly Action<Connection, Disconnect, ConnectionFigures>? _ended;
    private string _connectionLimit = "--max-connections";
    private volatile bool _draining;

    /// <param name="options">The command line.</param>
    /// <param name="time">The clock.</param>
    /// <param name="loops">Serve the connections.</param>
    /// <param name="table">Holds them.</param>
    /// <param name="metrics">Counts.</param>
    /// <param name="log">Tells.</param>
    /// <param name="ended">Told of each connection that ended, before it leaves the table.</param>
    public Server(
        ServerOptions options,
        TimeProvider time,
        EventLoops loops,
        ConnectionTable table,
        ServerMetrics metrics,
        ServerLog log,
        Action<Connection, Disconnect, ConnectionFigures>? ended = null)
    {
        _ended = ended;
        (_options, _time, _loops, _table, _metrics, _log) = (options, time, loops, table, metrics, log);
        _context = new ConnectionContext(options.Timings, options.OnMessage == OnMessage.Echo, options.MaxMessage, options.WriteTimeout, log, metrics);
        _admission = new Admission(options.MaxConnections, options.MaxConnectionsPerIp);
        _connectionLimitLines = new Throttle(time, LimitLineEvery);
        _ipLimitLines = new Throttle(time, LimitLineEvery);
        var listen = new ListenOptions(options.Host, options.Port, options.HandshakeTimeout);
        _requests = RequestSource.Create(listen, loops, HandleAsync, time, () => table.Count, metrics.CountRefused, log);
    }

    /// <summary>What a load balancer has to know.</summary>
    public ServerState State => _draining ? ServerState.Draining : _admission.IsFull || _requests.IsFull ? ServerState.Full : ServerState.Serving;

    /// <summary>Binds the port and begins to accept.</summary>
    /// <exception cref="HttpListenerException">It could not be bound.</exception>
    public void Start()
    {
        // The first hash loads the system's library for it: now, and not when there is no descriptor left to load it with.
        Handshake.WriteResponse("dGhlIHNhbXBsZSBub25jZQ==", new byte[Handshake.ResponseSize]);
        _requests.Bind();
        int possible = new OpenFiles("/proc/self").MaxConnections;
        // Without epoll HttpListener accepts whoever comes: one too many is refused.
        if (!_loops.HasEpoll && _admission.LimitTo(possible))
            _connectionLimit = "The limit of open files (ulimit -n)";
        _requests.Start(possible);
        if (_options.MaxConnections > possible)
            _log.TooFewFiles(_options.MaxConnections, possible);

        _log.Listening(
            _options.Address.Url("ws", _options.Path),
            _options.Address.Url("http", ServerOptions.HealthPath),
            _options.Ping == TimeSpan.Zero
                ? "No pings"
                : _options.Timeout == TimeSpan.Zero
                    ? $"Ping every {Duration.Format(_options.Ping)}, never judged"
                    : $"Ping every {Duration.Format(_options.Ping)}, pong within {Duration.Format(_options.Timeout)}, "
                        + $"cut after {_options.MaxMissed} missed in a row",
            $"Ctrl+C stops: Close 1001 to all, at most {Duration.Format(_options.Drain)}");
    }

    /// <summary>
    /// Says goodbye: Close 1001 to all, then waits for their Close, and cuts the rest. New upgrades get 503 meanwhile, and /healthz too.
    /// </summary>
    /// <param name="signal">What asked for it, for the log.</param>
    /// <param name="now">Cuts at once when cancelled.</param>
    public async Task DrainAsync(string signal, CancellationToken now)
    {
        long start = _time.GetTimestamp();
        _draining = true;
        _log.Draining(signal, _table.Count, _options.Drain);
        if (_table.Count == 0)
            _empty.TrySetResult();

        // Half the window at most for the sending, so that the last client has the other half to answer.
        TimeSpan sending = _options.Drain / 2;
        double perSecond = Math.Max(ClosesPerSecond, _table.Count / Math.Max(sending.TotalSeconds, 0.001));
        var goodbye = new Disconnect(DisconnectCause.ServerShutdown, $"sent Close {CloseCode.GoingAway}: {signal}");
        try
        {
            int sent = 0;
            foreach (Connection connection in _table.Open)
            {
                while (sent >= perSecond * (_time.GetElapsedTime(start) + PaceStep).TotalSeconds)
                    await Task.Delay(PaceStep, _time, now);
                connection.Close(goodbye, CloseCode.GoingAway, "server is shutting down");
                sent++;
            }
            TimeSpan left = _options.Drain - _time.GetElapsedTime(start);
            if (left > TimeSpan.Zero)
                await _empty.Task.WaitAsync(left, _time, now);
        }
        catch (Exception e) when (e is OperationCanceledException or TimeoutException)
        {
            // Out of time or of patience.
        }

        await CutRestAsync(goodbye);
    }

    /// <summary>Stops listening, and cuts what was not drained: an upgrade may have been under way while it was.</summary>
    public async ValueTask DisposeAsync()
    {
        _requests.Dispose();
        await CutRestAsync(new Disconnect(DisconnectCause.ServerShutdown, "the server stopped"));
    }

    private async Task CutRestAsync(Disconnect end)
    {
        if (_table.Count > 0)
            _log.CuttingRest(_table.Count);
        while (_table.Count > 0)
        {
            foreach (Connection connection in _table.Open)
                connection.Cut(end);
            await Task.Delay(1, CancellationToken.None);
        }
    }

    private async Task HandleAsync(HttpRequest request)
    {
        if (Route(request) is { } refusal)
            await RefuseAsync(request, refusal);
        else if (request.Path == ServerOptions.HealthPath)
            await request.ReplyAsync(Reply(_draining ? 503 : 200, _draining ? "draining" : "ok"));
        else
            await AdmitAsync(request);
    }

    /// <summary>Decides over a request: null if it is to be served.</summary>
    private Refusal? Route(HttpRequest request)
    {
        if (request.Path == ServerOptions.HealthPath)
            return request.Method is "GET" or "HEAD" ? null : new Refusal(RefusalReason.MethodNotAllowed, "GET it");
        if (request.Path != _options.Path)
            return new Refusal(RefusalReason.NotFound, $"not found; WebSocket clients connect to {_options.Path}");

        Refusal? refusal = Handshake.Check(new UpgradeRequest(
            request.Method,
            request.IsHttp11,
            request.HasBody,
            request.Headers["Connection"],
            request.Headers["Upgrade"],
            request.Headers["Sec-WebSocket-Version"],
            request.Headers["Sec-WebSocket-Key"]));
        if (refusal is not null)
            return refusal;
        if (_draining)
            return new Refusal(RefusalReason.Draining, "shutting down; connect again in a moment");
        if (!_options.AllowOrigin.Allows(request.Headers["Origin"]))
            return new Refusal(RefusalReason.Origin, "this page's origin is not allowed");
        return null;
    }

    private async Task AdmitAsync(HttpRequest request)
    {
        IPAddress address = ClientOf(request);
        if (_admission.TryEnter(address) is { } refusal)
        {
            await RefuseAsync(request, refusal);
            return;
        }
        bool isServed = false;
        try
        {
            isServed = await UpgradeAsync(request, address);
        }
        finally
        {
            if (!isServed)
                _admission.Leave(address);
        }
    }

    private IPAddress ClientOf(HttpRequest request) => _options.TrustProxy.ClientOf(
        request.Remote.Address, request.Headers["X-Forwarded-For"], request.Headers["Forwarded"]);

    /// <summary>The client for the log and the status: with the proxy that it came through, if there was one.</summary>
    private static EndPoint RemoteOf(IPEndPoint peer, IPAddress client) => client.Equals(peer.Address) ? peer : new ForwardedEndPoint(client, peer);

    /// <returns>Whether the connection is served, and leaves its place by itself.</returns>
    private async Task<bool> UpgradeAsync(HttpRequest request, IPAddress address)
    {
        EndPoint remote = RemoteOf(request.Remote, address);
        EventLoop loop = request.Loop;
        Transport transport;
        try
        {
            transport = await request.UpgradeAsync(request.Headers["Sec-WebSocket-Key"]!);
        }
        catch (IOException e)
        {
            _log.UpgradeFailed(remote, e);
            return false;
        }

        var connection = new Connection(_table.NextId(), remote, transport, _context, Random.Shared.NextDouble(), loop.Wheel)
        {
            IsBehindProxy = remote is ForwardedEndPoint,
        };
        int count = _table.Add(connection);
        _metrics.CountOpened(count);
        _log.Connected(connection.Id, remote, count);
        // It came in between the drain's last look at the table and this line.
        if (_draining)
            connection.Close(new Disconnect(DisconnectCause.ServerShutdown, "came while draining"), CloseCode.GoingAway, "server is shutting down");
        // Not awaited: this method would keep the request, and all that HttpListener made of it, as long as the connection lives.
        _ = ServeAsync(connection, address);
        return true;
    }

    private async Task ServeAsync(Connection connection, IPAddress address)
    {
        try
        {
            Disconnect end = await connection.RunAsync();
            _metrics.CountEnd(end.Cause);
            ConnectionFigures figures = connection.Figures();
            _log.Ended(connection.Id, connection.Remote, end, figures);
            _ended?.Invoke(connection, end, figures);
        }
        finally
        {
            _table.Remove(connection);
            _admission.Leave(address);
            if (_draining && _table.Count == 0)
                _empty.TrySetResult();
        }
    }

    private async Task RefuseAsync(HttpRequest request, Refusal refusal)
    {
        _metrics.CountRefused(refusal.Reason);
        EndPoint remote = RemoteOf(request.Remote, ClientOf(request));
        switch (refusal.Reason)
        {
            case RefusalReason.ConnectionLimit:
                if (_connectionLimitLines.TryPass(out long refused))
                    _log.LimitReached(_connectionLimit, remote, refusal, refused);
                break;
            case RefusalReason.IpLimit:
                if (_ipLimitLines.TryPass(out refused))
                    _log.LimitReached("--max-connections-per-ip", remote, refusal, refused);
                break;
            default:
                // Not the raw URL: a client could put into it what moves the cursor of a terminal.
                _log.Refused(remote, request.Method, request.Path + request.Query, refusal);
                break;
        }
        await request.ReplyAsync(Reply(refusal.Status, refusal.Text));
    }

    private static HttpReply Reply(int status, string text) => HttpReply.Text(status, text) with
    {
        Headers = status switch
        {
            405 => [("Allow", "GET")],
            426 => [("Upgrade", "websocket"), ("Sec-WebSocket-Version", Handshake.Version)],
            429 or 503 => [("Retry-After", "1")],
            _ => [],
        },
    };
}
