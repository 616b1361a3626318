using HeartbeatServer.Admin;
using HeartbeatServer.Hosting;
using HeartbeatServer.Options;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;
using Serilog.Events;

namespace HeartbeatServer.Tests.Hosting;

/// <summary>Who may connect, and how many: --max-connections, --max-connections-per-ip, --allow-origin, --trust-proxy.</summary>
[TestFixture(RequestsFrom.HttpPort)]
[TestFixture(RequestsFrom.PlainLoop)]
public sealed class ServerLimitTests(RequestsFrom source)
{
    [Test]
    public async Task Past_the_limit_it_is_503_with_Retry_After_until_one_leaves()
    {
        await using ServerFixture server = ServerFixture.Start(options => options with { MaxConnections = 2 }, source: source);
        using ScriptedPeer first = await server.UpgradedPeerAsync();
        using ScriptedPeer second = await server.UpgradedPeerAsync();

        HttpReply refused = await server.RequestAsync(ScriptedPeer.Upgrade());

        Assert.That((refused.Status, refused["Retry-After"], refused.Body), Is.EqualTo((503, "1", "all 2 connections are taken; try again later\n")));
        Assert.That(server.Metrics.Refusals(RefusalReason.ConnectionLimit), Is.EqualTo(1));
        Assert.That((await server.RequestAsync("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")).Status, Is.EqualTo(200), "health is no upgrade");

        first.Dispose();
        await server.EndedAsync();
        await Safety.UntilAsync(() => server.Server.State == ServerState.Serving, "room");
        using ScriptedPeer third = await server.UpgradedPeerAsync();
    }

    [Test]
    public async Task Past_the_limit_of_an_address_it_is_429_with_Retry_After()
    {
        await using ServerFixture server = ServerFixture.Start(options => options with { MaxConnectionsPerIp = 1 }, source: source);
        using ScriptedPeer first = await server.UpgradedPeerAsync();

        HttpReply refused = await server.RequestAsync(ScriptedPeer.Upgrade());

        Assert.That((refused.Status, refused["Retry-After"], refused.Body), Is.EqualTo((429, "1", "1 connection(s) from one address are the limit\n")));
        Assert.That(server.Metrics.Refusals(RefusalReason.IpLimit), Is.EqualTo(1));
    }

    [Test]
    public async Task Whoever_is_refused_at_the_limit_is_a_warning_that_names_the_option()
    {
        await using ServerFixture server = ServerFixture.Start(options => options with { MaxConnections = 1 }, source: source);
        using ScriptedPeer first = await server.UpgradedPeerAsync();

        await server.RequestAsync(ScriptedPeer.Upgrade());

        LogEvent line = await server.Log.WithAsync("--max-connections is reached");
        Assert.That((line.Level, line.Value("event")), Is.EqualTo((LogEventLevel.Warning, "limit_reached")));
    }

    [Test]
    public async Task A_place_is_given_back_however_a_connection_ends_and_when_the_upgrade_fails()
    {
        await using ServerFixture server = ServerFixture.Start(options => options with { MaxConnections = 3, MaxConnectionsPerIp = 3 }, source: source);

        for (int round = 1; round <= 10; round++)
        {
            using ScriptedPeer closing = await EnterAsync();
            using ScriptedPeer resetting = await EnterAsync();
            using ScriptedPeer early = await ScriptedPeer.ConnectAsync(server.Port);
            await early.SendAsync(ScriptedPeer.Upgrade());
            early.Reset();
            await closing.SendAsync(ClientFrames.Close(1000));
            resetting.Reset();
            await Safety.UntilAsync(() => server.Table.Count == 0, "an empty table");
        }

        // All three places are free again.
        var peers = new List<ScriptedPeer>();
        for (int i = 0; i < 3; i++)
            peers.Add(await EnterAsync());
        peers.ForEach(peer => peer.Dispose());

        // The server may still be handling the last reset, and a connection gives its place back a little after it has left the table.
        async Task<ScriptedPeer> EnterAsync()
        {
            using var limit = new CancellationTokenSource(Safety.Limit);
            while (true)
            {
                ScriptedPeer peer = await ScriptedPeer.ConnectAsync(server.Port);
                await peer.SendAsync(ScriptedPeer.Upgrade());
                if ((await peer.ReadReplyAsync()).Status == 101)
                    return peer;
                peer.Dispose();
                Assert.That(limit.IsCancellationRequested, Is.False, "a place was not given back");
            }
        }
    }

    [TestCase("https://app.example.com", 101)]
    [TestCase("https://evil.test", 403)]
    [TestCase("null", 403)]
    [TestCase(null, 101)]
    public async Task Only_pages_of_allowed_origins_connect(string? origin, int status)
    {
        await using ServerFixture server = ServerFixture.Start(options => options with { AllowOrigin = new AllowedOrigins(["https://app.example.com"]) }, source: source);

        HttpReply reply = await server.RequestAsync(ScriptedPeer.Upgrade(headers: ("Origin", origin)));

        Assert.That(reply.Status, Is.EqualTo(status));
        Assert.That(server.Metrics.Refusals(RefusalReason.Origin), Is.EqualTo(status == 403 ? 1 : 0));
    }

    [Test]
    public async Task Behind_a_trusted_proxy_the_limit_and_the_log_are_about_the_client()
    {
        Assert.That(TrustedProxies.TryParse("127.0.0.1", out System.Net.IPNetwork loopback), Is.True);
        await using ServerFixture server = ServerFixture.Start(
            options => options with { MaxConnectionsPerIp = 1, TrustProxy = new TrustedProxies([loopback]) }, source: source);
        using ScriptedPeer first = await ScriptedPeer.ConnectAsync(server.Port);
        await first.SendAsync(From("6.6.6.6, 192.0.2.1"));
        Assert.That((await first.ReadReplyAsync()).Status, Is.EqualTo(101));
        await server.Log.WithAsync("#1 192.0.2.1 via 127.0.0.1:");

        Assert.That((await server.RequestAsync(From("7.7.7.7, 192.0.2.1"))).Status, Is.EqualTo(429), "the same client, whatever it says itself");
        Assert.That((await server.RequestAsync(From("192.0.2.2"))).Status, Is.EqualTo(101));

        static string From(string clients) => ScriptedPeer.Upgrade(headers: ("X-Forwarded-For", clients));
    }

    [Test]
    public async Task Proxy_headers_that_disagree_are_told_once_with_what_to_do()
    {
        Assert.That(TrustedProxies.TryParse("127.0.0.1", out System.Net.IPNetwork loopback), Is.True);
        await using ServerFixture server = ServerFixture.Start(
            options => options with { TrustProxy = new TrustedProxies([loopback]) }, source: source);

        await server.RequestAsync(From("proto=https"));
        Assert.That(server.Log.Containing("name different clients"), Is.Empty);
        await server.Log.WithAsync("#1 192.0.2.1 via 127.0.0.1:");
        for (int i = 0; i < 3; i++)
            await server.RequestAsync(From("for=6.6.6.6"));

        await server.Log.WithAsync("#4 127.0.0.1:");
        string line = server.Log.Containing("name different clients").Single();
        Assert.That(line, Does.StartWith("Warning ").And.Contain("proxy 127.0.0.1:").And.Contain("remove the header that it does not set"));

        static string From(string forwarded) => ScriptedPeer.Upgrade(headers: [("X-Forwarded-For", "192.0.2.1"), ("Forwarded", forwarded)]);
    }

    [Test]
    public async Task From_others_the_headers_mean_nothing()
    {
        await using ServerFixture server = ServerFixture.Start(options => options with { MaxConnectionsPerIp = 1 }, source: source);
        using ScriptedPeer first = await server.UpgradedPeerAsync();

        HttpReply refused = await server.RequestAsync(ScriptedPeer.Upgrade(headers: [("X-Forwarded-For", "192.0.2.1"), ("Forwarded", "for=192.0.2.1")]));

        Assert.That(refused.Status, Is.EqualTo(429));
        await server.Log.WithAsync("#1 127.0.0.1:");
    }
}
