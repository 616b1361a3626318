using System.Net;
using System.Runtime.Versioning;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using HeartbeatServer.Connections;
using HeartbeatServer.Http;
using HeartbeatServer.Options;
using HeartbeatServer.Protocol;
using HeartbeatServer.Relay;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Hosting;

/// <summary>What the server does with <c>--upstream</c>: it asks the application for each upgrade, and passes pages on to it.</summary>
[SupportedOSPlatform("linux")]
internal sealed class RequestRelay : IAsyncDisposable
{
    private readonly ServerOptions _options;
    private readonly ConnectionContext _connections;
    private readonly ConnectionTable _table;
    private readonly Sharing<ClientInfo> _clients;
    private readonly Action<RequestHead, EndPoint, Refusal> _refused;
    private readonly ServerMetrics _metrics;
    private readonly ServerLog _log;
    private readonly TimeProvider _time;
    private readonly RelayWatch _watch;
    private readonly Upstream _upstream;

    /// <summary>Sends pages to the application; null if only WebSockets are relayed.</summary>
    private readonly Pages? _pages;

    /// <param name="application">Where the application is.</param>
    /// <param name="context">What it shares with the server.</param>
    /// <param name="connections">What all connections share.</param>
    /// <param name="clients">What is remembered of kinds of clients.</param>
    /// <param name="refused">Called for each request that is refused here.</param>
    /// <exception cref="StartupException"><c>--upstream-ca</c> cannot be read.</exception>
    public RequestRelay(
        UpstreamUrl application,
        ServerContext context,
        ConnectionContext connections,
        Sharing<ClientInfo> clients,
        Action<RequestHead, EndPoint, Refusal> refused)
    {
        (_options, _time, _, _table, _metrics, _, _log) = context;
        (_connections, _clients, _refused) = (connections, clients, refused);
        _watch = new RelayWatch(_time, _log);
        _upstream = new Upstream(new UpstreamAddresses(application.Address.Host, application.Address.Port, _time), _options.UpstreamTimeout)
        {
            Tls = application.HasTls ? TlsTo(application) : null,
        };
        if (_options.HasPages)
            _pages = new Pages(_upstream, application.Address.ToString(), _options.WriteTimeout, new PageBuffers(_table.Buffers), _time);
    }

    /// <summary>How many handshakes and pages are under way. Each has two descriptors.</summary>
    public int Count => _upstream.Count + (_pages?.Count ?? 0);

    /// <summary>Refuses all handshakes that are under way, and those that come: the server shuts down.</summary>
    public void Drain() => _upstream.Drain();

    /// <summary>Whether a request goes to the application as it is. What asks for a WebSocket does not, even if it does so in a wrong way.</summary>
    public bool IsPage(RequestHead head) =>
        _pages is not null && head["Upgrade"]?.Contains("websocket", StringComparison.OrdinalIgnoreCase) != true;

    /// <summary>Tells a client that its request is refused.</summary>
    public Task ReplyAsync(HttpRequest request, Refusal refusal) =>
        // A body that nobody reads would have the kernel answer with RST, which may destroy the refusal on its way.
        request.Head.HasBody && IsPage(request.Head) ? PageClient.RefuseAsync(request, refusal) : request.ReplyAsync(HttpReply.To(refusal));

    /// <summary>Asks the application for an upgrade.</summary>
    /// <param name="request">A request that has its place.</param>
    /// <param name="remote">The client as the log shows it.</param>
    /// <returns>A connection to be served, whose client has its 101; null if the client was refused, or went before.</returns>
    public async ValueTask<Connection?> UpgradeAsync(HttpRequest request, EndPoint remote)
    {
        Peer peer = PeerOf(request);
        byte[]? head = UpstreamRequest.Write(request.Head, _upstream.Instance, peer, out Refusal? refusal);
        if (head is null)
        {
            CountRefused(request.Head, remote, refusal!.Value);
            await ReplyAsync(request, refusal.Value);
            return null;
        }
        UpstreamHandshake handshake;
        try
        {
            handshake = new UpstreamHandshake(_upstream, request, head);
        }
        catch (IOException e)
        {
            _log.UpgradeFailed(remote, e);
            return null;
        }
        long asked = _time.GetTimestamp();
        RelayedUpgrade? upgrade = await handshake.RunAsync();
        if (handshake.Took > TimeSpan.Zero)
            _metrics.CountUpstreamHandshake(handshake.Took);
        if (upgrade is null)
        {
            Refusal refused = handshake.Refusal!.Value;
            CountRefused(request.Head, remote, refused);
            if (refused.Reason == RefusalReason.UpstreamRefused)
                _watch.OnAnswered(asked);
            await handshake.RefuseAsync();
            return null;
        }
        _watch.OnAnswered(asked);
        try
        {
            return new RelayConnection(_table.NextId(), remote, handshake.Client, upgrade, _connections, Random.Shared, request.Loop.Wheel)
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
    }

    /// <summary>Passes a page on.</summary>
    /// <param name="request">A request that has its place. It <see cref="IsPage"/>.</param>
    /// <param name="remote">The client as the log shows it.</param>
    /// <param name="ended">Called when the page has ended, if it has begun.</param>
    /// <returns>Whether the page has begun. If not, the client was refused, or went before.</returns>
    public async Task<bool> PassPageAsync(HttpRequest request, EndPoint remote, Action ended)
    {
        Page? page;
        Refusal? refusal;
        try
        {
            page = _pages!.Open(request, PeerOf(request), out refusal);
        }
        catch (IOException e)
        {
            _log.RequestGone(e);
            return false;
        }
        if (page is null)
        {
            CountRefused(request.Head, remote, refusal!.Value);
            await ReplyAsync(request, refusal.Value);
            return false;
        }
        // Not awaited: this method's state machine would keep the request, and all that HttpListener made of it, as long as the page lives.
        _ = ServeAsync(page, request.Head, remote, ended);
        return true;
    }

    /// <summary>Cuts the pages that are left.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_pages is null)
            return;
        await _pages.CutAllAsync();
        _pages.Dispose();
    }

    private async Task ServeAsync(Page page, RequestHead head, EndPoint remote, Action ended)
    {
        try
        {
            _metrics.CountPageBegun();
            long asked = _time.GetTimestamp();
            await page.RunAsync();
            CountEnd(page, head, remote, asked);
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
            ended();
        }
    }

    private void CountRefused(RequestHead head, EndPoint remote, in Refusal refusal)
    {
        _refused(head, remote, refusal);
        _watch.OnRefused(refusal);
    }

    private void CountEnd(Page page, RequestHead head, EndPoint remote, long asked)
    {
        bool hasAnswer = page.Status > 0;
        if (page.Failure is { Reason: not RefusalReason.ClientGone } refusal && !hasAnswer)
        {
            CountRefused(head, remote, refusal);
            return;
        }
        if (hasAnswer)
            _metrics.CountPage(page.Status);
        if (hasAnswer && page.Failure is null or { Reason: RefusalReason.ClientGone })
            _watch.OnAnswered(asked);
        if (page.Failure is { } failure && hasAnswer)
            _metrics.CountPageCut();
        else if (page.Failure is { } gone)
            _metrics.CountRefused(gone.Reason); // clients leave pages all the time: no line of a refusal
        _log.Page(remote, head.Method, head.ShownTarget, hasAnswer ? page.Status : page.Failure!.Value.Status, page.BytesOut, page.Failure);
    }

    private Peer PeerOf(HttpRequest request) =>
        new(request.Remote.Address.ToString(), _options.TrustProxy.Trusts(request.Remote.Address), _options.HttpScheme);

    private UpstreamTls TlsTo(UpstreamUrl application)
    {
        if (_options.UpstreamInsecure)
            _log.UpstreamInsecure(application.ToString());
        return new UpstreamTls(application.Address.Host, _options.UpstreamCa is { } file ? Authorities(file) : null, isVerified: !_options.UpstreamInsecure);
    }

    private static X509Certificate2Collection Authorities(string path)
    {
        PemFile file = PemFile.Read("--upstream-ca", path, PemFile.Certificates, out string? fault) ?? throw new StartupException($"{fault}.");
        var authorities = new X509Certificate2Collection();
        try
        {
            authorities.ImportFromPem(file.Text);
            return authorities;
        }
        catch (CryptographicException e)
        {
            throw new StartupException($"{file.Source}: a certificate in it is damaged.", e);
        }
    }
}
