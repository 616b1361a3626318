using System.Net;
using System.Net.Sockets;
using HeartbeatServer.Options;

namespace HeartbeatServer.Tests.Support;

/// <summary>A relay under a clock that the test moves, before an application that does exactly what the test says.</summary>
internal sealed class RelayFixture : IAsyncDisposable
{
    private TcpListener _application = new(IPAddress.Loopback, 0);

    /// <param name="configure">Changes the options of the relay.</param>
    /// <param name="hasTls">Whether the URL of the application has the scheme of TLS.</param>
    public RelayFixture(Func<ServerOptions, ServerOptions>? configure = null, bool hasTls = false)
    {
        _application.Start();
        var address = new HostPort(HostPort.Loopback, ((IPEndPoint)_application.LocalEndpoint).Port);
        Server = ServerFixture.Start(options =>
        {
            ServerOptions relay = options with { Upstream = new UpstreamUrl(address, hasTls), Path = ServerOptions.EveryPath, MaxMessage = 0 };
            return configure?.Invoke(relay) ?? relay;
        });
    }

    public ServerFixture Server { get; }

    /// <summary>Connects a client, and sends a request.</summary>
    public async Task<ScriptedPeer> ClientAsync(string? request = null)
    {
        ScriptedPeer client = Server.Options.HasTls ? await ScriptedPeer.ConnectTlsAsync(Server.Port) : await ScriptedPeer.ConnectAsync(Server.Port);
        await client.SendAsync(request ?? ScriptedPeer.Upgrade("/chat"));
        return client;
    }

    /// <summary>Takes the next connection to the application.</summary>
    public async Task<ScriptedPeer> ApplicationAsync() => new(await _application.AcceptSocketAsync().InTime());

    /// <summary>Whether a connection waits for <see cref="ApplicationAsync"/>.</summary>
    public bool HasPending => _application.Pending();

    /// <summary>Connects a client, and lets the application agree.</summary>
    /// <param name="early">What the application sends behind its answer.</param>
    public async Task<(ScriptedPeer Client, ScriptedPeer Application)> PairAsync(params byte[][] early)
    {
        ScriptedPeer client = await ClientAsync();
        ScriptedPeer application = await ApplicationAsync();
        await application.ReadHeadAsync();
        await application.SendAsync([Answer(), .. early]);
        Assert.That(await client.ReadHeadAsync(), Does.StartWith("HTTP/1.1 101 "));
        return (client, application);
    }

    /// <summary>Stops the application: it takes no connection any more.</summary>
    public void StopApplication() => _application.Stop();

    /// <summary>Starts the application again, where it was.</summary>
    public void StartApplication()
    {
        _application = new TcpListener(IPAddress.Loopback, Server.Options.Upstream!.Address.Port);
        _application.Start();
    }

    /// <summary>The answer to <see cref="ScriptedPeer.Key"/>.</summary>
    public static byte[] Answer(string fields = "") => System.Text.Encoding.ASCII.GetBytes(
        $"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ScriptedPeer.Accept}\r\n{fields}\r\n");

    public async ValueTask DisposeAsync()
    {
        await Server.DisposeAsync();
        _application.Dispose();
    }
}
