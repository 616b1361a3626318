using HeartbeatServer.Options;
using Serilog.Events;

namespace HeartbeatServer.Tests.Options;

public sealed class CommandLineTests
{
    /// <summary>For each option: a good value and what it becomes, and a bad value and what would be accepted.</summary>
    private static readonly Row[] Rows =
    [
        new("--port", "8081", "8081", options => options.Port, ["0", "65536", "-1", "http", "80.5"], "a whole number from 1 to 65535"),
        new("--host", "127.0.0.1", "127.0.0.1", options => options.Host, ["a b", "http://x/"], "an address, a host name or *"),
        new("--path", "/live/feed", "/live/feed", options => options.Path, ["ws", "//ws", "/ws?x=1", "/ws#x", "/a b"], "a URL path"),
        new("--ping", "1m30s", "00:01:30", options => options.Ping, ["10", "-1s", "1ms", "25h", "soon"], "a duration from 8ms to 24h, or 0"),
        new("--timeout", "2s", "00:00:02", options => options.Timeout, ["500", "1ms", "25h"], "a duration from 8ms to 24h, or 0"),
        new("--max-missed", "1", "1", options => options.MaxMissed, ["0", "-3", "1001", "few"], "a whole number from 1 to 1000"),
        new("--on-message", "discard", "Discard", options => options.OnMessage, ["reverse", "0"], "one of echo, discard"),
        new("--max-message", "64KiB", "65536", options => options.MaxMessage, ["2GiB", "-1", "1XB", "big"], "a size from 1B to 1GiB, or 0 with --upstream, such as"),
        new(
            "--upstream",
            "ws://[::1]:3000",
            "http://[::1]:3000",
            options => options.Upstream?.ToString() ?? "none",
            ["app:3000", "ftp://app:3000", "http://", "http:///", "http://app:0", "ws://", "ws://:3000", "ws://app:0", "ws://app:65536", "ws://a b:3000", "ws://*:3000"],
            "the URL of an application"),
        new("--upstream-ca", "/etc/ssl/ca.pem", "/etc/ssl/ca.pem", options => options.UpstreamCa ?? "none", ["/etc/ssl/", " "], "the path of a file")
        {
            Beside = "--upstream", BesideValue = "wss://app",
        },
        new("--upstream-insecure", "true", "True", options => options.UpstreamInsecure, ["yes", "1"], "one of true, false")
        {
            Beside = "--upstream", BesideValue = "https://app",
        },
        new("--upstream-http", "off", "Off", options => options.UpstreamHttp, ["yes", "0"], "one of on, off") { Beside = "--upstream", BesideValue = "http://app" },
        new("--tls-cert", "/etc/ssl/fullchain.pem", "/etc/ssl/fullchain.pem", options => options.TlsCert ?? "none", ["/etc/ssl/", " "], "the path of a file") { Beside = "--tls-key" },
        new("--tls-key", "/etc/ssl/privkey.pem", "/etc/ssl/privkey.pem", options => options.TlsKey ?? "none", ["/etc/ssl/", " "], "the path of a file") { Beside = "--tls-cert" },
        new("--upstream-timeout", "3s", "00:00:03", options => options.UpstreamTimeout, ["0", "1ms", "25h", "soon"], "a duration from 100ms to 24h")
        {
            Beside = "--upstream", BesideValue = "http://app",
        },
        new("--max-connections", "5000", "5000", options => options.MaxConnections, ["-1", "many"], "a whole number from 0"),
        new("--max-connections-per-ip", "20", "20", options => options.MaxConnectionsPerIp, ["-1", "1.5"], "a whole number from 0"),
        new("--allow-origin", "https://a.example", "https://a.example", options => options.AllowOrigin, ["a.example", "https://a.example/x", "*"], "an origin: https://"),
        new("--subprotocol", "mqtt", "mqtt", options => options.Subprotocol, ["a b", "a/b", "ü"], "the name of a subprotocol"),
        new("--trust-proxy", "10.0.0.0/8", "10.0.0.0/8", options => options.TrustProxy, ["10.0.0.0/33", "proxy", "10.0.0.0/40"], "an address or a network"),
        new("--max-buffered", "64MiB", "67108864", options => options.MaxBuffered, ["-1", "2TiB", "1 GB"], "a size from 1B to 1TiB, or 0, such as"),
        new("--write-timeout", "2s", "00:00:02", options => options.WriteTimeout, ["0", "1ms", "25h"], "a duration from 100ms to 24h"),
        new("--handshake-timeout", "2s", "00:00:02", options => options.HandshakeTimeout, ["0", "1ms", "25h"], "a duration from 100ms to 24h"),
        new("--drain", "0", "00:00:00", options => options.Drain, ["8", "-1s", "25h"], "a duration from 1ms to 24h, or 0"),
        new("--summary", "1m", "00:01:00", options => options.Summary, ["5", "100ms", "25h"], "a duration from 1s to 24h, or 0"),
        new(
            "--admin",
            "9090",
            "127.0.0.1:9090",
            options => options.Admin!,
            ["0", "65536", "x", "127.0.0.1", "::1:9090", "a b:9090", ":9090", "http://x:9090"],
            "a port from 1 to 65535, host:port"),
        new("--log-level", "debug", "Debug", options => options.LogLevel, ["loud", "2"], "one of verbose, debug, information, warning, error, fatal"),
        new("--log-format", "json", "Json", options => options.LogFormat, ["xml", "1"], "one of text, json"),
        new("--plain-requests", "true", "True", options => options.PlainRequests, ["yes", "1"], "one of true, false") { IsHidden = true },
    ];

    private readonly Dictionary<string, string> _environment = [];
    private StringWriter _output = null!;
    private StringWriter _error = null!;
    private ServerOptions? _served;
    private StrayVariables? _stray;

    private static IEnumerable<TestCaseData> Good() => Rows.Select(row => new TestCaseData(row).SetArgDisplayNames(row.Option));

    private static IEnumerable<TestCaseData> Bad() =>
        Rows.SelectMany(row => row.Bad.Select(value => new TestCaseData(row, value).SetArgDisplayNames(row.Option, value)));

    [SetUp]
    public void SetUp()
    {
        _environment.Clear();
        (_output, _error, _served, _stray) = (new StringWriter(), new StringWriter(), null, null);
    }

    [TearDown]
    public void TearDown()
    {
        _output.Dispose();
        _error.Dispose();
    }

    [Test]
    public async Task Without_arguments_the_defaults_are_those_of_the_design()
    {
        Assert.That(await RunAsync(), Is.Zero);

        Assert.That(_served, Is.EqualTo(new ServerOptions
        {
            Port = 8080,
            Host = "*",
            Path = "/ws",
            Ping = TimeSpan.FromSeconds(10),
            Timeout = TimeSpan.FromMilliseconds(500),
            MaxMissed = 3,
            OnMessage = OnMessage.Echo,
            MaxMessage = 1024 * 1024,
            HandshakeTimeout = TimeSpan.FromSeconds(10),
            WriteTimeout = TimeSpan.FromSeconds(30),
            Drain = TimeSpan.FromSeconds(8),
            LogLevel = LogEventLevel.Information,
            LogFormat = LogFormat.Text,
        }));
        Assert.That(_error.ToString(), Is.Empty);
    }

    [TestCaseSource(nameof(Good))]
    public async Task An_option_is_read(object row)
    {
        var (option, value, expected, read) = CaseOf(row);

        Assert.That(await RunAsync(option, value), Is.Zero);

        Assert.That($"{read(_served!)}", Is.EqualTo(expected));
    }

    [TestCaseSource(nameof(Good))]
    public async Task An_option_is_read_in_the_form_with_an_equals_sign(object row)
    {
        var (option, value, expected, read) = CaseOf(row);

        Assert.That(await RunAsync($"{option}={value}"), Is.Zero);

        Assert.That($"{read(_served!)}", Is.EqualTo(expected));
    }

    [TestCaseSource(nameof(Good))]
    public async Task An_option_comes_from_the_environment(object row)
    {
        var (option, value, expected, read) = CaseOf(row);
        _environment[Variable(option)] = value;

        Assert.That(await RunAsync(), Is.Zero);

        Assert.That($"{read(_served!)}", Is.EqualTo(expected));
    }

    [TestCaseSource(nameof(Good))]
    public async Task The_command_line_wins_over_the_environment(object row)
    {
        var (option, value, expected, read) = CaseOf(row);
        // The flag wins even over a variable whose value would be refused.
        _environment[Variable(option)] = ((Row)row).Bad[0];

        Assert.That(await RunAsync(option, value), Is.Zero);

        Assert.That($"{read(_served!)}", Is.EqualTo(expected));
    }

    [TestCaseSource(nameof(Bad))]
    public async Task A_bad_value_names_the_option_the_value_and_what_would_be_accepted(object row, string value)
    {
        string option = ((Row)row).Option;

        Assert.That(await RunAsync($"{option}={value}"), Is.EqualTo(2));

        Assert.That(_error.ToString(), Does.StartWith($"{option}: '{value}' is not {((Row)row).Accepted}").And.Contain("See --help."));
        AssertNothingStarted();
    }

    [TestCaseSource(nameof(Bad))]
    public async Task A_bad_value_in_the_environment_names_the_variable(object row, string value)
    {
        _environment[Variable(((Row)row).Option)] = value;

        Assert.That(await RunAsync(), Is.EqualTo(2));

        Assert.That(_error.ToString(), Does.StartWith($"{Variable(((Row)row).Option)}: '{value}' is not {((Row)row).Accepted}"));
        AssertNothingStarted();
    }

    [Test]
    public async Task Every_bad_value_is_named_not_only_the_first()
    {
        _environment["HEARTBEAT_DRAIN"] = "soon";
        _environment["HEARTBEAT_MAX_MISSED"] = "0";

        Assert.That(await RunAsync(), Is.EqualTo(2));

        Assert.That(_error.ToString(), Does.Contain("HEARTBEAT_DRAIN: 'soon'").And.Contain("HEARTBEAT_MAX_MISSED: '0'"));
    }

    [Test]
    public async Task An_empty_variable_is_as_good_as_none()
    {
        _environment["HEARTBEAT_PORT"] = "";

        Assert.That(await RunAsync(), Is.Zero);

        Assert.That(_served!.Port, Is.EqualTo(8080));
    }

    [Test]
    public async Task A_list_is_an_option_that_is_repeated_or_a_variable_with_commas()
    {
        _environment["HEARTBEAT_TRUST_PROXY"] = "10.0.0.0/8, 192.0.2.1";

        Assert.That(await RunAsync("--allow-origin", "https://a.example", "--allow-origin=*.b.example", "--allow-origin", "null"), Is.Zero);

        Assert.That($"{_served!.AllowOrigin}", Is.EqualTo("https://a.example,*.b.example,null"));
        Assert.That($"{_served.TrustProxy}", Is.EqualTo("10.0.0.0/8,192.0.2.1/32"));
    }

    [Test]
    public async Task None_stands_alone_among_the_subprotocols([Values] bool fromEnvironment)
    {
        _environment["HEARTBEAT_SUBPROTOCOL"] = fromEnvironment ? "mqtt,none" : "";

        Assert.That(await RunAsync(fromEnvironment ? [] : ["--subprotocol", "none", "--subprotocol", "mqtt"]), Is.EqualTo(2));
        Assert.That(_error.ToString(), Does.StartWith($"{(fromEnvironment ? "HEARTBEAT_SUBPROTOCOL" : "--subprotocol")}: '").And.Contain("The word none stands alone."));
        AssertNothingStarted();

        Assert.That(await RunAsync("--subprotocol", "none"), Is.Zero);
        Assert.That($"{_served!.Subprotocol}", Is.EqualTo("none"));
    }

    [Test]
    public async Task A_bad_entry_of_a_list_is_named_alone()
    {
        _environment["HEARTBEAT_TRUST_PROXY"] = "10.0.0.0/8,router";

        Assert.That(await RunAsync("--allow-origin", "https://a.example", "--allow-origin", "b.example"), Is.EqualTo(2));

        Assert.That(_error.ToString(), Does.StartWith("--allow-origin: 'b.example' is not an origin"));
        Assert.That(await RunAsync(), Is.EqualTo(2));
        Assert.That(_error.ToString(), Does.Contain("HEARTBEAT_TRUST_PROXY: 'router' is not an address or a network"));
    }

    [TestCase("--port", "1")]
    [TestCase("--port", "65535")]
    [TestCase("--ping", "0")]
    [TestCase("--timeout", "0")]
    [TestCase("--host", "*")]
    [TestCase("--host", "0.0.0.0")]
    [TestCase("--host", "::")]
    [TestCase("--host", "[::]")]
    [TestCase("--host", "[::1]")]
    [TestCase("--admin", "[::]:9090")]
    [TestCase("--host", "my-host.example")]
    [TestCase("--path", "/")]
    [TestCase("--path", "*")]
    [TestCase("--max-message", "1GiB")]
    [TestCase("--on-message", "ECHO")]
    [TestCase("--log-level", "Verbose")]
    public async Task The_bounds_and_other_spellings_are_accepted(string option, string value)
    {
        Assert.That(await RunAsync(option, value), Is.Zero, _error.ToString);

        Assert.That(_served, Is.Not.Null);
    }

    [Test]
    public async Task A_timeout_longer_than_the_beat_is_refused([Values] bool fromEnvironment)
    {
        string[] arguments = ["--ping", "2s", "--timeout", "3s"];
        if (fromEnvironment)
        {
            _environment["HEARTBEAT_TIMEOUT"] = "3s";
            arguments = ["--ping", "2s"];
        }

        Assert.That(await RunAsync(arguments), Is.EqualTo(2));

        Assert.That(_error.ToString(), Does.StartWith($"{(fromEnvironment ? "HEARTBEAT_TIMEOUT" : "--timeout")}: '3s'").And.Contain("--ping, '2s'").And.Contain("at most the same"));
        AssertNothingStarted();
    }

    [Test]
    public async Task Admin_off_wins_over_the_environment()
    {
        _environment["HEARTBEAT_ADMIN"] = "9090";

        Assert.That(await RunAsync("--admin", "off"), Is.Zero, _error.ToString());
        Assert.That(_served!.Admin, Is.Null);

        Assert.That(await RunAsync(), Is.Zero);
        Assert.That(_served.Admin, Is.EqualTo(new HostPort("127.0.0.1", 9090)));
    }

    [TestCase("--admin", "8080")]
    [TestCase("--host", "127.0.0.1", "--admin", "8080")]
    [TestCase("--host", "127.0.0.1", "--admin", "*:8080")]
    [TestCase("--host", "Localhost", "--admin", "localhost:8080")]
    [TestCase("--host", "127.0.0.1", "--admin", "localhost:8080")]
    [TestCase("--host", "localhost", "--admin", "8080")]
    [TestCase("--port", "9090", "--host", "::1", "--admin", "[::1]:9090")]
    [TestCase("--host", "*", "--admin", "[::1]:8080")]
    [TestCase("--host", "127.0.0.1", "--admin", "[::]:8080")]
    public async Task The_admin_listener_needs_a_port_of_its_own(params string[] arguments)
    {
        Assert.That(await RunAsync(arguments), Is.EqualTo(2));

        Assert.That(_error.ToString(), Does.StartWith("--admin: '").And.Contain("' has the port of --port, "));
        AssertNothingStarted();
    }

    [TestCase("--host", "192.0.2.1", "--admin", "127.0.0.1:8080")]
    [TestCase("--host", "0.0.0.0", "--admin", "[::1]:8080")]
    public async Task The_same_port_of_another_address_is_one_of_its_own(params string[] arguments) =>
        Assert.That(await RunAsync(arguments), Is.Zero, _error.ToString);

    [Test]
    public async Task A_timeout_that_was_asked_for_is_never_changed_in_silence()
    {
        // The value equals the default, but the user has asked for it.
        Assert.That(await RunAsync("--ping", "200ms", "--timeout", "500ms"), Is.EqualTo(2));

        AssertNothingStarted();
    }

    [TestCase("2s", "2s", "2s")]
    [TestCase("0", "30s", "30s")]
    [TestCase("2s", "0", "0")]
    public async Task A_timeout_may_be_as_long_as_the_beat_and_any_without_pings(string ping, string timeout, string expected)
    {
        Assert.That(await RunAsync("--ping", ping, "--timeout", timeout), Is.Zero);

        Assert.That(Duration.Format(_served!.Timeout), Is.EqualTo(expected));
    }

    [Test]
    public async Task A_short_ping_alone_takes_the_default_timeout_down_with_it()
    {
        Assert.That(await RunAsync("--ping", "200ms"), Is.Zero);

        Assert.That(_served!.Timeout, Is.EqualTo(TimeSpan.FromMilliseconds(200)));
    }

    [Test]
    public async Task A_relay_takes_every_path_and_messages_of_any_length()
    {
        Assert.That(await RunAsync("--upstream", "ws://app:3000"), Is.Zero, _error.ToString());

        Assert.That((_served!.Upstream!.Address, _served.Path, _served.MaxMessage), Is.EqualTo((new HostPort("app", 3000), "*", 0)));
    }

    [Test]
    public async Task A_relay_keeps_what_was_asked_for()
    {
        Assert.That(await RunAsync("--upstream", "WS://app", "--path", "/live", "--max-message", "1MiB"), Is.Zero, _error.ToString());

        Assert.That((_served!.Upstream!.Address, _served.Path, _served.MaxMessage), Is.EqualTo((new HostPort("app", 80), "/live", 1024 * 1024)));
    }

    [TestCase("ws://app:3000//", "a URL without a path")]
    [TestCase("ws://app:3000/?x=1", "a URL without a path")]
    [TestCase("ws://app:3000/chat", "a URL without a path")]
    [TestCase("ws://app:3000?x=1", "a URL without a path")]
    [TestCase("wss://app:3000/chat", "a URL without a path")]
    public async Task A_URL_that_promises_more_is_refused_with_the_reason(string value, string reason)
    {
        Assert.That(await RunAsync("--upstream", value), Is.EqualTo(2));

        Assert.That(_error.ToString(), Does.Contain($"--upstream: '{value}' is not").And.Contain(reason));
        AssertNothingStarted();
    }

    [TestCase("--on-message", "echo")]
    [TestCase("--subprotocol", "mqtt")]
    public async Task What_the_application_decides_is_no_option_of_a_relay(string option, string value)
    {
        Assert.That(await RunAsync("--upstream", "ws://app:3000", option, value), Is.EqualTo(2));
        Assert.That(_error.ToString(), Does.StartWith($"{option}: with --upstream the application"));

        _environment[Variable(option)] = value;
        Assert.That(await RunAsync("--upstream", "ws://app:3000"), Is.EqualTo(2));
        Assert.That(_error.ToString(), Does.Contain($"{Variable(option)}: with --upstream the application"));
        AssertNothingStarted();
    }

    [TestCase("--upstream-http", "on", "only with --upstream.")]
    [TestCase("--upstream-timeout", "10s", "only with --upstream.")]
    [TestCase("--upstream-ca", "ca.pem", "only with --upstream https:// or wss://.")]
    [TestCase("--upstream-insecure", "true", "only with --upstream https:// or wss://.")]
    public async Task What_has_no_effect_on_an_echo_server_is_refused(string option, string value, string why)
    {
        Assert.That(await RunAsync(option, value), Is.EqualTo(2));
        Assert.That(_error.ToString(), Does.StartWith($"{option}: {why}"));

        _environment[Variable(option)] = value;
        Assert.That(await RunAsync(), Is.EqualTo(2));
        Assert.That(_error.ToString(), Does.Contain($"{Variable(option)}: {why}"));
        AssertNothingStarted();
    }

    [Test]
    public async Task A_rule_between_options_is_not_asked_about_values_that_cannot_be_read()
    {
        _environment["HEARTBEAT_UPSTREAM"] = "app:3000";

        Assert.That(await RunAsync("--upstream-timeout", "5s"), Is.EqualTo(2));

        Assert.That(_error.ToString(), Does.StartWith("HEARTBEAT_UPSTREAM: 'app:3000' is not").And.Not.Contain("only with"));
    }

    [TestCase("http://user:pw@app:3000")]
    [TestCase("wss://user:p/w@x@app")]
    public async Task A_password_in_a_URL_is_refused_and_not_repeated(string value)
    {
        Assert.That(await RunAsync("--upstream", value), Is.EqualTo(2));

        Assert.That(_error.ToString(), Does.Contain("://***@app").And.Contain("without a name and a password").And.Not.Contain("user").And.Not.Contain("pw"));
    }

    [TestCase("https://a.example,,", "https://a.example")]
    [TestCase(", https://a.example , ,null", "https://a.example,null")]
    public async Task A_comma_too_many_is_no_entry(string text, string origins)
    {
        _environment["HEARTBEAT_ALLOW_ORIGIN"] = text;

        Assert.That(await RunAsync(), Is.Zero, _error.ToString);

        Assert.That($"{_served!.AllowOrigin}", Is.EqualTo(origins));
    }

    [Test]
    public async Task A_list_of_commas_alone_allows_nobody_by_mistake()
    {
        _environment["HEARTBEAT_ALLOW_ORIGIN"] = ",";

        Assert.That(await RunAsync(), Is.EqualTo(2));

        Assert.That(_error.ToString(), Does.StartWith("HEARTBEAT_ALLOW_ORIGIN: ',' is not an origin"));
    }

    [Test]
    public async Task Only_a_relay_can_do_without_a_limit_of_messages()
    {
        Assert.That(await RunAsync("--max-message", "0"), Is.EqualTo(2));

        Assert.That(_error.ToString(), Does.Contain("--max-message: '0'").And.Contain("--upstream"));
        AssertNothingStarted();
    }

    [TestCase("--log-level", "info", "information")]
    [TestCase("--log-level", "WARN", "warning")]
    [TestCase("--log-level", "trace", "verbose")]
    [TestCase("--log-level", "err", "error")]
    [TestCase("--log-level", "critical", "fatal")]
    [TestCase("--ping", "1d", "24h")]
    [TestCase("--drain", "0.5d", "12h")]
    [TestCase("--max-message", "1MB", "1MB")]
    [TestCase("--max-message", "500kb", "500KB")]
    [TestCase("--max-message", "1024KB", "1000KiB")]
    [TestCase("--max-buffered", "1TB", "1TB")]
    public async Task What_other_programs_understand_means_what_it_says(string option, string value, string meant)
    {
        Assert.That(await RunAsync(option, value), Is.Zero, _error.ToString);

        Assert.That(OptionTable.Texts(_served!)[option[2..]], Is.EqualTo(meant));
    }

    [TestCase("'--prot' is no option. Did you mean --port?", "--prot", "8081")]
    [TestCase("'--prot' is no option. Did you mean --port?", "--prot=8081")]
    [TestCase("'-port' is no option. Did you mean --port?", "-port", "8081")]
    [TestCase("'--PORT' is no option. Did you mean --port?", "--PORT", "8081")]
    [TestCase("'--maxmissed' is no option. Did you mean --max-missed?", "--maxmissed", "3")]
    [TestCase("'--max_missed' is no option. Did you mean --max-missed?", "--max_missed", "3")]
    [TestCase("'--origin' is no option. Did you mean --allow-origin?", "--origin", "null")]
    [TestCase("'--hlep' is no option. Did you mean --help?", "--hlep")]
    [TestCase("'--port' stands behind --, where no option is read.", "--", "--port", "8081")]
    [TestCase("'--quiet' is no option.", "--quiet")]
    [TestCase("'healthceck' is no command. Did you mean healthcheck?", "healthceck")]
    [TestCase("'health' is no command. Did you mean healthcheck?", "health", "--port", "8081")]
    [TestCase("'port' is no command. Did you mean --port?", "port", "8081")]
    [TestCase("'serve' is no command.", "serve")]
    [TestCase("'' is no command.", "")]
    [TestCase("'--prot' is no option. Did you mean --port?", "healthcheck", "--prot", "8081")]
    [TestCase("'--ping' is an option of the server, not of healthcheck.", "healthcheck", "--ping", "8s")]
    [TestCase("'b' is one word too many for healthcheck.", "healthcheck", "http://a", "b")]
    public async Task A_slip_gets_a_line_that_says_what_was_perhaps_meant(string line, params string[] arguments)
    {
        Assert.That(await RunAsync(arguments), Is.EqualTo(2));

        Assert.That(_error.ToString(), Does.StartWith(line + Environment.NewLine));
        AssertNothingStarted();
    }

    [Test]
    public async Task Every_slip_is_named_and_the_values_behind_them_are_not()
    {
        Assert.That(await RunAsync("--prot", "8081", "--pign", "2s", "--timeout", "soon"), Is.EqualTo(2));

        Assert.That(_error.ToString().Split(Environment.NewLine)[..3], Is.EqualTo(new[]
        {
            "'--prot' is no option. Did you mean --port?",
            "'--pign' is no option. Did you mean --ping?",
            "--timeout: 'soon' is not a duration from 8ms to 24h, or 0, such as 500ms, 10s, 1m30s or 2h.",
        }));
    }

    [Test]
    public async Task A_variable_that_sets_nothing_is_told()
    {
        _environment["HEARTBEAT_MAXMISSED"] = "5";
        _environment["HEARTBEAT_ping"] = "5s";
        _environment["HEARTBEAT_COLOUR"] = "red";
        _environment["HEARTBEAT_EMPTY"] = "";
        _environment["HEARTBEAT_PLAIN_REQUESTS"] = "false";
        _environment["HEARTBEAT"] = "of another program";
        _environment["PORT"] = "80";

        Assert.That(await RunAsync(), Is.Zero);

        Assert.That(_stray!.Unknown, Is.EqualTo(new[]
        {
            new UnknownVariable("HEARTBEAT_COLOUR", null),
            new UnknownVariable("HEARTBEAT_MAXMISSED", "HEARTBEAT_MAX_MISSED"),
            new UnknownVariable("HEARTBEAT_ping", "HEARTBEAT_PING"),
        }));
        Assert.That(_stray.ServiceLinks, Is.Empty);
    }

    [Test]
    public async Task The_links_of_a_Service_are_no_options()
    {
        (string Name, string Text)[] links =
        [
            ("HEARTBEAT_ADMIN_SERVICE_HOST", "10.0.0.12"),
            ("HEARTBEAT_PORT", "tcp://10.0.0.11:8080"),
            ("HEARTBEAT_PORT_8080_TCP", "tcp://10.0.0.11:8080"),
            ("HEARTBEAT_PORT_8080_TCP_ADDR", "10.0.0.11"),
            ("HEARTBEAT_PORT_8080_TCP_PORT", "8080"),
            ("HEARTBEAT_PORT_8080_TCP_PROTO", "tcp"),
            ("HEARTBEAT_SERVICE_HOST", "10.0.0.11"),
            ("HEARTBEAT_SERVICE_PORT", "8080"),
            ("HEARTBEAT_SERVICE_PORT_HTTP", "8080"),
            ("HEARTBEAT_WS_PORT", "tcp://[fd00::11]:8080"),
        ];
        foreach ((string name, string text) in links)
            _environment[name] = text;

        Assert.That(await RunAsync(), Is.Zero, _error.ToString);

        Assert.That(_served!.Port, Is.EqualTo(8080));
        Assert.That(_stray!.ServiceLinks, Is.EqualTo(links.Select(link => link.Name)));
        Assert.That(_stray.Unknown, Is.Empty);
    }

    [TestCase("HEARTBEAT_PORT", "http://10.0.0.11:8080")]
    [TestCase("HEARTBEAT_PING", "tcp://10.0.0.11:8080")]
    public async Task What_only_looks_like_a_link_is_a_bad_value(string variable, string text)
    {
        _environment[variable] = text;

        Assert.That(await RunAsync(), Is.EqualTo(2));

        Assert.That(_error.ToString(), Does.StartWith($"{variable}: '{text}' is not"));
    }

    [TestCase("--pong", "10s")]
    [TestCase("serve")]
    [TestCase("--port")]
    public async Task What_is_not_known_or_lacks_its_value_is_refused(params string[] arguments)
    {
        Assert.That(await RunAsync(arguments), Is.EqualTo(2));

        Assert.That(_error.ToString(), Does.Contain(arguments[0]).And.Contain("See --help."));
        AssertNothingStarted();
    }

    [TestCase("--help")]
    [TestCase("-h")]
    [TestCase("-?")]
    public async Task The_help_has_every_option_with_its_default_units_and_an_example(string argument)
    {
        Assert.That(await RunAsync(argument), Is.Zero);

        string help = _output.ToString();
        foreach (Row row in Rows.Where(row => !row.IsHidden))
        {
            string line = help.Split('\n').Single(line => line.StartsWith($"  {row.Option} ", StringComparison.Ordinal));
            string default_ = row.Read(new ServerOptions()) switch
            {
                TimeSpan time => Duration.Format(time),
                int bytes when row.Option == "--max-message" => ByteSize.Format(bytes),
                long bytes when row.Option == "--max-buffered" => ByteSize.Format(bytes),
                { } other => other.ToString()!,
                null => "off",
            };
            Assert.That(Help(help, line), Does.Contain($"[default: {default_}]").IgnoreCase, row.Option);
        }
        Assert.That(help, Does.Contain("500ms, 10s, 1m30s").And.Contain("64KiB").And.Contain("HEARTBEAT_PORT"));
        Assert.That(help, Does.Contain("Example:").And.Contain("--port 8080 --ping 10s"));
        Assert.That(help, Does.Contain("Exit codes:").And.Contain("docs/reference.md"));
        Assert.That(help.Split('\n').Select(line => line.TrimEnd('\r').Length), Has.All.AtMost(100));
        AssertNothingStarted();
    }

    [TestCase(true, "--plain-requests")]
    [TestCase(true, "--plain-requests", "--port", "8081")]
    [TestCase(true, "--plain-requests", "true")]
    [TestCase(true, "--plain-requests=TRUE")]
    [TestCase(false, "--plain-requests=false")]
    [TestCase(false)]
    public async Task A_flag_may_stand_alone(bool expected, params string[] arguments)
    {
        Assert.That(await RunAsync(arguments), Is.Zero, _error.ToString);

        Assert.That(_served!.PlainRequests, Is.EqualTo(expected));
    }

    [Test]
    public async Task A_hidden_option_is_not_in_the_help()
    {
        Assert.That(await RunAsync("--help"), Is.Zero);

        Assert.That(_output.ToString(), Does.Not.Contain("plain"));
    }

    [Test]
    public async Task The_version_is_that_of_the_program()
    {
        Assert.That(await RunAsync("--version"), Is.Zero);

        Assert.That(_output.ToString().Trim(), Does.Match(@"^\d+\.\d+\.\d+"));
        AssertNothingStarted();
    }

    [TestCase("--tls-cert")]
    [TestCase("--tls-key")]
    public async Task A_certificate_and_its_key_come_together(string option)
    {
        Assert.That(await RunAsync(option, "some.pem"), Is.EqualTo(2));

        Assert.That(_error.ToString(), Does.StartWith($"{option}: alone it is of no use. --tls-cert and --tls-key come together."));
        AssertNothingStarted();
    }

    [TestCase("http://app", "http://app:80")]
    [TestCase("ws://app", "http://app:80")]
    [TestCase("wss://app", "https://app:443")]
    [TestCase("http://app:3000/", "http://app:3000")]
    [TestCase("wss://[::1]/", "https://[::1]:443")]
    [TestCase("HTTPS://app.example:8443", "https://app.example:8443")]
    [TestCase("wss://[::1]", "https://[::1]:443")]
    public async Task The_scheme_of_the_application_says_whether_it_speaks_TLS(string given, string shown)
    {
        Assert.That(await RunAsync("--upstream", given), Is.Zero);

        Assert.That($"{_served!.Upstream}", Is.EqualTo(shown));
    }

    [TestCase("--upstream-ca: only with --upstream https:// or wss://.", "--upstream-ca", "ca.pem")]
    [TestCase("--upstream-insecure: only with --upstream https:// or wss://.", "--upstream", "ws://app", "--upstream-insecure")]
    [TestCase("--upstream-insecure: with --upstream-ca the certificate is verified.", "--upstream", "wss://app", "--upstream-insecure", "--upstream-ca", "ca.pem")]
    public async Task What_says_whom_to_trust_needs_an_application_with_TLS(string error, params string[] arguments)
    {
        Assert.That(await RunAsync(arguments), Is.EqualTo(2));

        Assert.That(_error.ToString(), Does.StartWith(error));
        AssertNothingStarted();
    }

    [Test]
    public async Task The_exit_code_is_that_of_the_server()
    {
        var commandLine = new CommandLine(new Variables(_environment));

        Assert.That(await commandLine.RunAsync([], _output, _error, (_, _) => Task.FromResult(1), (_, _) => Task.FromResult(0), _ => Task.FromResult(0)), Is.EqualTo(1));
    }

    /// <summary>The parts of a row. An option that it needs beside it comes from the environment.</summary>
    private (string Option, string Value, string Expected, Func<ServerOptions, object> Read) CaseOf(object row)
    {
        if (((Row)row).Beside is { } option)
            _environment[Variable(option)] = ((Row)row).BesideValue;
        return ((Row)row).Case;
    }

    private static string Variable(string option) => "HEARTBEAT_" + option[2..].ToUpperInvariant().Replace('-', '_');

    /// <summary>An option's help may go on in the next lines, which are indented further.</summary>
    private static string Help(string help, string line)
    {
        string[] rest = help[help.IndexOf(line, StringComparison.Ordinal)..].Split('\n');
        IEnumerable<string> more = rest.Skip(1).TakeWhile(next => next.StartsWith("     ", StringComparison.Ordinal));
        return string.Join(' ', more.Prepend(rest[0]).Select(part => part.Trim()));
    }

    private Task<int> RunAsync(params string[] arguments) => new CommandLine(new Variables(_environment)).RunAsync(
        arguments,
        _output,
        _error,
        (options, stray) =>
        {
            (_served, _stray) = (options, stray);
            return Task.FromResult(0);
        },
        (_, _) => throw new InvalidOperationException("the health was checked"),
        _ => throw new InvalidOperationException("the probe was started"));

    private void AssertNothingStarted() => Assert.That(_served, Is.Null);

    private sealed record Row(string Option, string Value, string Expected, Func<ServerOptions, object> Read, string[] Bad, string Accepted)
    {
        public bool IsHidden { get; init; }

        /// <summary>An option without which this one is refused; null if it can stand alone.</summary>
        public string? Beside { get; init; }

        public string BesideValue { get; init; } = "beside.pem";

        public (string Option, string Value, string Expected, Func<ServerOptions, object> Read) Case => (Option, Value, Expected, Read);
    }
}
