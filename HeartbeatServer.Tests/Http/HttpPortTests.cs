using HeartbeatServer.Admin;
using HeartbeatServer.Hosting;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Http;

/// <summary>Requests that do not end, or can be no request. HttpListener would keep the former for ever.</summary>
[Category(Categories.HttpPort)]
[Platform("Linux")]
public sealed class HttpPortTests
{
    private ServerFixture _server = null!;

    [SetUp]
    public void SetUp() => _server = ServerFixture.Start(options => options with { HandshakeTimeout = TimeSpan.FromSeconds(5) });

    [TearDown]
    public async Task TearDown() => await _server.DisposeAsync();

    [TestCase("")]
    [TestCase("G")]
    [TestCase("GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgr")]
    public async Task A_request_that_is_not_finished_in_time_gets_408(string request)
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_server.Port);
        await peer.SendAsync(request);

        await _server.AdvanceUntilAsync(() => _server.Log.Containing("Rejected a request").Count > 0, "the rejection", TimeSpan.FromMilliseconds(40));

        HttpReply reply = await peer.ReadReplyAsync();
        Assert.That(reply.Status, Is.EqualTo(408));
        Assert.That(reply.Body, Does.Contain("within 5s"));
        Assert.That(await peer.ReadEndAsync(), Is.AnyOf(PeerEnd.Fin, PeerEnd.Reset));
        Assert.That(_server.Metrics.Refused, Is.EqualTo(1));
    }

    /// <summary>HttpListener itself does not limit the length of a line.</summary>
    [TestCase("GET /", "x")]
    [TestCase("GET /ws HTTP/1.1\r\nX: ", "x")]
    [TestCase("GET /ws HTTP/1.1\r\n", "X: x\r\n")]
    public async Task A_request_without_end_gets_431(string beginning, string more)
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_server.Port);
        await peer.SendAsync(beginning + string.Concat(Enumerable.Repeat(more, 33 * 1024 / more.Length)));

        await _server.Log.WithAsync("Rejected a request", 1);

        Assert.That(_server.Log.Containing("Rejected a request").Single(), Does.Contain("431").And.Contain("more than 24 KiB"));
        Assert.That(_server.Metrics.Refused, Is.EqualTo(1));
    }

    [TestCase("GET /ws HTTP/1.1\nHost: x\n\n", 400, "an LF without CR")]
    [TestCase("hello\n", 400, "an LF without CR")]
    [TestCase("\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n", 400, "empty lines")]
    [TestCase("\u0000\u0001", 400, "a control character")]
    [TestCase("GET /ws HTTP/1.1\r\n\r\n", 400, "Host field is missing")]
    [TestCase("GET /ws HTTP/2.0\r\nHost: x\r\n\r\n", 505, "HTTP/2.0 is not spoken here")]
    [TestCase("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/2 without TLS")]
    [TestCase("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n\r\n", 400, "--trust-proxy")]
    [TestCase("\r\n\r\n\0\r\nQUIT\n!", 400, "--trust-proxy")]
    public async Task What_is_no_request_is_told_so_at_once_logged_and_counted(string bytes, int status, string text)
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_server.Port);
        await peer.SendAsync(bytes);

        HttpReply reply = await peer.ReadReplyAsync();
        Assert.That(reply.Status, Is.EqualTo(status));
        Assert.That(reply.Body, Does.Contain(text));
        Assert.That(await peer.ReadEndAsync(), Is.AnyOf(PeerEnd.Fin, PeerEnd.Reset));
        Assert.That(_server.Log.Containing("Rejected a request").Single(), Does.Contain($"{status}").And.Contain(text));
        Assert.That(_server.Metrics.Refused, Is.EqualTo(1));
    }

    [Test]
    public async Task TLS_on_the_plain_port_is_closed_at_once_and_named()
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_server.Port);
        await peer.SendAsync([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xFC]);

        Assert.That(await peer.ReadEndAsync(), Is.AnyOf(PeerEnd.Fin, PeerEnd.Reset));
        Assert.That(_server.Log.Containing("Rejected a request").Single(), Does.Contain("TLS on the plain port"));
        Assert.That(_server.Metrics.Refusals(RefusalReason.Tls), Is.EqualTo(1));
    }

    [Test]
    public async Task Our_own_stall_is_no_time_of_a_request_that_came_meanwhile()
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_server.Port);
        await peer.SendAsync("GET /ws HTTP/1.1\r\n");
        await Safety.UntilAsync(() => _server.Clock.Wheel.Count == 1, "the request");
        _server.Clock.Advance(1000);

        _server.Clock.Stall(12_000);
        Assert.That(_server.Log.Containing("Rejected"), Is.Empty);
        await peer.SendAsync(ScriptedPeer.Upgrade()["GET /ws HTTP/1.1\r\n".Length..]);

        Assert.That((await peer.ReadReplyAsync(hasBody: false)).Status, Is.EqualTo(101));
    }

    [Test]
    public async Task A_request_may_come_byte_by_byte()
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_server.Port);
        foreach (char next in ScriptedPeer.Upgrade())
            await peer.SendAsync(next.ToString());

        Assert.That((await peer.ReadReplyAsync(hasBody: false)).Status, Is.EqualTo(101));
        await peer.SendAsync(ClientFrames.Text("hello"));
        Assert.That((await peer.ReadFrameAsync()).Text, Is.EqualTo("hello"));
    }

    [Test]
    public async Task A_closed_port_answers_503_to_who_is_not_ready()
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_server.Port);
        await peer.SendAsync("GET /ws HTTP/1.1\r\n");
        await Safety.UntilAsync(() => _server.Clock.Wheel.Count == 1, "the request");

        await _server.Server.DisposeAsync().AsTask().InTime();

        HttpReply reply = await peer.ReadReplyAsync();
        Assert.That((reply.Status, reply["Retry-After"]), Is.EqualTo((503, "1")));
        Assert.That(await peer.ReadEndAsync(), Is.AnyOf(PeerEnd.Fin, PeerEnd.Reset));
    }

    [Test]
    public async Task An_upgraded_connection_is_none_of_its_business()
    {
        using ScriptedPeer peer = await _server.UpgradedPeerAsync();
        await _server.ConnectionAsync();
        using ScriptedPeer slow = await ScriptedPeer.ConnectAsync(_server.Port);
        await slow.SendAsync("GET ");

        await _server.AdvanceUntilAsync(() => _server.Log.Containing("Rejected a request").Count > 0, "the rejection", TimeSpan.FromMilliseconds(40));

        await peer.SendAsync(ClientFrames.Text("still there"));
        while ((await peer.ReadFrameAsync()).Text != "still there") { }
    }
}
