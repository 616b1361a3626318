using System.Diagnostics.CodeAnalysis;
using System.Net.WebSockets;
using HeartbeatServer.Admin;
using HeartbeatServer.Hosting;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Hosting;

/// <summary>The drain, from the signal to the exit.</summary>
[SuppressMessage("Reliability", "CA2025", Justification = "The drain is awaited before the server is disposed of.")]
[TestFixture(RequestsFrom.HttpPort)]
[TestFixture(RequestsFrom.PlainLoop)]
public sealed class ServerDrainTests(RequestsFrom source)
{
    private ServerFixture _server = null!;

    [SetUp]
    public void SetUp() => _server = ServerFixture.Start(options => options with { Ping = TimeSpan.Zero, Drain = TimeSpan.FromSeconds(8) }, source: source);

    [TearDown]
    public async Task TearDown() => await _server.DisposeAsync();

    [Test]
    public async Task Without_connections_it_is_done_at_once()
    {
        await DrainAsync().InTime();

        Assert.That(_server.Log.Containing("draining"), Has.Count.EqualTo(1));
        Assert.That(_server.Log.Containing("cut"), Has.None.Contains("did not close in time"));
    }

    [Test]
    public async Task It_waits_for_a_request_that_may_be_upgraded_and_is_not_in_the_table_yet()
    {
        Assert.That(_server.Drain.TryEnter(), Is.True);

        Task drain = DrainAsync();

        Assert.That(drain.IsCompleted, Is.False);
        Assert.That(_server.Drain.TryEnter(), Is.False, "whoever comes now is refused");
        Assert.That(drain.IsCompleted, Is.False);
        _server.Drain.Leave();
        await drain.InTime();
    }

    [Test]
    public async Task All_get_Close_1001_and_it_ends_when_all_have_answered()
    {
        ScriptedPeer[] peers = await ConnectAsync(5);

        Task drain = DrainAsync();
        foreach (ScriptedPeer peer in peers)
        {
            Assert.That(drain.IsCompleted, Is.False);
            Assert.That((await peer.ReadFrameAsync()).Close, Is.EqualTo("1001 server is shutting down"));
            await peer.SendAsync(ClientFrames.Close(1001));
            Assert.That(await peer.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        }
        await drain.InTime();

        Assert.That(_server.Metrics.Ends(DisconnectCause.ServerShutdown), Is.EqualTo(5));
        Assert.That(_server.Log.Containing("ended: server_shutdown"), Has.Count.EqualTo(5));
        Assert.That(_server.Log.Containing("did not close in time"), Is.Empty);
        Array.ForEach(peers, peer => peer.Dispose());
    }

    [Test]
    public async Task A_client_of_the_framework_sees_a_clean_end()
    {
        using ClientWebSocket client = await _server.ClientAsync();
        await _server.ConnectionAsync();

        Task drain = DrainAsync();
        WebSocketReceiveResult close = await client.ReceiveAsync(new ArraySegment<byte>(new byte[100]), CancellationToken.None).InTime();
        await client.CloseOutputAsync(WebSocketCloseStatus.EndpointUnavailable, null, CancellationToken.None).InTime();
        await drain.InTime();

        Assert.That((close.CloseStatus, close.CloseStatusDescription), Is.EqualTo((WebSocketCloseStatus.EndpointUnavailable, "server is shutting down")));
    }

    [Test]
    public async Task A_mute_client_is_cut_at_the_end_of_the_window()
    {
        ScriptedPeer[] peers = await ConnectAsync(3);

        Task drain = DrainAsync();
        foreach (ScriptedPeer peer in peers)
            Assert.That((await peer.ReadFrameAsync()).Close, Does.StartWith("1001"));
        await peers[0].SendAsync(ClientFrames.Close(1001));
        await Safety.UntilAsync(() => _server.Table.Count == 2, "the one that answered is gone");
        _server.Clock.Advance(7992);
        Assert.That(drain.IsCompleted, Is.False);
        _server.Clock.Advance(8);
        await drain.InTime();

        Assert.That(await peers[1].ReadEndAsync(), Is.EqualTo(PeerEnd.Reset));
        Assert.That(await peers[2].ReadEndAsync(), Is.EqualTo(PeerEnd.Reset));
        Assert.That(_server.Metrics.Ends(DisconnectCause.ServerShutdown), Is.EqualTo(3));
        Assert.That(_server.Log.Containing("Warning 2 connection(s) did not close in time and are cut"), Has.Count.EqualTo(1));
        Array.ForEach(peers, peer => peer.Dispose());
    }

    [Test]
    public async Task Our_own_stall_is_no_time_of_a_client_that_is_to_answer()
    {
        using ScriptedPeer peer = (await ConnectAsync(1))[0];
        Task drain = DrainAsync();
        await peer.ReadFrameAsync();

        _server.Clock.Time.Advance(TimeSpan.FromSeconds(20));
        _server.Clock.Advance(11_000);
        Assert.That(drain.IsCompleted, Is.False);
        await peer.SendAsync(ClientFrames.Close(1001));
        await drain.InTime();

        Assert.That(_server.Log.Containing("did not close in time"), Is.Empty);
    }

    [Test]
    public async Task A_second_signal_cuts_at_once()
    {
        ScriptedPeer[] peers = await ConnectAsync(2);
        using var second = new CancellationTokenSource();
        Task drain = _server.Drain.RunAsync("SIGTERM", second.Token);
        foreach (ScriptedPeer peer in peers)
            await peer.ReadFrameAsync();
        Assert.That(drain.IsCompleted, Is.False);

        await second.CancelAsync();
        await drain.InTime();

        foreach (ScriptedPeer peer in peers)
            Assert.That(await peer.ReadEndAsync(), Is.EqualTo(PeerEnd.Reset));
        Array.ForEach(peers, peer => peer.Dispose());
    }

    [Test]
    public async Task With_a_window_of_0_all_are_cut_at_once()
    {
        await using ServerFixture server = ServerFixture.Start(options => options with { Drain = TimeSpan.Zero }, source: source);
        using ScriptedPeer peer = await server.UpgradedPeerAsync();
        await server.ConnectionAsync();

        await server.Drain.RunAsync("SIGINT", CancellationToken.None).InTime();

        Assert.That((await peer.ReadFrameAsync()).Close, Does.StartWith("1001"), "best effort");
        Assert.That(await peer.ReadEndAsync(), Is.EqualTo(PeerEnd.Reset));
    }

    [Test]
    public async Task While_draining_upgrades_and_health_are_503()
    {
        ScriptedPeer[] peers = await ConnectAsync(1);
        Task drain = DrainAsync();

        HttpReply upgrade = await _server.RequestAsync(ScriptedPeer.Upgrade());
        HttpReply health = await _server.RequestAsync("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.That((upgrade.Status, upgrade["Retry-After"]), Is.EqualTo((503, "1")));
        Assert.That(upgrade.Body, Does.Contain("shutting down"));
        Assert.That((health.Status, health.Body), Is.EqualTo((503, "draining\n")));

        peers[0].Dispose();
        await drain.InTime();
    }

    [Test]
    public async Task A_crowd_gets_its_Close_frames_paced()
    {
        const int crowd = 100;
        ScriptedPeer[] peers = await ConnectAsync(crowd);

        Task drain = DrainAsync();
        int atOnce = Closing();
        Assert.That(atOnce, Is.InRange(1, 40), "1,000 a second is 20 in the first 20 ms");
        await _server.AdvanceUntilAsync(() => Closing() == crowd, "the last Close", TimeSpan.FromMilliseconds(8));
        await Task.WhenAll(peers.Select(async peer =>
        {
            await peer.ReadFrameAsync();
            await peer.SendAsync(ClientFrames.Close(1001));
            peer.Dispose();
        }));
        await drain.InTime();

        Assert.That(_server.Metrics.Ends(DisconnectCause.ServerShutdown), Is.EqualTo(crowd));

        // A Close frame with its text takes 28 bytes; nothing else was sent.
        int Closing() => _server.Table.Open.Count(connection => connection.Figures().BytesOut > 0);
    }

    [Test]
    public async Task Established_connections_go_on_until_they_are_told()
    {
        ScriptedPeer[] peers = await ConnectAsync(1);
        Task drain = DrainAsync();
        Assert.That((await peers[0].ReadFrameAsync()).Close, Does.StartWith("1001"));

        // The server reads what comes between its Close and the client's, and does not answer it.
        await peers[0].SendAsync(ClientFrames.Text("too late"), ClientFrames.Close(1001));

        Assert.That(await peers[0].ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        await drain.InTime();
        Assert.That((await _server.EndedAsync()).Value("messages_in"), Is.EqualTo(1L));
        peers[0].Dispose();
    }

    private Task DrainAsync() => _server.Drain.RunAsync("SIGTERM", CancellationToken.None);

    private async Task<ScriptedPeer[]> ConnectAsync(int count)
    {
        var peers = new ScriptedPeer[count];
        for (int i = 0; i < count; i++)
            peers[i] = await _server.UpgradedPeerAsync();
        await Safety.UntilAsync(() => _server.Table.Count == count, "all in the table");
        return peers;
    }
}
