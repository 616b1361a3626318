using HeartbeatServer.Admin;
using HeartbeatServer.Tests.Support;
using Serilog;
using Serilog.Events;

namespace HeartbeatServer.Tests.Hosting;

/// <summary>Requests that the server does not upgrade, and failures that must not end the accept loop.</summary>
[TestFixture(RequestsFrom.HttpPort)]
[TestFixture(RequestsFrom.PlainLoop)]
public sealed class ServerRefusalTests(RequestsFrom source)
{
    private ServerFixture _server = null!;

    [SetUp]
    public void SetUp() => _server = ServerFixture.Start(source: source);

    [TearDown]
    public async Task TearDown() => await _server.DisposeAsync();

    private static IEnumerable<TestCaseData> Refusals()
    {
        yield return Refusal("another path", 404, "connect to /ws", ScriptedPeer.Upgrade("/other"));
        yield return Refusal("a longer path", 404, "connect to /ws", ScriptedPeer.Upgrade("/ws/"));
        yield return Refusal("a path in another case", 404, "connect to /ws", ScriptedPeer.Upgrade("/WS"));
        yield return Refusal("POST", 405, "a GET request", ScriptedPeer.Upgrade(method: "POST", headers: ("Content-Length", "0")));
        yield return Refusal("PUT", 405, "a GET request", ScriptedPeer.Upgrade(method: "PUT", headers: ("Content-Length", "0")));
        yield return Refusal("POST to /healthz", 405, "/healthz is asked with GET or HEAD", ScriptedPeer.Upgrade("/healthz", method: "POST", headers: ("Content-Length", "0")));
        yield return Refusal("a browser's GET", 426, "WebSocket endpoint", "GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n");
        yield return Refusal("no Connection header", 426, "Connection: Upgrade", ScriptedPeer.Upgrade(headers: ("Connection", null)));
        yield return Refusal("another Connection header", 426, "Connection: Upgrade", ScriptedPeer.Upgrade(headers: ("Connection", "keep-alive")));
        yield return Refusal("no Upgrade header", 426, "Upgrade: websocket", ScriptedPeer.Upgrade(headers: ("Upgrade", null)));
        yield return Refusal("another Upgrade header", 426, "Upgrade: websocket", ScriptedPeer.Upgrade(headers: ("Upgrade", "h2c")));
        yield return Refusal("HTTP/1.0", 426, "HTTP/1.1", ScriptedPeer.Upgrade(version: "HTTP/1.0"));
        yield return Refusal("version 8", 426, "must be 13", ScriptedPeer.Upgrade(headers: ("Sec-WebSocket-Version", "8")));
        yield return Refusal("versions 13 and 8", 426, "must be 13", ScriptedPeer.Upgrade(headers: ("Sec-WebSocket-Version", "13, 8")));
        yield return Refusal("no version", 400, "Version header is missing", ScriptedPeer.Upgrade(headers: ("Sec-WebSocket-Version", null)));
        yield return Refusal("no key", 400, "Key header is missing", ScriptedPeer.Upgrade(headers: ("Sec-WebSocket-Key", null)));
        yield return Refusal("a short key", 400, "16 bytes", ScriptedPeer.Upgrade(headers: ("Sec-WebSocket-Key", "c2hvcnQ=")));
        yield return Refusal("a key that is no Base64", 400, "16 bytes", ScriptedPeer.Upgrade(headers: ("Sec-WebSocket-Key", "????????????????????????")));
        yield return Refusal("a body", 400, "must not have a body", ScriptedPeer.Upgrade(headers: ("Content-Length", "3")) + "abc");

        static TestCaseData Refusal(string name, int status, string text, string request) =>
            new TestCaseData(status, text, request).SetArgDisplayNames(name);
    }

    [TestCaseSource(nameof(Refusals))]
    public async Task A_refusal_has_its_status_and_says_why(int status, string text, string request)
    {
        HttpReply reply = await _server.RequestAsync(request);

        Assert.That(reply.Status, Is.EqualTo(status));
        Assert.That(reply.Body, Does.Contain(text).And.EndsWith("\n"));
        Assert.That(reply["Content-Type"], Does.StartWith("text/plain"));
        Assert.That(reply["Allow"], Is.EqualTo(status != 405 ? null : text.Contains("HEAD", StringComparison.Ordinal) ? "GET, HEAD" : "GET"));
        Assert.That(reply["Upgrade"], Is.EqualTo(status == 426 ? "websocket" : null));
        Assert.That(reply["Sec-WebSocket-Version"], Is.EqualTo(status == 426 ? "13" : null));
        Assert.That(_server.Metrics.Opened, Is.Zero);
    }

    [Test]
    public async Task A_refusal_is_counted_and_is_a_log_line()
    {
        await _server.RequestAsync(ScriptedPeer.Upgrade("/other?token=secret"));

        LogEvent line = await _server.Log.WithAsync("Refused GET /other?*** from 127.0.0.1:");
        Assert.That(line.Value("target"), Is.EqualTo("/other?***"));
        Assert.That(line.Value("status"), Is.EqualTo(404));
        Assert.That(_server.Metrics.Refused, Is.EqualTo(1));
    }

    [TestCase("/healthz", 200)]
    [TestCase("/other", 404)]
    public async Task An_answer_ends_the_HTTP_connection_and_says_so(string path, int status)
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_server.Port);

        await peer.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");

        HttpReply reply = await peer.ReadReplyAsync();
        Assert.That((reply.Status, reply["Connection"]), Is.EqualTo((status, "close")));
        Assert.That(await peer.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
    }

    [Test]
    public async Task The_101_has_the_accept_value_of_the_key_and_nothing_that_was_not_asked_for()
    {
        HttpReply reply = await _server.RequestAsync(ScriptedPeer.Upgrade());

        Assert.That(reply.Status, Is.EqualTo(101));
        Assert.That(reply["Sec-WebSocket-Accept"], Is.EqualTo(ScriptedPeer.Accept));
        Assert.That(reply.Headers.Keys, Is.EquivalentTo(new[] { "Upgrade", "Connection", "Sec-WebSocket-Accept" }));
    }

    [Test]
    public async Task An_offered_extension_is_not_answered()
    {
        HttpReply reply = await _server.RequestAsync(ScriptedPeer.Upgrade(headers:
            [("Sec-WebSocket-Extensions", "permessage-deflate"), ("Origin", "http://elsewhere")]));

        Assert.That(reply.Status, Is.EqualTo(101));
        Assert.That(reply.Headers.Keys, Has.None.StartsWith("Sec-WebSocket-Extensions"));
    }

    [TestCase("keep-alive, Upgrade", "websocket")]
    [TestCase("UPGRADE", "WebSocket")]
    [TestCase("Upgrade", "h2c, websocket")]
    public async Task Header_values_may_be_lists_in_any_case(string connection, string upgrade)
    {
        HttpReply reply = await _server.RequestAsync(ScriptedPeer.Upgrade(headers: [("Connection", connection), ("Upgrade", upgrade)]));

        Assert.That(reply.Status, Is.EqualTo(101));
    }

    [TestCase("example.com")]
    [TestCase("example.com:443")]
    [TestCase("127.0.0.1")]
    public async Task Behind_a_proxy_the_Host_header_may_be_any(string host)
    {
        HttpReply reply = await _server.RequestAsync(ScriptedPeer.Upgrade(headers: ("Host", host)));

        Assert.That(reply.Status, Is.EqualTo(101));
    }

    [Test]
    public async Task A_query_does_not_matter()
    {
        Assert.That((await _server.RequestAsync(ScriptedPeer.Upgrade("/ws?token=1"))).Status, Is.EqualTo(101));
    }

    [Test]
    public async Task The_path_can_be_another()
    {
        await using ServerFixture server = ServerFixture.Start(options => options with { Path = "/a/b" }, source: source);

        Assert.That((await server.RequestAsync(ScriptedPeer.Upgrade("/ws"))).Body, Does.Contain("/a/b"));
        Assert.That((await server.RequestAsync(ScriptedPeer.Upgrade("/a/b"))).Status, Is.EqualTo(101));
    }

    [Test]
    public async Task Health_is_ok_and_no_refusal()
    {
        HttpReply get = await _server.RequestAsync("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        HttpReply head = await _server.RequestAsync("HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n", hasBody: false);

        Assert.That((get.Status, get.Body), Is.EqualTo((200, "ok\n")));
        Assert.That(head.Status, Is.EqualTo(200));
        Assert.That(_server.Metrics.Refused, Is.Zero);
        Assert.That(_server.Log.Containing("healthz"), Has.Count.EqualTo(1), "the start line, not one a probe");
    }

    [Test]
    public async Task An_exception_in_one_request_does_not_end_the_accept_loop()
    {
        await using ServerFixture server = ServerFixture.Start(logger: log => new FaultyLogger(log, "Refused"), source: source);

        for (int round = 1; round <= 3; round++)
        {
            using ScriptedPeer unlucky = await ScriptedPeer.ConnectAsync(server.Port);
            await unlucky.SendAsync(ScriptedPeer.Upgrade("/other"));
            LogEvent line = await server.Log.WithAsync("A request failed; the server goes on", round);
            Assert.That(line.Exception!.Message, Is.EqualTo("a bug"));

            using ScriptedPeer next = await server.UpgradedPeerAsync();
            await next.SendAsync(ClientFrames.Text("still there"));
            Assert.That((await next.ReadFrameAsync()).Text, Is.EqualTo("still there"));
        }
    }

    [TestCase("\r\n\r\n\r\n")]
    [TestCase("GARBAGE\r\n\r\n")]
    [TestCase("GET / HTTP/9.9\r\nHost: x\r\n\r\n")]
    [TestCase("GET http://[::1 HTTP/1.1\r\nHost: [[[\r\n\r\n")]
    [TestCase("GET /%ZZ%00 HTTP/1.1\r\nHost: x\r\n\r\n")]
    [TestCase("GET /ws HTTP/1.1\r\n\r\n")]
    [TestCase("POST /ws HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")]
    [TestCase("GET /ws HTTP/1.1\r\nHost: x")]
    public async Task Broken_requests_and_clients_that_leave_do_not_end_it_either(string request)
    {
        foreach (bool reset in new[] { false, true })
        {
            using ScriptedPeer broken = await ScriptedPeer.ConnectAsync(_server.Port);
            await broken.SendAsync(request);
            if (reset)
                broken.Reset();
        }

        using ScriptedPeer next = await _server.UpgradedPeerAsync();
        await next.SendAsync(ClientFrames.Text("still there"));
        Assert.That((await next.ReadFrameAsync()).Text, Is.EqualTo("still there"));
    }

    /// <summary>Stands for any bug in the handling of a request: the log itself throws.</summary>
    private sealed class FaultyLogger(ILogger log, string bad) : ILogger
    {
        public void Write(LogEvent logEvent)
        {
            if (logEvent.MessageTemplate.Text.StartsWith(bad, StringComparison.Ordinal))
                throw new InvalidOperationException("a bug");
            log.Write(logEvent);
        }
    }
}
