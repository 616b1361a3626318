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
    private readonly Doorkeeper _door;
    private readonly Admission _admission;
    private readonly Throttle _connectionLimitLines;
    private readonly Throttle _ipLimitLines;
    private readonly Action<Connection, Disconnect, ConnectionFigures>? _ended;
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
        var door = new Door(options.Host, options.Port, options.HandshakeTimeout);
        _door = new Doorkeeper(door, loops, HandleAsync, time, () => table.Count, metrics.CountRefused, log);
    }

    /// <summary>What a load balancer has to know.</summary>
    public ServerState State => _draining ? ServerState.Draining : _admission.IsFull || _door.IsFull ? ServerState.Full : ServerState.Serving;

    /// <summary>Binds the port and begins to accept.</summary>
    /// <exception cref="HttpListenerException">It could not be bound.</exception>
    public void Start()
    {
        _door.Open();
        if (_options.MaxConnections > _door.MaxConnections)
            _log.TooFewFiles(_options.MaxConnections, _door.MaxConnections);

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
            foreach (Connection connection in _table.Snapshot())
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
        _door.Dispose();
        await CutRestAsync(new Disconnect(DisconnectCause.ServerShutdown, "the server stopped"));
    }

    private async Task CutRestAsync(Disconnect end)
    {
        if (_table.Count > 0)
            _log.CuttingRest(_table.Count);
        while (_table.Count > 0)
        {
            foreach (Connection connection in _table.Snapshot())
                connection.Cut(end);
            await Task.Delay(1, CancellationToken.None);
        }
    }

    private async Task HandleAsync(HttpListenerContext context)
    {
        if (Route(context.Request) is { } refusal)
            await RefuseAsync(context, refusal);
        else if (IsHealth(context.Request))
            await RespondAsync(context, _draining ? 503 : 200, _draining ? "draining" : "ok");
        else
            await AdmitAsync(context);
    }

    private static bool IsHealth(HttpListenerRequest request) => PathOf(request) == ServerOptions.HealthPath;

    private static string PathOf(HttpListenerRequest request) => request.Url?.AbsolutePath ?? "";

    /// <summary>Decides over a request: null if it is to be served.</summary>
    private Refusal? Route(HttpListenerRequest request)
    {
        string path = PathOf(request);
        if (path == ServerOptions.HealthPath)
            return request.HttpMethod is "GET" or "HEAD" ? null : new Refusal(RefusalReason.MethodNotAllowed, "GET it");
        if (path != _options.Path)
            return new Refusal(RefusalReason.NotFound, $"not found; WebSocket clients connect to {_options.Path}");

        Refusal? refusal = Handshake.Check(new UpgradeRequest(
            request.HttpMethod,
            request.ProtocolVersion >= HttpVersion.Version11,
            request.HasEntityBody,
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

    private async Task AdmitAsync(HttpListenerContext context)
    {
        IPAddress address = ClientOf(context.Request);
        if (_admission.TryEnter(address) is { } refusal)
        {
            await RefuseAsync(context, refusal);
            return;
        }
        bool isServed = false;
        try
        {
            isServed = await UpgradeAsync(context, address);
        }
        finally
        {
            if (!isServed)
                _admission.Leave(address);
        }
    }

    private IPAddress ClientOf(HttpListenerRequest request) => _options.TrustProxy.ClientOf(
        request.RemoteEndPoint.Address, request.Headers["X-Forwarded-For"], request.Headers["Forwarded"]);

    /// <summary>The client for the log and the status: with the proxy that it came through, if there was one.</summary>
    private static EndPoint RemoteOf(IPEndPoint peer, IPAddress client) => client.Equals(peer.Address) ? peer : new ForwardedEndPoint(client, peer);

    /// <returns>Whether the connection is served, and leaves its place by itself.</returns>
    private async Task<bool> UpgradeAsync(HttpListenerContext context, IPAddress address)
    {
        EndPoint remote = RemoteOf(context.Request.RemoteEndPoint, address);
        EventLoop loop = HttpTakeover.StreamOf(context)?.Loop ?? _loops.Next();
        Transport stream;
        try
        {
            stream = await HttpTakeover.UpgradeAsync(context, context.Request.Headers["Sec-WebSocket-Key"]!);
        }
        catch (IOException e)
        {
            _log.UpgradeFailed(remote, e);
            return false;
        }

        var connection = new Connection(_table.NextId(), remote, stream, _context, Random.Shared.NextDouble(), loop.Wheel)
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

    private async Task RefuseAsync(HttpListenerContext context, Refusal refusal)
    {
        HttpListenerRequest request = context.Request;
        _metrics.CountRefused(refusal.Reason);
        EndPoint remote = RemoteOf(request.RemoteEndPoint, ClientOf(request));
        switch (refusal.Reason)
        {
            case RefusalReason.ConnectionLimit:
                if (_connectionLimitLines.TryPass(out long refused))
                    _log.LimitReached("--max-connections", remote, refusal, refused);
                break;
            case RefusalReason.IpLimit:
                if (_ipLimitLines.TryPass(out refused))
                    _log.LimitReached("--max-connections-per-ip", remote, refusal, refused);
                break;
            default:
                // Not the raw URL: a client could put into it what moves the cursor of a terminal.
                _log.Refused(remote, request.HttpMethod, request.Url?.PathAndQuery, refusal);
                break;
        }
        await RespondAsync(context, refusal.Status, refusal.Text);
    }

    private static async Task RespondAsync(HttpListenerContext context, int status, string text)
    {
        HttpListenerResponse response = context.Response;
        byte[] body = Encoding.UTF8.GetBytes(text + "\n");
        response.StatusCode = status;
        response.ContentType = "text/plain; charset=utf-8";
        response.ContentLength64 = body.Length;
        // One request a connection. HttpListener would wait for the rest of a body here, and for ever for a second request that does not end.
        response.KeepAlive = false;
        switch (status)
        {
            case 405:
                response.Headers["Allow"] = "GET";
                break;
            case 426:
                response.Headers["Upgrade"] = "websocket";
                response.Headers["Sec-WebSocket-Version"] = Handshake.Version;
                break;
            case 429 or 503:
                response.Headers["Retry-After"] = "1";
                break;
        }
        if (context.Request.HttpMethod != "HEAD")
            await response.OutputStream.WriteAsync(body);
        HttpTakeover.Finish(context);
    }
}
