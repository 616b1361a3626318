using HeartbeatServer.Options;

namespace HeartbeatServer.Tests.Options;

public sealed class ProbeCommandTests
{
    private StringWriter _output = null!;
    private StringWriter _error = null!;
    private ProbeOptions? _probed;

    [SetUp]
    public void SetUp() => (_output, _error, _probed) = (new StringWriter(), new StringWriter(), null);

    [TearDown]
    public void TearDown()
    {
        _output.Dispose();
        _error.Dispose();
    }

    [TestCase("ws://localhost:8080/ws", "ws://localhost:8080/ws", "/ws")]
    [TestCase("ws://localhost", "ws://localhost/", "/")]
    [TestCase("WSS://Example.com:443/a%20b", "wss://example.com/a%20b", "/a%20b")]
    [TestCase("https://example.com:8443/chat?token=secret", "wss://example.com:8443/chat?***", "/chat?token=secret")]
    [TestCase("http://[::1]:8080/ws", "ws://[::1]:8080/ws", "/ws")]
    [TestCase("ws://bücher.example/", "ws://xn--bcher-kva.example/", "/")]
    public async Task A_URL_is_taken_and_shown_without_its_query(string text, string shown, string target)
    {
        Assert.That(await RunAsync(text), Is.Zero, _error.ToString);

        Assert.That((_probed!.Url.Shown, _probed.Url.Target), Is.EqualTo((shown, target)));
        Assert.That(_probed.For, Is.EqualTo(TimeSpan.FromMinutes(5)));
    }

    [TestCase("localhost:8080/ws", "is not the URL of a WebSocket, such as ws://localhost:8080/ws")]
    [TestCase("ftp://host/", "is not the URL of a WebSocket")]
    [TestCase("ws://", "is not the URL of a WebSocket")]
    [TestCase("ws://host:99999/", "is not the URL of a WebSocket")]
    [TestCase("ws://host:0/", "a port from 1 to 65535")]
    [TestCase("ws://user:password@host/", "give them with --header")]
    [TestCase("ws://host/#part", "without a fragment")]
    public async Task A_URL_that_is_none_is_refused(string text, string why)
    {
        Assert.That(await RunAsync(text), Is.EqualTo(CommandLine.BadCommandLine));

        Assert.That(_error.ToString(), Does.StartWith("URL: ").And.Contain(why));
        Assert.That(_probed, Is.Null);
    }

    [Test]
    public async Task Without_a_URL_it_says_what_is_missing()
    {
        Assert.That(await RunAsync(), Is.EqualTo(CommandLine.BadCommandLine));

        Assert.That(_error.ToString(), Does.StartWith("probe: the URL is missing"));
    }

    [Test]
    public async Task All_options_are_taken()
    {
        Assert.That(
            await RunAsync(
                "--for", "15s", "--header", "Authorization: Bearer x", "--header", "X-A:b", "--subprotocol", "mqtt", "--subprotocol", "v2", "--origin", "https://a.example",
                "--send", "{}", "--insecure", "--json", "wss://host/ws"),
            Is.Zero,
            _error.ToString);

        Assert.That(_probed!.Headers, Is.EqualTo(new[] { ("Authorization", "Bearer x"), ("X-A", "b") }));
        Assert.That(_probed.Subprotocols, Is.EqualTo(new[] { "mqtt", "v2" }));
        Assert.That((_probed.For.TotalSeconds, _probed.Origin, _probed.Message, _probed.IsInsecure, _probed.IsJson), Is.EqualTo((15, "https://a.example", "{}", true, true)));
    }

    [Test]
    public async Task Headers_may_stand_in_a_file()
    {
        string file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, "Authorization: Bearer from-a-file\n\nCookie: a=b\n");

        Assert.That(await RunAsync("--header", "@" + file, "ws://host/"), Is.Zero, _error.ToString);
        Assert.That(_probed!.Headers, Is.EqualTo(new[] { ("Authorization", "Bearer from-a-file"), ("Cookie", "a=b") }));

        await File.WriteAllTextAsync(file, "Cookie: a=b\nsecret without a colon\n");
        Assert.That(await RunAsync("--header", "@" + file, "ws://host/"), Is.EqualTo(CommandLine.BadCommandLine));
        Assert.That(_error.ToString(), Does.Contain($"--header: line 2 of {file}: it is no field").And.Not.Contain("secret"));
        File.Delete(file);

        Assert.That(await RunAsync("--header", "@" + file, "ws://host/"), Is.EqualTo(CommandLine.BadCommandLine));
        Assert.That(_error.ToString(), Does.Contain($"--header: '{file}' cannot be read"));
    }

    [TestCase("--for", "soon", "--for: 'soon' is not a duration from 1s to")]
    [TestCase("--for", "0", "--for: '0' is not a duration")]
    [TestCase("--for", "500ms", "--for: '500ms' is not a duration from 1s to 24h, such as 10s, 1m30s or 2h.")]
    [TestCase("--header", "no colon", "--header: it is no field")]
    [TestCase("--header", "A b: c", "--header: it is no field")]
    [TestCase("--header", "A: b\r\nC: d", "--header: it is no field")]
    [TestCase("--header", "sec-websocket-key: x", "--header: sec-websocket-key cannot be given")]
    [TestCase("--header", "User-Agent: x", "the probe says there what it is")]
    [TestCase("--header", "Sec-WebSocket-Protocol: x", "it is --subprotocol")]
    [TestCase("--subprotocol", "a b", "--subprotocol: 'a b' is not the name of a subprotocol")]
    [TestCase("--origin", "x\ny", "--origin: it has a character")]
    [TestCase("--port", "80", "'--port' is an option of the server, not of probe")]
    [TestCase("--jsn", "", "'--jsn' is no option. Did you mean --json?")]
    public async Task A_bad_option_is_named(string option, string value, string message)
    {
        Assert.That(await RunAsync([option, .. value.Length > 0 ? [value] : Array.Empty<string>(), "ws://host/"]), Is.EqualTo(CommandLine.BadCommandLine));

        Assert.That(_error.ToString(), Does.Contain(message).And.Contain("See --help."));
        Assert.That(_probed, Is.Null);
    }

    [Test]
    public async Task A_subprotocol_is_offered_once()
    {
        Assert.That(await RunAsync("--subprotocol", "mqtt", "--subprotocol", "mqtt", "ws://host/"), Is.EqualTo(CommandLine.BadCommandLine));

        Assert.That(_error.ToString(), Does.StartWith("--subprotocol: a name is given twice"));
    }

    /// <summary>The page of the help is written by hand.</summary>
    [Test]
    public async Task The_help_has_every_option()
    {
        Assert.That(await RunAsync("--help"), Is.Zero);

        foreach (string option in new ProbeCommand().Command.Options.Select(option => option.Name))
            Assert.That(_output.ToString(), Does.Contain($"  {option}"));
    }

    private Task<int> RunAsync(params string[] arguments) => new CommandLine(new Variables(new Dictionary<string, string>())).RunAsync(
        ["probe", .. arguments],
        _output,
        _error,
        (_, _) => throw new InvalidOperationException("the server was started"),
        (_, _) => throw new InvalidOperationException("the health was checked"),
        options =>
        {
            _probed = options;
            return Task.FromResult(0);
        });
}
