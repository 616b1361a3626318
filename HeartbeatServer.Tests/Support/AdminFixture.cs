using System.Net;
using System.Text.Json;
using HeartbeatServer.Admin;
using HeartbeatServer.Hosting;
using HeartbeatServer.Options;
using HeartbeatServer.Telemetry;
using Serilog.Core;

namespace HeartbeatServer.Tests.Support;

/// <summary>A server with an admin listener on a free port of the loopback interface.</summary>
internal sealed class AdminFixture : IAsyncDisposable
{
    private readonly Logger _logger;

    private AdminFixture(ServerFixture server, HostPort address)
    {
        Server = server;
        _logger = server.Log.Logger();
        Address = address;
        Func<ServerState> state = () => HasBug ? throw new InvalidOperationException("a bug") : State ?? server.Server.State;
        Page = new PrometheusPage(server.Metrics.Meter, new OpenFiles("/proc/self"));
        History = new History(server.Metrics, server.Table, server.Clock.Time);
        var status = new Status(
            server.Options, server.Clock.Time, server.Loops, server.Table, server.Metrics, server.Ends, state);
        Instruments.Create(server.Metrics, server.Table, server.Options.MaxConnections, state);
        Listener = new AdminListener(address, server.Clock.Time, new ServerLog(_logger));
        Listener.Start(new AdminRoutes(status, History, Page, new DashboardFiles(typeof(AdminFixture).Assembly), state));
    }

    public ServerFixture Server { get; }
    public HostPort Address { get; }
    public AdminListener Listener { get; }
    public PrometheusPage Page { get; }
    public History History { get; }

    /// <summary>Stands for the server's own, if set.</summary>
    public ServerState? State { get; set; }

    /// <summary>Whether asking for the state throws.</summary>
    public bool HasBug { get; set; }

    /// <param name="host">To bind; <c>*</c> is all.</param>
    /// <param name="configure">Changes the options of the server.</param>
    public static async Task<AdminFixture> StartAsync(string host = "127.0.0.1", Func<ServerOptions, ServerOptions>? configure = null)
    {
        ServerFixture server = ServerFixture.Start(configure);
        while (true)
        {
            try
            {
                return new AdminFixture(server, new HostPort(host, ServerFixture.FreePort()));
            }
            catch (HttpListenerException e) when (e.ErrorCode is 98 or 48 or 10048 or 32 or 183)
            {
                // Somebody was faster; another port.
                await Task.Yield();
            }
        }
    }

    public Task<HttpReply> GetAsync(string path, string? host = "localhost") => RequestAsync("GET", path, host);

    public async Task<HttpReply> RequestAsync(string method, string path, string? host = "localhost", string headers = "", bool hasBody = true)
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(Address.Port);
        string hostLine = host is null ? "" : $"Host: {host}\r\n";
        await peer.SendAsync($"{method} {path} HTTP/1.{(host is null ? 0 : 1)}\r\n{hostLine}{headers}\r\n");
        return await peer.ReadReplyAsync(hasBody && method != "HEAD");
    }

    public async Task<JsonElement> JsonAsync(string path, int status = 200)
    {
        HttpReply reply = await GetAsync(path);
        Assert.That((reply.Status, reply["Content-Type"]), Is.EqualTo((status, "application/json; charset=utf-8")), reply.Body);
        using JsonDocument document = JsonDocument.Parse(reply.Body);
        return document.RootElement.Clone();
    }

    /// <summary>A figure of /metrics, by its name and labels.</summary>
    public async Task<double> FigureAsync(string name)
    {
        HttpReply reply = await GetAsync("/metrics");
        Assert.That(reply.Status, Is.EqualTo(200), reply.Body);
        string line = reply.Body.Split('\n').Single(line => line.StartsWith(name + " ", StringComparison.Ordinal));
        return double.Parse(line[(name.Length + 1)..], System.Globalization.CultureInfo.InvariantCulture);
    }

    public async ValueTask DisposeAsync()
    {
        await Server.DisposeAsync();
        await Task.Run(Listener.Dispose).InTime();
        Page.Dispose();
        await _logger.DisposeAsync();
    }
}
