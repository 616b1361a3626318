using HeartbeatServer.Protocol;
using HeartbeatServer.Relay;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Relay;

/// <summary>Handshakes that fail, and who is told.</summary>
[Platform("Linux")]
public sealed class UpstreamHandshakeTests
{
    private RelayFixture _relay = null!;

    [SetUp]
    public void SetUp() => _relay = new RelayFixture();

    [TearDown]
    public ValueTask TearDown() => _relay.DisposeAsync();

    [Test]
    public async Task An_application_that_refuses_the_connection_is_unreachable()
    {
        _relay.StopApplication();
        using ScriptedPeer client = await _relay.ClientAsync();

        HttpReply reply = await client.ReadReplyAsync();
        Assert.That((reply.Status, reply["Retry-After"], reply["Connection"]), Is.EqualTo((502, "1", "close")));
        Assert.That(reply.Body, Does.Contain("refused the connection"));
        await CountsAsync(RefusalReason.UpstreamUnreachable, client);
    }

    [Test]
    public async Task An_application_that_is_silent_has_its_time()
    {
        using ScriptedPeer client = await _relay.ClientAsync();
        using ScriptedPeer application = await _relay.ApplicationAsync();
        await application.ReadHeadAsync();
        _relay.Server.Clock.Advance(TimeSpan.FromSeconds(9.9));
        Assert.That(_relay.Server.Metrics.Refused, Is.Zero);
        _relay.Server.Clock.Advance(TimeSpan.FromSeconds(0.2));

        HttpReply reply = await client.ReadReplyAsync();
        Assert.That((reply.Status, reply["Retry-After"]), Is.EqualTo((504, "1")));
        Assert.That(await application.ReadEndAsync(), Is.EqualTo(PeerEnd.Reset));
        await CountsAsync(RefusalReason.UpstreamTimeout, client);
    }

    [Test]
    public async Task An_answer_that_does_not_fit_is_named()
    {
        using ScriptedPeer client = await _relay.ClientAsync();
        using ScriptedPeer application = await _relay.ApplicationAsync();
        await application.ReadHeadAsync();
        await application.SendAsync("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n");

        HttpReply reply = await client.ReadReplyAsync();
        Assert.That(reply.Status, Is.EqualTo(502));
        Assert.That(reply.Body, Does.Contain("Upgrade"));
        await CountsAsync(RefusalReason.UpstreamBadAnswer, client);
    }

    [Test]
    public async Task The_refusal_of_the_application_goes_to_the_client()
    {
        using ScriptedPeer client = await _relay.ClientAsync();
        using ScriptedPeer application = await _relay.ApplicationAsync();
        await application.ReadHeadAsync();
        await application.SendAsync("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 8\r\n\r\nno entry");

        HttpReply reply = await client.ReadReplyAsync();
        Assert.That((reply.Status, reply["WWW-Authenticate"], reply["Connection"], reply.Body), Is.EqualTo((401, "Basic", "close", "no entry")));
        await application.ReadEndAsync();
        await CountsAsync(RefusalReason.UpstreamRefused, client);
    }

    [Test]
    public async Task A_client_that_goes_takes_the_handshake_with_it([Values] bool isReset)
    {
        ScriptedPeer client = await _relay.ClientAsync();
        using ScriptedPeer application = await _relay.ApplicationAsync();
        await application.ReadHeadAsync();
        if (isReset)
            client.Reset();
        else
            client.Dispose();

        Assert.That(await application.ReadEndAsync(), Is.EqualTo(PeerEnd.Reset));
        await CountsAsync(RefusalReason.ClientGone, client);
    }

    [Test]
    public async Task A_client_that_goes_behind_many_early_frames_is_seen()
    {
        ScriptedPeer client = await _relay.ClientAsync();
        using ScriptedPeer application = await _relay.ApplicationAsync();
        await application.ReadHeadAsync();
        await client.SendAsync(ClientFrames.Binary(new byte[60_000]));
        client.SendFin();

        Assert.That(await application.ReadEndAsync(), Is.EqualTo(PeerEnd.Reset));
        await CountsAsync(RefusalReason.ClientGone, client);
    }

    [Test]
    public async Task A_drain_refuses_the_handshakes_that_are_under_way()
    {
        using ScriptedPeer client = await _relay.ClientAsync();
        using ScriptedPeer application = await _relay.ApplicationAsync();
        await application.ReadHeadAsync();
        Task drain = _relay.Server.Drain.RunAsync("SIGTERM", CancellationToken.None);

        Assert.That((await client.ReadReplyAsync()).Status, Is.EqualTo(503));
        await CountsAsync(RefusalReason.Draining, client);
        await drain.InTime();
    }

    [Test]
    public async Task The_log_has_no_query()
    {
        _relay.StopApplication();
        using ScriptedPeer client = await _relay.ClientAsync(ScriptedPeer.Upgrade("/chat?token=secret"));
        await client.ReadReplyAsync();
        await CountsAsync(RefusalReason.UpstreamUnreachable, client);

        await _relay.Server.Log.WithAsync("Refused GET /chat?*** from ");
        Assert.That(_relay.Server.Log.Lines, Has.None.Contain("secret"));
    }

    private async Task CountsAsync(RefusalReason reason, ScriptedPeer client)
    {
        client.Dispose();
        await Safety.UntilAsync(() => _relay.Server.Metrics.Refused == 1, "the refusal");
        Assert.That(_relay.Server.Metrics.Refusals(reason), Is.EqualTo(1));
    }
}
