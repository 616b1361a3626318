using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Runtime.Versioning;
using HeartbeatServer.Connections;
using HeartbeatServer.Engine;
using HeartbeatServer.Http;
using HeartbeatServer.Options;
using HeartbeatServer.Protocol;
using HeartbeatServer.Relay;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Hosting;

/// <summary>Answers requests on the port. If a request is upgraded, the server serves its connection to the end.</summary>
internal sealed class Server : IAsyncDisposable
{
    /// <summary>So many kinds of clients share what is remembered of them.</summary>
    private const int MostKinds = 1000;

    private readonly ServerOptions _options;
    private readonly ConnectionContext _context;
    private readonly EventLoops _loops;
    private readonly ConnectionTable _table;
    private readonly ServerMetrics _metrics;
    private readonly ServerLog _log;
    private readonly Drain _drain;
    private readonly RequestSource _requests;
    private readonly Admission _admission;
    private readonly Sharing<ClientInfo> _clients = new(MostKinds);

    /// <summary>What is behind the server; null for the echo server.</summary>
    private readonly RequestRelay? _relay;

    private readonly EndLog _ends;

    /// <summary>What sets the limit of connections, for the log.</summary>
    private string _connectionLimit = "--max-connections";

    private bool _toldDispute;

    /// <param name="context">What it shares with those that watch it.</param>
    /// <param name="drain">Says whether new upgrades are refused; learns of every connection that comes and goes.</param>
    /// <exception cref="StartupException"><c>--upstream-ca</c> cannot be read.</exception>
    public Server(ServerContext context, Drain drain)
    {
        (_options, TimeProvider time, _loops, _table, _metrics, _ends, _log) = context;
        _drain = drain;
        _context = new ConnectionContext(
            _options.Timings,
            Echo: _options.OnMessage == OnMessage.Echo,
            MaxMessage: _options.MaxMessage,
            WriteTimeout: _options.WriteTimeout,
            Buffers: _table.Buffers,
            Log: _log,
            Metrics: _metrics);
        _admission = new Admission(_options.MaxConnections, _options.MaxConnectionsPerIp);
        var listen = new ListenOptions(
            _options.Host, _options.Port, _options.HandshakeTimeout, Tune: socket => TcpOptions.Apply(socket, _options.Timings))
        {
            Tls = context.Certificate is { } certificate ? certificate.AuthenticateAsync : null,
            DescriptorsEach = DescriptorsEach,
        };
        _requests = RequestSource.Create(
            listen, _loops, HandleAsync, time, connections: () => OpenDescriptors, turnedAway: _metrics.CountRefused, _log);
        if (_options.Upstream is { } application && OperatingSystem.IsLinux())
        {
            _relay = new RequestRelay(application, context, _context, _clients, CountRefused);
            drain.Begun = _relay.Drain;
        }
    }

    public ServerState State =>
        _drain.HasBegun ? ServerState.Draining : _admission.IsFull || _requests.IsFull ? ServerState.Full : ServerState.Serving;

    [MemberNotNullWhen(true, nameof(_relay))]
    [SupportedOSPlatformGuard("linux")]
    private bool IsRelay => _relay is not null;

    /// <summary>How many descriptors a connection takes. In a relay a handshake takes as many, and so does a page.</summary>
    private int DescriptorsEach => _options.Upstream is null ? 1 : 2;

    private int OpenDescriptors => DescriptorsEach * (_table.Count + (IsRelay ? _relay.Count : 0));

    /// <summary>Binds the port and begins to accept.</summary>
    /// <exception cref="StartupException">The port could not be bound.</exception>
    public void Start()
    {
        // The first hash loads a library of the system, which needs a descriptor. Later there may be none left, so one is made now.
        Handshake.Response("dGhlIHNhbXBsZSBub25jZQ==", protocol: null);
        try
        {
            _requests.Bind();
        }
        catch (HttpListenerException e)
        {
            throw new StartupException(BindError.Describe(_options.Address, isAdmin: false, e), e);
        }
        var files = new OpenFiles();
        int possible = files.MaxConnections / DescriptorsEach;
        // Without epoll HttpListener accepts everybody, so the server itself refuses those for whom there is no descriptor. In a relay a request that was
        // accepted needs a second descriptor.
        if ((!_loops.HasEpoll || IsRelay) && _admission.LimitTo(possible))
            _connectionLimit = Refusal.OpenFiles;
        _requests.Start(files.MaxConnections, files.Spare);
        if (_options.MaxConnections > possible)
            _log.TooFewFiles(_options.MaxConnections, possible);

        _log.Listening(
            _options.Address.Url(_options.HasTls ? "wss" : "ws", _options.Path == ServerOptions.EveryPath ? "/" : _options.Path),
            _options.Address.Url(_options.HttpScheme, ServerOptions.HealthPath),
            _options.Upstream?.ToString(),
            _options.Ping == TimeSpan.Zero
                ? "No pings"
                : _options.Timeout == TimeSpan.Zero
                    ? $"Ping every {Duration.Format(_options.Ping)}, never judged"
                    : $"Ping every {Duration.Format(_options.Ping)}, pong within {Duration.Format(_options.Timeout)}, "
                        + $"cut after {_options.MaxMissed} missed in a row",
            $"Ctrl+C stops: Close 1001 to all, at most {Duration.Format(_options.Drain)}");
    }

    /// <summary>Closes the port and cuts every connection that is left: a request may have been upgraded while the drain ended.</summary>
    public async ValueTask DisposeAsync()
    {
        _requests.Dispose();
        await _drain.CutAllAsync(new Disconnect(DisconnectCause.ServerShutdown, "the server stopped"));
        if (IsRelay)
            await _relay.DisposeAsync();
    }

    private async Task HandleAsync(HttpRequest request)
    {
        if (Route(request) is { } refusal)
            await RefuseAsync(request, refusal);
        else if (request.Head.Path == ServerOptions.HealthPath)
            await request.ReplyAsync(_drain.HasBegun ? HttpReply.To(new Refusal(RefusalReason.Draining, "draining")) : HttpReply.Text(200, "ok"));
        else
            await AdmitAsync(request);
    }

    /// <summary>Decides over a request.</summary>
    /// <returns>Null if the request is to be served.</returns>
    private Refusal? Route(HttpRequest request)
    {
        if (request.Head.Path == ServerOptions.HealthPath)
            return request.Head.Method is "GET" or "HEAD" ? null : new Refusal(RefusalReason.MethodNotAllowed, $"{ServerOptions.HealthPath} is asked with GET or HEAD");
        if (IsRelay && _relay.IsPage(request.Head))
            return _drain.HasBegun ? Refusal.Draining : null;
        if (_options.Path != ServerOptions.EveryPath && request.Head.Path != _options.Path)
            return new Refusal(RefusalReason.NotFound, $"WebSocket clients connect to {_options.Path}");

        Refusal? refusal = Handshake.Check(request.Head.Upgrade);
        if (refusal is { Reason: RefusalReason.UpgradeRequired } && IsRelay && request.Head.Upgrade.Upgrade is null)
            return UpstreamRequest.NoPages;
        if (refusal is not null)
            return refusal;
        if (_drain.HasBegun)
            return Refusal.Draining;
        if (!_options.AllowOrigin.Allows(request.Head["Origin"]))
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
        if (!_drain.TryEnter())
        {
            _admission.Leave(address);
            await RefuseAsync(request, Refusal.Draining);
            return;
        }
        bool isServed = false;
        try
        {
            EndPoint remote = RemoteOf(request.Remote, address);
            if (IsRelay && _relay.IsPage(request.Head))
            {
                isServed = await _relay.PassPageAsync(request, remote, ended: Leaving(address));
            }
            else if (await (IsRelay ? _relay.UpgradeAsync(request, remote) : UpgradeAsync(request, remote)) is { } connection)
            {
                isServed = true;
                // Not awaited: this method's state machine would keep the request, and all that HttpListener made of it, as long as the connection lives.
                _ = ServeAsync(connection, address);
            }
        }
        finally
        {
            if (!isServed)
                Leave(address);
        }
    }

    /// <summary>Gives back the place of a request, or of its connection.</summary>
    private void Leave(IPAddress address)
    {
        _admission.Leave(address);
        _drain.Leave();
    }

    /// <summary>Gives back a place later. With the lambda in its caller each request would pay for it, and not pages alone.</summary>
    private Action Leaving(IPAddress address) => () => Leave(address);

    private IPAddress ClientOf(HttpRequest request)
    {
        ClientAddress client = _options.TrustProxy.ClientOf(request.Remote.Address, request.Head["X-Forwarded-For"], request.Head["Forwarded"]);
        // Once is enough: every request through that proxy may be like this one.
        if (client.IsDisputed && !Interlocked.Exchange(ref _toldDispute, true))
            _log.ProxyHeadersDisagree(request.Remote);
        return client.Address;
    }

    /// <summary>The client as the log and the status show it. A client that came through a proxy is shown with the proxy.</summary>
    private static EndPoint RemoteOf(IPEndPoint peer, IPAddress client) => client.Equals(peer.Address) ? peer : new ForwardedEndPoint(client, peer);

    /// <returns>A connection to be served, whose client has its 101; null if the client went before.</returns>
    private async ValueTask<Connection?> UpgradeAsync(HttpRequest request, EndPoint remote)
    {
        string[] offers = Subprotocols.Offers(request.Head["Sec-WebSocket-Protocol"])!;
        string? protocol = _options.Subprotocol.Choose(offers);
        EventLoop loop = request.Loop;
        Transport transport;
        try
        {
            transport = await request.UpgradeAsync(request.Head["Sec-WebSocket-Key"]!, protocol);
        }
        catch (IOException e)
        {
            _log.UpgradeFailed(remote, e);
            return null;
        }

        try
        {
            return new EchoConnection(_table.NextId(), remote, transport, _context, Random.Shared.NextDouble(), loop.Wheel)
            {
                IsBehindProxy = _options.TrustProxy.Trusts(request.Remote.Address),
                OffersNotSpoken = protocol is null ? offers.Length : 0,
                Client = _clients.Share(ClientInfo.Of(request.Head, protocol)),
            };
        }
        catch
        {
            await transport.DisposeAsync();
            throw;
        }
    }

    /// <summary>Serves a connection to its end. Whatever goes wrong, the connection leaves the table. Otherwise a drain would wait for it.</summary>
    private async Task ServeAsync(Connection connection, IPAddress address)
    {
        Disconnect? end = null;
        try
        {
            int count = _table.Add(connection);
            _metrics.CountOpened(count);
            _log.Connected(connection.Id, connection.Remote, connection.Client, count);
            _drain.OnOpened(connection);
            end = await connection.RunAsync();
            _metrics.CountEnd(end.Cause, end.Verdict);
            ConnectionFigures figures = connection.Figures();
            _log.Ended(connection.Id, connection.Remote, connection.Client, end, figures);
            _metrics.CountLife(end.Cause, figures);
            _ends.Add(connection.Id, connection.Remote, connection.Client, end, figures, _table.Count);
        }
#pragma warning disable CA1031 // There may be no memory even for a line in the log. That costs this connection, and nobody else.
        catch (Exception e)
#pragma warning restore CA1031
        {
            if (end is null)
            {
                _metrics.CountEnd(DisconnectCause.InternalError);
                connection.Cut(new Disconnect(DisconnectCause.InternalError, e.GetType().Name, e));
            }
            _log.ConnectionFailed(connection.Id, e);
        }
        finally
        {
            _table.Remove(connection);
            Leave(address);
        }
    }

    private async Task RefuseAsync(HttpRequest request, Refusal refusal)
    {
        CountRefused(request.Head, RemoteOf(request.Remote, ClientOf(request)), refusal);
        // RFC 9110 section 10.2.1: Allow has every method that the resource takes. That of an upgrade is GET alone.
        if (request.Head.Path == ServerOptions.HealthPath)
            await request.ReplyAsync(HttpReply.To(refusal) with { Headers = [("Allow", "GET, HEAD")] });
        else
            await (IsRelay ? _relay.ReplyAsync(request, refusal) : request.ReplyAsync(HttpReply.To(refusal)));
    }

    private void CountRefused(RequestHead head, EndPoint remote, Refusal refusal)
    {
        _metrics.CountRefused(refusal.Reason);
        switch (refusal.Reason)
        {
            case RefusalReason.ConnectionLimit:
                _log.LimitReached(refusal.Limit ?? _connectionLimit, remote, refusal);
                break;
            case RefusalReason.IpLimit:
                _log.LimitReached("--max-connections-per-ip", remote, refusal);
                break;
            default:
                // The target has visible characters only: RequestHead lets no other pass, which could move the cursor of a terminal.
                _log.Refused(remote, head.Method, head.ShownTarget, refusal);
                break;
        }
    }
}
