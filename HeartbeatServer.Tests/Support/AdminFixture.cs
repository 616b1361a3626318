using System.Text.Json;
using HeartbeatServer.Hosting;
using HeartbeatServer.Options;

namespace HeartbeatServer.Tests.Support;

/// <summary>A server with an admin site on a free port of the loopback interface.</summary>
internal sealed class AdminFixture : IAsyncDisposable
{
    private AdminFixture(ServerFixture server)
    {
        Server = server;
        Func<ServerState> state = () => HasBug ? throw new InvalidOperationException("a bug") : State ?? server.Server.State;
        Instruments.Create(server.Context, state);
        server.Admin.Start(state);
    }

    public ServerFixture Server { get; }
    public HostPort Address => Server.Options.Admin!;

    /// <summary>The state that the fixture reports in place of the server's own, if it is set.</summary>
    public ServerState? State { get; set; }

    /// <summary>Whether asking for the state throws.</summary>
    public bool HasBug { get; set; }

    /// <param name="host">The address to bind; <c>*</c> for all interfaces.</param>
    /// <param name="configure">Changes the options of the server.</param>
    public static async Task<AdminFixture> StartAsync(string host = "127.0.0.1", Func<ServerOptions, ServerOptions>? configure = null)
    {
        while (true)
        {
            ServerFixture server = ServerFixture.Start(options =>
                (configure?.Invoke(options) ?? options) with { Admin = new HostPort(host, ServerFixture.FreePort()) });
            try
            {
                return new AdminFixture(server);
            }
            catch (StartupException e) when (ServerFixture.IsPortTaken(e))
            {
                // Another program was faster. The fixture tries another port.
                await server.DisposeAsync();
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

    public ValueTask DisposeAsync() => Server.DisposeAsync();
}
