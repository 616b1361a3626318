using System.Net;
using System.Runtime.Versioning;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
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

    /// <summary>The application behind the relay; null for the echo server, and where there is no epoll.</summary>
    private readonly Upstream? _upstream;

    /// <summary>Sends pages to the application; null if only WebSockets are relayed.</summary>
    private readonly Pages? _pages;

    private readonly EndLog _ends;

    /// <summary>What sets the limit of connections, for the log.</summary>
    private string _connectionLimit = "--max-connections";

    private bool _toldDispute;

    /// <param name="context">What it shares with those that watch it.</param>
    /// <param name="drain">Says whether new upgrades are refused; learns of every connection that comes and goes.</param>
    public Server(ServerContext context, Drain drain)
    {
        (_options, TimeProvider time, _loops, _table, _metrics, _ends, _log) = context;
        _drain = drain;
        _context = new ConnectionContext(
            _options.Timings, _options.OnMessage == OnMessage.Echo, _options.MaxMessage, _options.WriteTimeout, _table.Buffers, _log, _metrics);
        _admission = new Admission(_options.MaxConnections, _options.MaxConnectionsPerIp);
        var listen = new ListenOptions(
            _options.Host, _options.Port, _options.HandshakeTimeout, Tune: socket => TcpOptions.Apply(socket, _options.Timings))
        {
            Tls = context.Certificate is { } certificate ? certificate.AuthenticateAsync : null,
        };
        _requests = RequestSource.Create(listen, _loops, HandleAsync, time, () => OpenDescriptors, _metrics.CountRefused, _log);
        if (_options.Upstream is { } application && OperatingSystem.IsLinux())
        {
            _upstream = new Upstream(new UpstreamAddresses(application.Address.Host, application.Address.Port, time), _options.UpstreamTimeout)
            {
                Tls = application.HasTls ? TlsTo(application) : null,
            };
            drain.Begun = _upstream.Drain;
            if (_options.UpstreamHttp == UpstreamHttp.On)
                _pages = new Pages(_upstream, application.Address.ToString(), _options.WriteTimeout, time);
        }
    }

    /// <exception cref="StartupException"><c>--upstream-ca</c> cannot be read.</exception>
    private UpstreamTls TlsTo(UpstreamUrl application)
    {
        if (_options.UpstreamInsecure)
            _log.UpstreamInsecure(application.ToString());
        X509Certificate2Collection? authorities = _options.UpstreamCa is null ? null : [];
        try
        {
            authorities?.ImportFromPemFile(_options.UpstreamCa!);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or CryptographicException)
        {
            throw new StartupException($"--upstream-ca {_options.UpstreamCa}: {e.Message}", e);
        }
        if (authorities is { Count: 0 })
            throw new StartupException($"--upstream-ca {_options.UpstreamCa}: the file has no -----BEGIN CERTIFICATE-----.");
        return new UpstreamTls(application.Address.Host, authorities, isVerified: !_options.UpstreamInsecure);
    }

    public ServerState State =>
        _drain.HasBegun ? ServerState.Draining : _admission.IsFull || _requests.IsFull ? ServerState.Full : ServerState.Serving;

    /// <summary>Each connection is a descriptor. In a relay it is two, and so is a handshake, and a page.</summary>
    private int OpenDescriptors =>
        _upstream is null || !OperatingSystem.IsLinux() ? _table.Count : 2 * (_table.Count + _upstream.Count + (_pages?.Count ?? 0));

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
        int files = new OpenFiles().MaxConnections;
        int possible = _upstream is null ? files : files / 2;
        // Without epoll HttpListener accepts everybody, so the server itself refuses those for whom there is no descriptor. In a relay a request that was
        // accepted needs a second descriptor.
        if ((!_loops.HasEpoll || _upstream is not null) && _admission.LimitTo(possible))
            _connectionLimit = "The limit of open files (ulimit -n)";
        _requests.Start(files);
        if (_options.MaxConnections > possible)
            _log.TooFewFiles(_options.MaxConnections, possible);

        _log.Listening(
            _options.Address.Url(_options.HasTls ? "wss" : "ws", _options.Path == ServerOptions.EveryPath ? "/" : _options.Path),
            _options.Address.Url(_options.HttpScheme, ServerOptions.HealthPath),
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
        if (_pages is not null && OperatingSystem.IsLinux())
        {
            await _pages.CutAllAsync();
            _pages.Dispose();
        }
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
            return request.Head.Method is "GET" or "HEAD" ? null : new Refusal(RefusalReason.MethodNotAllowed, "GET it");
        if (IsPage(request))
            return _drain.HasBegun ? Refusal.Draining : null;
        if (_options.Path != ServerOptions.EveryPath && request.Head.Path != _options.Path)
            return new Refusal(RefusalReason.NotFound, $"not found; WebSocket clients connect to {_options.Path}");

        Refusal? refusal = Handshake.Check(request.Head.Upgrade);
        if (refusal is { Reason: RefusalReason.UpgradeRequired } && _options.Upstream is not null && request.Head.Upgrade.Upgrade is null)
            return UpstreamRequest.NoPages;
        if (refusal is not null)
            return refusal;
        if (_drain.HasBegun)
            return Refusal.Draining;
        if (!_options.AllowOrigin.Allows(request.Head["Origin"]))
            return new Refusal(RefusalReason.Origin, "this page's origin is not allowed");
        return null;
    }

    /// <summary>Whether a request goes to the application as it is. What asks for a WebSocket does not, even if it does so in a wrong way.</summary>
    private bool IsPage(HttpRequest request) =>
        _pages is not null && request.Head["Upgrade"]?.Contains("websocket", StringComparison.OrdinalIgnoreCase) != true;

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
            isServed = _upstream is null || !OperatingSystem.IsLinux()
                ? await UpgradeAsync(request, address)
                : _pages is not null && IsPage(request)
                    ? await PassPageAsync(request, address, _pages)
                    : await RelayAsync(request, address, _upstream);
        }
        finally
        {
            if (!isServed)
            {
                _admission.Leave(address);
                _drain.Leave();
            }
        }
    }

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

    /// <returns>True if the connection is served and gives its place back when it ends; false if the client went before the 101.</returns>
    private async Task<bool> UpgradeAsync(HttpRequest request, IPAddress address)
    {
        EndPoint remote = RemoteOf(request.Remote, address);
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
            return false;
        }

        Connection connection;
        try
        {
            connection = new EchoConnection(_table.NextId(), remote, transport, _context, Random.Shared.NextDouble(), loop.Wheel)
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
        // Not awaited: this method's state machine would keep the request, and all that HttpListener made of it, as long as the connection lives.
        _ = ServeAsync(connection, address);
        return true;
    }

    /// <summary>Asks the application for an upgrade, and relays.</summary>
    /// <returns>As for <see cref="UpgradeAsync"/>.</returns>
    [SupportedOSPlatform("linux")]
    private async Task<bool> RelayAsync(HttpRequest request, IPAddress address, Upstream upstream)
    {
        Peer peer = PeerOf(request);
        byte[]? head = UpstreamRequest.Write(request.Head, upstream.Instance, peer, out Refusal? refusal);
        if (head is null)
        {
            await RefuseAsync(request, refusal!.Value);
            return false;
        }
        EndPoint remote = RemoteOf(request.Remote, address);
        UpstreamHandshake handshake;
        try
        {
            handshake = new UpstreamHandshake(upstream, request, head);
        }
        catch (IOException e)
        {
            _log.UpgradeFailed(remote, e);
            return false;
        }
        RelayedUpgrade? upgrade = await handshake.RunAsync();
        if (handshake.Took > TimeSpan.Zero)
            _metrics.CountUpstreamHandshake(handshake.Took);
        if (upgrade is null)
        {
            CountRefused(request.Head, remote, handshake.Refusal!.Value);
            await handshake.RefuseAsync();
            return false;
        }
        RelayConnection connection;
        try
        {
            connection = new RelayConnection(_table.NextId(), remote, handshake.Client, upgrade, _context, Random.Shared, request.Loop.Wheel)
            {
                IsBehindProxy = peer.IsTrusted,
                // The subprotocol is the application's choice: its name is not told, because applications put tokens into it.
                Client = _clients.Share(ClientInfo.Of(request.Head, subprotocol: null)),
            };
        }
        catch
        {
            upgrade.Leg.Dispose();
            await handshake.Client.DisposeAsync();
            throw;
        }
        _ = ServeAsync(connection, address); // not awaited, as above
        return true;
    }

    private Peer PeerOf(HttpRequest request) =>
        new(request.Remote.Address.ToString(), _options.TrustProxy.Trusts(request.Remote.Address), _options.HttpScheme);

    /// <summary>Passes a page on.</summary>
    /// <returns>True if the page gives its place back when it ends; false if it has not begun.</returns>
    [SupportedOSPlatform("linux")]
    private async Task<bool> PassPageAsync(HttpRequest request, IPAddress address, Pages pages)
    {
        Page? page;
        Refusal? refusal;
        try
        {
            page = pages.Open(request, PeerOf(request), out refusal);
        }
        catch (IOException e)
        {
            _log.RequestGone(e);
            return false;
        }
        if (page is null)
        {
            await RefuseAsync(request, refusal!.Value);
            return false;
        }
        _ = ServeAsync(page, request.Head, RemoteOf(request.Remote, address), address); // not awaited, as above
        return true;
    }

    [SupportedOSPlatform("linux")]
    private async Task ServeAsync(Page page, RequestHead head, EndPoint remote, IPAddress address)
    {
        try
        {
            _metrics.CountPageBegun();
            await page.RunAsync();
            Count(page, head, remote);
        }
#pragma warning disable CA1031 // A failure with one page must not end the others.
        catch (Exception e)
#pragma warning restore CA1031
        {
            _log.RequestFailed(e);
        }
        finally
        {
            _metrics.CountPageEnded();
            _admission.Leave(address);
            _drain.Leave();
        }
    }

    [SupportedOSPlatform("linux")]
    private void Count(Page page, RequestHead head, EndPoint remote)
    {
        bool hasAnswer = page.Status > 0;
        if (page.Failure is { Reason: not RefusalReason.ClientGone } refusal && !hasAnswer)
        {
            CountRefused(head, remote, refusal);
            return;
        }
        if (hasAnswer)
            _metrics.CountPage(page.Status);
        if (page.Failure is { } failure && hasAnswer)
            _metrics.CountPageCut();
        else if (page.Failure is { } gone)
            _metrics.CountRefused(gone.Reason); // clients leave pages all the time: no line of a refusal
        _log.Page(remote, head.Method, head.ShownTarget, hasAnswer ? page.Status : page.Failure!.Value.Status, page.BytesOut, page.Failure);
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
            _admission.Leave(address);
            _drain.Leave();
        }
    }

    private async Task RefuseAsync(HttpRequest request, Refusal refusal)
    {
        CountRefused(request.Head, RemoteOf(request.Remote, ClientOf(request)), refusal);
        // A body that nobody reads would have the kernel answer with RST, which may destroy the refusal on its way.
        if (request.Head.HasBody && IsPage(request) && OperatingSystem.IsLinux())
            await PageClient.RefuseAsync(request, refusal);
        else
            await request.ReplyAsync(HttpReply.To(refusal));
    }

    private void CountRefused(RequestHead head, EndPoint remote, in Refusal refusal)
    {
        _metrics.CountRefused(refusal.Reason);
        switch (refusal.Reason)
        {
            case RefusalReason.ConnectionLimit:
                _log.LimitReached(_connectionLimit, remote, refusal);
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
