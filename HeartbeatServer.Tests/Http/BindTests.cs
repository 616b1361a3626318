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

[TestFixture(RequestsFrom.HttpPort)]
[TestFixture(RequestsFrom.PlainLoop)]
public sealed class BindTests(RequestsFrom source)
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
            BindError.Describe(new HostPort(host, port), isAdmin: false, error),
            Is.EqualTo($"--port {port}: the port is in use. Stop what listens there, or choose another port."));
    }

    [Test]
    public async Task An_address_that_is_not_ours_is_named()
    {
        HttpListenerException error = await FailedStartAsync("192.0.2.77", ServerFixture.FreePort());

        Assert.That(
            BindError.Describe(new HostPort("192.0.2.77", 8080), isAdmin: false, error),
            Is.EqualTo("--host 192.0.2.77: this machine has no such address."));
    }

    [Test]
    public async Task A_name_that_does_not_resolve_is_named()
    {
        HttpListenerException error = await FailedStartAsync("no-such-host.invalid", ServerFixture.FreePort());

        Assert.That(
            BindError.Describe(new HostPort("no-such-host.invalid", 8080), isAdmin: false, error),
            Is.EqualTo("--host no-such-host.invalid: the name does not resolve to an address."));
    }

    [TestCase(98, "--port 80: the port is in use. Stop")]
    [TestCase(13, "--port 80: not allowed. Ports below")]
    [TestCase(99, "--host ::1: this machine has no such address.")]
    [TestCase(97, "--host ::1: this machine has no such address.")]
    [TestCase(50, "--host ::1: the name does not resolve")]
    [TestCase(77, "--host ::1 --port 80: ")]
    public void An_error_of_the_port_names_the_option_that_is_to_be_changed(int code, string start) =>
        Assert.That(BindError.Describe(new HostPort("::1", 80), isAdmin: false, new HttpListenerException(code)), Does.StartWith(start));

    [TestCase(98, "--admin [::1]:80: port 80 is in use. Stop")]
    [TestCase(13, "--admin [::1]:80: port 80 is not allowed. Ports below")]
    [TestCase(99, "--admin [::1]:80: this machine has no such address.")]
    [TestCase(50, "--admin [::1]:80: the name does not resolve")]
    [TestCase(77, "--admin [::1]:80: ")]
    public void An_error_of_the_admin_port_names_its_one_option(int code, string start) =>
        Assert.That(BindError.Describe(new HostPort("::1", 80), isAdmin: true, new HttpListenerException(code)), Does.StartWith(start));

    [Test]
    public void An_error_that_nobody_foresaw_has_its_number() =>
        Assert.That(BindError.Describe(new HostPort("*", 80), isAdmin: false, new HttpListenerException(77)), Does.EndWith("(error 77)."));

    [Test]
    public async Task The_start_line_says_where_to_connect_and_how_the_heart_beats()
    {
        await using ServerFixture server = ServerFixture.Start(source: source);

        string line = server.Log.Containing("Listening").Single();
        Assert.That(line, Does.Contain($"ws://127.0.0.1:{server.Port}/ws"));
        Assert.That(line, Does.Contain($"http://127.0.0.1:{server.Port}/healthz"));
        Assert.That(line, Does.Contain("10s").And.Contain("500ms").And.Contain("3 missed"));
        Assert.That(line, Does.Contain("Ctrl+C").And.Contain("8s"));
    }

    private async Task<HttpListenerException> FailedStartAsync(string host, int port)
    {
        var clock = new TestClock();
        using var loops = new EventLoops(() => clock.Wheel, count: 1, epoll: source == RequestsFrom.HttpPort);
        var sink = new LogSink();
        await using Serilog.Core.Logger logger = sink.Logger();
        using var metrics = new ServerMetrics();
        var context = new ServerContext(
            new ServerOptions { Host = host, Port = port }, clock.Time, loops, new ConnectionTable(), metrics, new EndLog(clock.Time), new ServerLog(logger));
        await using var server = new Server(context, new Drain(context.Table, TimeSpan.Zero, clock.Time, context.Log));
        var error = Assert.Throws<StartupException>(server.Start);
        Assert.That(sink.Lines, Is.Empty, "nothing is announced that does not listen");
        return (HttpListenerException)error!.InnerException!;
    }
}
