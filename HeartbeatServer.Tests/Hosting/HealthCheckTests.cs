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

    [TestCase("")]
    [TestCase("/")]
    [TestCase("/healthz")]
    public async Task A_URL_says_which_server_is_asked(string path)
    {
        await using ServerFixture server = ServerFixture.Start();
        _environment["HEARTBEAT_PORT"] = Text(ServerFixture.FreePort());

        Assert.That(await CheckAsync($"http://127.0.0.1:{Text(server.Port)}{path}"), Is.Zero);

        Assert.That(_output.ToString(), Does.StartWith($"healthy: http://127.0.0.1:{Text(server.Port)}/healthz answered 200 ok"));
    }

    [Test]
    public async Task A_server_behind_a_proxy_is_asked_by_its_own_name_and_on_the_path_of_the_URL()
    {
        using var proxy = new TcpListener(IPAddress.Loopback, 0);
        proxy.Start();
        string port = Text(((IPEndPoint)proxy.LocalEndpoint).Port);
        Task<int> checking = CheckAsync($"http://localhost:{port}/readyz?x=1");
        using TcpClient connection = await proxy.AcceptTcpClientAsync().InTime();
        using var reader = new StreamReader(connection.GetStream());
        List<string> head = [];
        while (await reader.ReadLineAsync().InTime() is { Length: > 0 } line)
            head.Add(line);
        // A page to which the answer sends a browser may be anybody's: it is not asked.
        await connection.GetStream().WriteAsync(Encoding.ASCII.GetBytes($"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{port}/login\r\nContent-Length: 0\r\n\r\n"));

        Assert.That(await checking, Is.EqualTo(1));

        Assert.That(head, Does.Contain("GET /readyz?x=1 HTTP/1.1").And.Contain($"Host: localhost:{port}"));
        Assert.That(_output.ToString(), Does.StartWith($"unhealthy: http://localhost:{port}/readyz?x=1 answered 302"));
    }

    [TestCase("ws://127.0.0.1:8080/ws")]
    [TestCase("127.0.0.1:8080")]
    [TestCase("localhost:8080")]
    [TestCase("/healthz")]
    [TestCase("http://")]
    [TestCase("now")]
    public async Task A_word_that_is_no_such_URL_is_refused(string word)
    {
        Assert.That(await CheckAsync(word), Is.EqualTo(2));

        Assert.That(_error.ToString(), Does.StartWith($"URL: '{word}' is not the http:// or https:// URL of a server"));
    }

    [Test]
    public async Task A_URL_stands_without_the_options_that_say_the_same()
    {
        Assert.That(await CheckAsync("http://127.0.0.1:8080", "--port", "8080"), Is.EqualTo(2));

        Assert.That(_error.ToString(), Does.StartWith("--port: not beside a URL"));
    }

    [Test]
    public async Task Its_help_is_about_the_health_check()
    {
        Assert.That(await CheckAsync("--help"), Is.Zero);

        Assert.That(
            _output.ToString(),
            Does.StartWith("Asks a running server how it is").And.Contain("healthcheck URL").And.Contain("--port <port>").And.Match("1 +not healthy").And.Not.Contain("--ping"));
    }

    [Test]
    public async Task The_link_of_a_Service_is_no_port()
    {
        await using ServerFixture server = ServerFixture.Start();
        _environment["HEARTBEAT_PORT"] = "tcp://10.0.0.11:8080";

        Assert.That(await CheckAsync("--port", Text(server.Port)), Is.Zero, _error.ToString);
    }

    [TestCase("--port", "http")]
    [TestCase("--ping")]
    [TestCase("--prot")]
    [TestCase("http://127.0.0.1:8080", "now")]
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

    private Task<int> CheckAsync(params string[] arguments) => new CommandLine(new Variables(_environment))
        .RunAsync(
            ["healthcheck", .. arguments],
            _output,
            _error,
            (_, _) => throw new InvalidOperationException("the server was started"),
            (url, isOwn) => HealthCheck.RunAsync(url, isOwn, _output),
            _ => throw new InvalidOperationException("the probe was started"))
        .InTime();
}
