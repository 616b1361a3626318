using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using HeartbeatServer.Framing;
using HeartbeatServer.Options;
using HeartbeatServer.Probe;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace HeartbeatServer.Tests.Probe;

/// <summary>The probe against a server that does exactly what the test says.</summary>
public sealed class SilenceProbeTests
{
    private readonly Dictionary<string, string> _environment = [];
    private readonly FakeTimeProvider _time = new();
    private TcpListener _server = null!;
    private StringWriter _output = null!;
    private StringWriter _json = null!;
    private CancellationTokenSource _interrupt = null!;

    [SetUp]
    public void SetUp()
    {
        _environment.Clear();
        _server = new TcpListener(IPAddress.Loopback, 0);
        _server.Start();
        (_output, _json, _interrupt) = (new StringWriter(), new StringWriter(), new CancellationTokenSource());
    }

    [TearDown]
    public void TearDown()
    {
        _server.Dispose();
        _output.Dispose();
        _json.Dispose();
        _interrupt.Dispose();
    }

    [Test]
    public async Task A_plain_client_shows_the_pings_as_they_come_and_says_goodbye()
    {
        Task<int> probing = RunAsync(options => options with { For = TimeSpan.FromSeconds(15) });
        using ScriptedPeer server = await AcceptAsync();
        await AnswerPingsAsync(server, 5);
        await server.SendAsync(ServerFrames.Frame(Opcode.Ping, "beat"u8));
        Assert.That(await FrameAsync(server), Is.EqualTo((Opcode.Pong, "beat")));
        _time.Advance(TimeSpan.FromSeconds(15));
        Assert.That((await FrameAsync(server)).Opcode, Is.EqualTo(Opcode.Close));
        await server.SendAsync(FrameWriter.Close(1000));

        Assert.That(await probing.InTime(), Is.Zero);
        Assert.That(_output.ToString(), Does.Contain("5 pings, 5 answered, round trip").And.Contain("ping 1 from the server, answered"));
        Assert.That(_output.ToString(), Does.Contain("1 ping from the server, answered. Goodbye."));
    }

    [Test]
    public async Task A_plain_client_says_once_that_data_comes_and_counts_it()
    {
        Task<int> probing = RunAsync(options => options with { For = TimeSpan.FromSeconds(15) });
        using ScriptedPeer server = await AcceptAsync();
        await AnswerPingsAsync(server, 5);
        for (int i = 0; i < 100; i++)
        {
            // The answer to the ping shows that the data before it was read, so each piece of data is one of its own.
            await server.SendAsync([.. ServerFrames.Frame(Opcode.Text, "news"u8), .. ServerFrames.Frame(Opcode.Ping, "beat"u8)]);
            Assert.That((await FrameAsync(server)).Opcode, Is.EqualTo(Opcode.Pong));
        }
        await server.SendAsync(FrameWriter.Close(1000));

        Assert.That(await probing.InTime(), Is.EqualTo(4));
        string shown = _output.ToString();
        Assert.That(Regex.Count(shown, "data from the server"), Is.EqualTo(1));
        Assert.That(Regex.Count(shown, "ping [0-9]+ from the server"), Is.EqualTo(1), "the clock stands still, so no ping but the first has a line");
        Assert.That(shown, Does.Contain("Until then it brought 100 pings from the server, all answered, and 600 bytes of data."));
    }

    [Test]
    public async Task A_server_that_answers_no_ping_is_news([Values] bool isLate)
    {
        Task<int> probing = RunAsync(options => options with { For = TimeSpan.FromSeconds(15) });
        using ScriptedPeer server = await AcceptAsync();
        (Opcode Opcode, byte[] Payload) ping = await ReadAsync(server);
        Assert.That(ping.Opcode, Is.EqualTo(Opcode.Ping));
        _time.Advance(TimeSpan.FromSeconds(2));
        await Safety.UntilAsync(() => _output.ToString().Contains("1 ping, 0 answered", StringComparison.Ordinal), "the line of the pings");
        if (isLate)
        {
            await server.SendAsync(ServerFrames.Frame(Opcode.Pong, ping.Payload));
            await Safety.UntilAsync(() => _output.ToString().Contains("the answer to our ping, 2.0 s after it", StringComparison.Ordinal), "the late answer");
        }
        _time.Advance(TimeSpan.FromSeconds(13));
        Assert.That((await FrameAsync(server)).Opcode, Is.EqualTo(Opcode.Close));
        await server.SendAsync(FrameWriter.Close(1000));

        Assert.That(await probing.InTime(), Is.EqualTo(isLate ? 0 : 4));
        Assert.That(_output.ToString(), Does.Contain("Open for 15.0 s: no ping from the server."));
        Assert.That(_output.ToString(), isLate ? Does.Not.Contain("RFC 6455") : Does.Contain("No ping of ours was answered, though RFC 6455"));
    }

    [Test]
    public async Task A_plain_client_says_how_it_was_ended()
    {
        Task<int> probing = RunAsync(options => options with { For = TimeSpan.FromSeconds(15) });
        using ScriptedPeer server = await AcceptAsync();
        await AnswerPingsAsync(server, 5);
        await server.SendAsync(FrameWriter.Close(1001, "gone"));

        Assert.That(await probing.InTime(), Is.EqualTo(4));
        Assert.That(_output.ToString(), Does.Contain("without a byte: Close 1001 \"gone\". Until then it brought no ping from the server."));
    }

    [Test]
    public async Task A_message_leaves_as_soon_as_a_connection_is_open()
    {
        Task<int> probing = RunAsync(options => options with { For = TimeSpan.FromSeconds(15), Message = "{\"hello\":1}" });
        using ScriptedPeer server = await AcceptAsync();

        Assert.That(await FrameAsync(server), Is.EqualTo((Opcode.Text, "{\"hello\":1}")));
        await AnswerPingsAsync(server, 5);
        await _interrupt.CancelAsync();
        Assert.That(await probing.InTime(), Is.EqualTo(4));
    }

    [Test]
    public async Task A_refusal_shows_its_status_and_the_beginning_of_its_body()
    {
        Task<int> probing = RunAsync(options => options with { Headers = [("Authorization", "Bearer the-secret")] });
        using ScriptedPeer server = new(await _server.AcceptSocketAsync());
        await server.ReadHeadAsync();
        await server.SendAsync(
            "HTTP/1.1 401 Unauthorized\r\nServer: gate/1\r\nWWW-Authenticate: Bearer\r\nContent-Length: 44\r\n\r\nno such user: the-secret\u001b[2J\nask your admin.");

        Assert.That(await probing.InTime(), Is.EqualTo(1));
        string shown = _output.ToString();
        Assert.That(shown, Does.Contain("refused: 401 Unauthorized").And.Contain("WWW-Authenticate: Bearer").And.Contain("Server: gate/1"));
        Assert.That(shown, Does.Contain("| no such user: ***\\u001b[2J").And.Contain("| ask your admin.").And.Contain("--header"));
        Assert.That(shown, Does.Not.Contain("the-secret").And.Not.Contain("\u001b"));
    }

    [Test]
    public async Task A_body_without_an_end_is_not_waited_for()
    {
        Task<int> probing = RunAsync();
        using ScriptedPeer server = new(await _server.AcceptSocketAsync());
        await server.ReadHeadAsync();
        await server.SendAsync(Encoding.ASCII.GetBytes("HTTP/1.1 200 OK\r\n\r\n" + new string('x', 100_000)));

        Assert.That(await probing.InTime(), Is.EqualTo(1));
        Assert.That(_output.ToString(), Does.Contain($"| {new string('x', 1000)}...").And.Contain("this is a page, and no WebSocket"));
    }

    [TestCase("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n", "does not fit the key")]
    [TestCase("SSH-2.0-OpenSSH_9.2\r\n", "it is no HTTP/1.1")]
    [TestCase("\u0015\u0003\u0001\u0000\u0002", "it is TLS, and a ws:// URL wants the port without")]
    public async Task What_is_no_answer_is_named(string answer, string why)
    {
        Task<int> probing = RunAsync(options => options with { IsJson = true });
        using ScriptedPeer server = new(await _server.AcceptSocketAsync());
        await server.ReadHeadAsync();
        await server.SendAsync(answer);

        Assert.That(await probing.InTime(), Is.EqualTo(1));
        Assert.That(_output.ToString(), Does.StartWith("No connection: ").And.Contain(why));
        using JsonDocument json = JsonDocument.Parse(_json.ToString());
        Assert.That(json.RootElement.GetProperty("handshake").GetProperty("fault").GetString(), Does.Contain(why));
        Assert.That(json.RootElement.GetProperty("verdict").ValueKind, Is.EqualTo(JsonValueKind.Null));
    }

    [Test]
    public async Task Where_nobody_listens_there_is_no_connection()
    {
        _server.Stop();

        Assert.That(await RunAsync().InTime(), Is.EqualTo(1));
        Assert.That(_output.ToString(), Does.StartWith("No connection: 127.0.0.1:").And.Contain("refused"));
    }

    [Test]
    public async Task TLS_with_a_port_that_speaks_none_fails_with_a_hint()
    {
        Task<int> probing = RunAsync(options => options with { Url = options.Url with { IsTls = true } });
        using ScriptedPeer server = new(await _server.AcceptSocketAsync());
        await server.SendAsync("HTTP/1.1 400 Bad Request\r\n\r\n");

        Assert.That(await probing.InTime(), Is.EqualTo(1));
        Assert.That(_output.ToString(), Does.StartWith("No connection: TLS with 127.0.0.1:").And.Contain("Does the port want ws://?"));
    }

    [Test]
    public async Task A_proxy_of_the_environment_is_named_as_not_used()
    {
        _environment["http_proxy"] = "http://user:password@proxy:3128";
        _server.Stop();

        await RunAsync().InTime();

        Assert.That(_output.ToString(), Does.StartWith("http_proxy is set, and not used").And.Not.Contain("password"));
    }

    [Test]
    public async Task Interrupted_it_says_what_is_known_and_the_exit_code_is_4()
    {
        Task<int> probing = RunAsync(options => options with { IsJson = true });
        using var over = new CancellationTokenSource();
        Task serving = ServeAsync(over.Token);
        await Safety.UntilAsync(() => _output.ToString().Contains("Measuring silence", StringComparison.Ordinal) || Advance(), "the campaign");
        await _interrupt.CancelAsync();

        Assert.That(await probing.InTime(), Is.EqualTo(4));
        await over.CancelAsync();
        await serving.InTime();
        Assert.That(_output.ToString(), Does.Contain("It was interrupted"));
        Assert.That(Regex.Match(_json.ToString(), "\"interrupted\": (\\w+)").Groups[1].Value, Is.EqualTo("true"));

        bool Advance()
        {
            _time.Advance(TimeSpan.FromMilliseconds(1));
            return false;
        }
    }

    private Task<int> RunAsync(Func<ProbeOptions, ProbeOptions>? configure = null)
    {
        var options = new ProbeOptions(new ProbeUrl(IsTls: false, "127.0.0.1", ((IPEndPoint)_server.LocalEndpoint).Port, "/ws"));
        var display = new ProbeDisplay(_output, isTerminal: false, () => 80);
        return new SilenceProbe(configure?.Invoke(options) ?? options, new ProbeContext("0.0", _time, _environment.GetValueOrDefault, display, _json)).RunAsync(_interrupt.Token);
    }

    private async Task<ScriptedPeer> AcceptAsync()
    {
        var peer = new ScriptedPeer(await _server.AcceptSocketAsync().InTime());
        string key = Regex.Match(await peer.ReadHeadAsync(), "Sec-WebSocket-Key: (.*)\r").Groups[1].Value;
        await peer.SendAsync(Handshake.Response(key, null));
        return peer;
    }

    /// <summary>Answers pings, and moves the time on in between: never faster than it goes on, so that a slow machine loses no ping.</summary>
    private async Task AnswerPingsAsync(ScriptedPeer server, int count)
    {
        for (int i = 0; i < count; i++)
        {
            Task<(Opcode Opcode, string Text)> reading = FrameAsync(server);
            while (!reading.IsCompleted)
            {
                _time.Advance(TimeSpan.FromMilliseconds(1));
                await Task.WhenAny(reading, Task.Delay(1));
            }
            (Opcode opcode, string payload) = await reading;
            Assert.That(opcode, Is.EqualTo(Opcode.Ping));
            await server.SendAsync(ServerFrames.Frame(Opcode.Pong, Encoding.Latin1.GetBytes(payload)));
        }
        await Safety.UntilAsync(() => _output.ToString().Contains("pings, ", StringComparison.Ordinal), "the line of the pings");
    }

    private static async Task<(Opcode Opcode, string Text)> FrameAsync(ScriptedPeer server)
    {
        (Opcode opcode, byte[] payload) = await ReadAsync(server);
        return (opcode, Encoding.Latin1.GetString(payload));
    }

    /// <summary>Reads a short frame of a client from RFC 6455 section 5.2, without the code under test.</summary>
    private static async Task<(Opcode Opcode, byte[] Payload)> ReadAsync(ScriptedPeer server)
    {
        byte[] header = await server.ReadBytesAsync(6);
        Assert.That(header[1] & 0x80, Is.EqualTo(0x80), "a client masks its frames");
        byte[] payload = await server.ReadBytesAsync(header[1] & 0x7F);
        for (int i = 0; i < payload.Length; i++)
            payload[i] ^= header[2 + (i % 4)];
        return ((Opcode)(header[0] & 0x0F), payload);
    }

    /// <summary>Serves every connection: answers pings and Close frames.</summary>
    private async Task ServeAsync(CancellationToken over)
    {
        List<Task> serving = [];
        try
        {
            while (true)
                serving.Add(ServeOneAsync(await _server.AcceptSocketAsync(over)));
        }
        catch (OperationCanceledException)
        {
            await Task.WhenAll(serving);
        }
    }

    /// <summary>Serves one connection, which may end at any byte.</summary>
    private static async Task ServeOneAsync(Socket socket)
    {
        await using var stream = new NetworkStream(socket, ownsSocket: true);
        var head = new StringBuilder();
        var part = new byte[4096];
        try
        {
            while (!head.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal))
            {
                int count = await stream.ReadAsync(part);
                if (count == 0)
                    return;
                head.Append(Encoding.Latin1.GetString(part, 0, count));
            }
            await stream.WriteAsync(Handshake.Response(Regex.Match(head.ToString(), "Sec-WebSocket-Key: (.*)\r").Groups[1].Value, null));
            while (await stream.ReadAtLeastAsync(part.AsMemory(0, 6), 6, throwOnEndOfStream: false) == 6)
            {
                var payload = new byte[part[1] & 0x7F];
                await stream.ReadExactlyAsync(payload);
                for (int i = 0; i < payload.Length; i++)
                    payload[i] ^= part[2 + (i % 4)];
                bool isClose = (part[0] & 0x0F) == (int)Opcode.Close;
                await stream.WriteAsync(ServerFrames.Frame(isClose ? Opcode.Close : Opcode.Pong, payload));
            }
        }
        catch (IOException)
        {
            // The probe has ended it.
        }
    }
}
