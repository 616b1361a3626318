using System.Net;
using System.Net.Sockets;
using HeartbeatServer.Connections;
using HeartbeatServer.Engine;
using HeartbeatServer.Hosting;
using HeartbeatServer.Http;
using HeartbeatServer.Options;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Http;

public sealed class BindTests
{
    [TestCase("127.0.0.1")]
    [TestCase("localhost")]
    [TestCase("*")]
    public async Task A_port_in_use_is_named(string host)
    {
        using var taken = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        taken.Bind(new IPEndPoint(host == "*" ? IPAddress.Any : IPAddress.Loopback, 0));
        taken.Listen();
        int port = ((IPEndPoint)taken.LocalEndPoint!).Port;

        HttpListenerException error = await FailedStartAsync(host, port);

        Assert.That(
            BindError.Describe(host, port, error),
            Is.EqualTo($"--port {port}: the port is in use. Stop what listens there, or choose another port."));
    }

    [Test]
    public async Task An_address_that_is_not_ours_is_named()
    {
        HttpListenerException error = await FailedStartAsync("192.0.2.77", ServerFixture.FreePort());

        Assert.That(BindError.Describe("192.0.2.77", 8080, error), Is.EqualTo("--host 192.0.2.77: this machine has no such address."));
    }

    [Test]
    public async Task A_name_that_does_not_resolve_is_named()
    {
        HttpListenerException error = await FailedStartAsync("no-such-host.invalid", ServerFixture.FreePort());

        Assert.That(
            BindError.Describe("no-such-host.invalid", 8080, error),
            Is.EqualTo("--host no-such-host.invalid: the name does not resolve to an address."));
    }

    [TestCase(98, "port is in use")]
    [TestCase(13, "not allowed")]
    [TestCase(99, "no such address")]
    [TestCase(50, "does not resolve")]
    [TestCase(77, "error 77")]
    public void Every_error_is_described(int code, string text)
    {
        string description = BindError.Describe("example.org", 80, new HttpListenerException(code));

        Assert.That(description, Does.Contain(text).And.StartsWith("--"));
    }

    [Test]
    public void This_runtime_has_what_the_takeover_needs()
    {
        Assert.That(HttpTakeover.CheckRuntime, Throws.Nothing);
    }

    [Test]
    public async Task The_start_line_says_where_to_connect_and_how_the_heart_beats()
    {
        await using ServerFixture server = ServerFixture.Start();

        string line = server.Log.Containing("Listening").Single();
        Assert.That(line, Does.Contain($"ws://127.0.0.1:{server.Port}/ws"));
        Assert.That(line, Does.Contain($"http://127.0.0.1:{server.Port}/healthz"));
        Assert.That(line, Does.Contain("10s").And.Contain("500ms").And.Contain("3 missed"));
        Assert.That(line, Does.Contain("Ctrl+C").And.Contain("8s"));
    }

    private static async Task<HttpListenerException> FailedStartAsync(string host, int port)
    {
        var clock = new TestClock();
        using var loops = new EventLoops(() => clock.Wheel, count: 1);
        var sink = new LogSink();
        await using Serilog.Core.Logger logger = sink.Logger();
        await using var server = new Server(
            new ServerOptions { Host = host, Port = port }, clock.Time, loops, new ConnectionTable(), new ServerMetrics(), new ServerLog(logger));
        var error = Assert.Throws<HttpListenerException>(server.Start);
        Assert.That(sink.Lines, Is.Empty, "nothing is announced that does not listen");
        return error!;
    }
}
