using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Hosting;

/// <summary>Requests that do not end, which HttpListener would keep for ever.</summary>
public sealed class DoorkeeperTests
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
