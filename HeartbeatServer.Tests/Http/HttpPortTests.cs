using HeartbeatServer.Admin;
using HeartbeatServer.Hosting;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Http;

/// <summary>Requests that do not end, which HttpListener would keep for ever.</summary>
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

    /// <summary>HttpListener has no limit for a line.</summary>
    [TestCase("GET /", "x")]
    [TestCase("GET /ws HTTP/1.1\r\nX: ", "x")]
    [TestCase("GET /ws HTTP/1.1\r\n", "X: x\r\n")]
    [TestCase("", "\n")]
    public async Task A_request_without_end_gets_431(string beginning, string more)
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_server.Port);
        await peer.SendAsync(beginning + string.Concat(Enumerable.Repeat(more, 33 * 1024 / more.Length)));

        await _server.Log.WithAsync("Rejected a request", 1);

        Assert.That(_server.Log.Containing("Rejected a request").Single(), Does.Contain("431").And.Contain("more than 24 KiB"));
        Assert.That(_server.Metrics.Refused, Is.EqualTo(1));
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
