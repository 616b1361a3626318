using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using HeartbeatServer.Hosting;
using HeartbeatServer.Options;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Hosting;

public sealed class HealthCheckTests
{
    private readonly Dictionary<string, string> _environment = [];
    private StringWriter _output = null!;
    private StringWriter _error = null!;

    [SetUp]
    public void SetUp()
    {
        _environment.Clear();
        (_output, _error) = (new StringWriter(), new StringWriter());
    }

    [TearDown]
    public void TearDown()
    {
        _output.Dispose();
        _error.Dispose();
    }

    [Test]
    public async Task A_server_that_serves_is_healthy([Values] bool fromEnvironment)
    {
        await using ServerFixture server = ServerFixture.Start();
        string port = Text(server.Port);
        if (fromEnvironment)
            (_environment["HEARTBEAT_PORT"], _environment["HEARTBEAT_HOST"]) = (port, "127.0.0.1");

        Assert.That(await (fromEnvironment ? CheckAsync() : CheckAsync("--port", port)), Is.Zero);

        Assert.That(_output.ToString(), Is.EqualTo($"healthy: http://127.0.0.1:{port}/healthz answered 200 ok{Environment.NewLine}"));
    }

    [Test]
    public async Task The_command_line_wins_over_the_environment()
    {
        await using ServerFixture server = ServerFixture.Start();
        _environment["HEARTBEAT_PORT"] = Text(ServerFixture.FreePort());

        Assert.That(await CheckAsync("--port", Text(server.Port)), Is.Zero);
    }

    [Test]
    public async Task A_server_that_drains_is_not_healthy_and_says_so()
    {
        await using ServerFixture server = ServerFixture.Start();
        using ScriptedPeer peer = await server.UpgradedPeerAsync();
        await server.ConnectionAsync();
        using var now = new CancellationTokenSource();
        Task draining = server.Drain.RunAsync("test", now.Token);
        Assert.That((await peer.ReadFrameAsync()).Close, Does.StartWith("1001"));

        Assert.That(await CheckAsync("--port", Text(server.Port)), Is.EqualTo(1));

        Assert.That(_output.ToString(), Is.EqualTo($"unhealthy: http://127.0.0.1:{Text(server.Port)}/healthz answered 503 draining{Environment.NewLine}"));
        await now.CancelAsync();
        await draining.InTime();
    }

    [Test]
    public async Task Where_nobody_listens_it_is_not_healthy_and_says_why()
    {
        string port = Text(ServerFixture.FreePort());

        Assert.That(await CheckAsync("--port", port), Is.EqualTo(1));

        Assert.That(_output.ToString(), Does.StartWith($"unhealthy: http://127.0.0.1:{port}/healthz: ").And.Contain("refused"));
        Assert.That(_output.ToString().TrimEnd(), Does.Not.Contain("\n"), "one line");
    }

    [Test]
    public async Task A_server_that_accepts_and_says_nothing_is_not_waited_for()
    {
        using var mute = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        mute.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        mute.Listen();

        Assert.That(await CheckAsync("--port", Text(((IPEndPoint)mute.LocalEndPoint!).Port)), Is.EqualTo(1));

        Assert.That(_output.ToString(), Does.Contain("no answer within 2s"));
    }

    [TestCase("<html>\n<body>\n", ExpectedResult = "<html>")]
    [TestCase("\u001b[2Jgone", ExpectedResult = "")]
    [TestCase("a line of more than eighty characters, as programs write that have a lot to say for themselves", ExpectedResult =
        "a line of more than eighty characters, as programs write that have a lot to say ")]
    public async Task<string> Of_another_program_that_listens_there_only_the_first_line_is_shown(string body)
    {
        using var other = new TcpListener(IPAddress.Loopback, 0);
        other.Start();
        string port = Text(((IPEndPoint)other.LocalEndpoint).Port);
        Task<int> checking = CheckAsync("--port", port);
        using TcpClient connection = await other.AcceptTcpClientAsync().InTime();
        // The answer has no end: it gives no length, and the connection stays open.
        await connection.GetStream().WriteAsync(Encoding.ASCII.GetBytes($"HTTP/1.1 418 Teapot\r\n\r\n{body}{new string('.', 200)}"));

        Assert.That(await checking, Is.EqualTo(1));

        string start = $"unhealthy: http://127.0.0.1:{port}/healthz answered 418 ";
        Assert.That(_output.ToString(), Does.StartWith(start));
        return _output.ToString()[start.Length..^Environment.NewLine.Length];
    }

    [Test]
    public async Task An_answer_that_breaks_off_is_no_good_one()
    {
        using var other = new TcpListener(IPAddress.Loopback, 0);
        other.Start();
        Task<int> checking = CheckAsync("--port", Text(((IPEndPoint)other.LocalEndpoint).Port));
        using (TcpClient connection = await other.AcceptTcpClientAsync().InTime())
            await connection.GetStream().WriteAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"u8.ToArray());

        Assert.That(await checking, Is.EqualTo(1));

        Assert.That(_output.ToString(), Does.StartWith("unhealthy: "));
    }

    [Test]
    public async Task What_is_bound_to_one_address_is_asked_there()
    {
        string port = Text(ServerFixture.FreePort());

        Assert.That(await CheckAsync("--host", "::1", "--port", port), Is.EqualTo(1));

        Assert.That(_output.ToString(), Does.StartWith($"unhealthy: http://[::1]:{port}/healthz: "));
    }

    [TestCase("*", "127.0.0.1")]
    [TestCase("::", "127.0.0.1")]
    [TestCase("0.0.0.0", "127.0.0.1")]
    [TestCase("::1", "[::1]")]
    public async Task A_server_is_asked_where_it_listens(string host, string asked)
    {
        if (host.Contains(':', StringComparison.Ordinal) && !Socket.OSSupportsIPv6)
            Assert.Ignore("this machine has no IPv6");
        Assert.That(HostPort.TryParseHost(host, out string? bound), Is.True);
        await using ServerFixture server = ServerFixture.Start(options => options with { Host = bound! });
        string port = Text(server.Port);

        Assert.That(await CheckAsync("--host", host, "--port", port), Is.Zero);

        Assert.That(_output.ToString(), Does.StartWith($"healthy: http://{asked}:{port}/healthz answered 200 ok"));
    }

    [TestCase("--port", "http")]
    [TestCase("--ping", "10s")]
    [TestCase("now")]
    public async Task A_bad_command_line_is_2_and_nobody_is_asked(params string[] arguments)
    {
        Assert.That(await CheckAsync(arguments), Is.EqualTo(2));

        Assert.That(_error.ToString(), Does.Contain(arguments[^1]).And.Contain("See --help."));
        Assert.That(_output.ToString(), Is.Empty);
    }

    [Test]
    public async Task A_bad_variable_is_2_and_is_named()
    {
        _environment["HEARTBEAT_PORT"] = "http";

        Assert.That(await CheckAsync(), Is.EqualTo(2));

        Assert.That(_error.ToString(), Does.StartWith("HEARTBEAT_PORT: 'http' is not"));
    }

    private static string Text(int port) => port.ToString(CultureInfo.InvariantCulture);

    private Task<int> CheckAsync(params string[] arguments) => new CommandLine(name => _environment.GetValueOrDefault(name))
        .RunAsync(
            ["healthcheck", .. arguments],
            _output,
            _error,
            _ => throw new InvalidOperationException("the server was started"),
            address => HealthCheck.RunAsync(address, _output))
        .InTime();
}
