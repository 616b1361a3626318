using System.Net;
using System.Net.Sockets;
using HeartbeatServer.Admin;
using HeartbeatServer.Engine;
using HeartbeatServer.Http;
using HeartbeatServer.Options;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;
using Serilog.Core;
using HttpReply = HeartbeatServer.Tests.Support.HttpReply;

namespace HeartbeatServer.Tests.Hosting;

/// <summary>What <c>--host</c> binds, with IPv4 and IPv6.</summary>
[TestFixture(RequestsFrom.HttpPort)]
[TestFixture(RequestsFrom.PlainLoop)]
public sealed class ServerAddressTests(RequestsFrom source)
{
    [Test]
    public async Task The_star_listens_on_both_families_and_each_client_has_its_own_kind_of_address()
    {
        NeedIPv6();
        await using ServerFixture server = ServerFixture.Start(options => options with { Host = "*" }, source: source);

        using ScriptedPeer four = await UpgradedAsync(server, IPAddress.Loopback);
        using ScriptedPeer six = await UpgradedAsync(server, IPAddress.IPv6Loopback);

        Assert.That($"{four.Address}", Does.StartWith("127.0.0.1:"));
        Assert.That($"{six.Address}", Does.StartWith("[::1]:"));
        await server.Log.WithAsync($"#1 {four.Address} connected");
        await server.Log.WithAsync($"#2 {six.Address} connected");
        Assert.That(server.Log.Lines, Has.None.Contain("ffff"));
    }

    [Test]
    public async Task On_the_star_limits_and_trusted_proxies_go_by_the_address_of_IPv4()
    {
        Assert.That(TrustedProxies.TryParse("127.0.0.0/8", out IPNetwork loopback), Is.True);
        await using ServerFixture server = ServerFixture.Start(
            options => options with { Host = "*", MaxConnectionsPerIp = 1, TrustProxy = new TrustedProxies([loopback]) }, source: source);

        using ScriptedPeer first = await UpgradedAsync(server, IPAddress.Loopback, ("X-Forwarded-For", "192.0.2.1"));
        HttpReply same = await server.RequestAsync(ScriptedPeer.Upgrade(headers: ("X-Forwarded-For", "::ffff:192.0.2.1")));
        HttpReply other = await server.RequestAsync(ScriptedPeer.Upgrade(path: "/other", headers: ("X-Forwarded-For", "2001:db8::1")));

        Assert.That((same.Status, other.Status), Is.EqualTo((429, 404)));
        await server.Log.WithAsync("#1 192.0.2.1 via 127.0.0.1:");
        await server.Log.WithAsync("Refused GET /other from 2001:db8::1 via 127.0.0.1:");
    }

    [Test]
    public async Task One_IPv6_address_can_be_bound_alone()
    {
        NeedIPv6();
        await using ServerFixture server = ServerFixture.Start(options => options with { Host = "::1" }, source: source);

        using ScriptedPeer six = await UpgradedAsync(server, IPAddress.IPv6Loopback);
        await server.ConnectionAsync();

        Assert.That(server.Log.Containing("Listening").Single(), Does.Contain($"ws://[::1]:{server.Port}/ws"));
        Assert.That(() => ScriptedPeer.ConnectAsync(server.Port), Throws.TypeOf<SocketException>());
    }

    [Test]
    public async Task Every_IPv4_interface_is_no_IPv6()
    {
        NeedIPv6();
        await using ServerFixture server = ServerFixture.Start(options => options with { Host = "0.0.0.0" }, source: source);

        using ScriptedPeer four = await UpgradedAsync(server, IPAddress.Loopback);
        await server.ConnectionAsync();

        Assert.That(() => ScriptedPeer.ConnectAsync(IPAddress.IPv6Loopback, server.Port), Throws.TypeOf<SocketException>());
    }

    [Test]
    public async Task On_a_machine_without_IPv6_the_star_is_every_IPv4_interface()
    {
        var clock = new TestClock();
        using var loops = new EventLoops(() => clock.Wheel, count: 1, epoll: source == RequestsFrom.HttpPort);
        loops.Start();
        var sink = new LogSink();
        await using Logger logger = sink.Logger();
        var listen = new ListenOptions("*", ServerFixture.FreePort(), TimeSpan.FromSeconds(5)) { HasIPv6 = false };
        var remote = new TaskCompletionSource<IPEndPoint>();
        using RequestSource requests = RequestSource.Create(
            listen,
            loops,
            request =>
            {
                remote.SetResult(request.Remote);
                return request.ReplyAsync(HeartbeatServer.Http.HttpReply.Text(200, "ok"));
            },
            clock.Time,
            () => 0,
            null,
            new ServerLog(logger));
        requests.Bind();
        requests.Start(1000, spare: 0);

        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(listen.Port);
        await peer.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");

        Assert.That((await peer.ReadReplyAsync()).Status, Is.EqualTo(200));
        Assert.That(await remote.Task.InTime(), Is.EqualTo(peer.Address));
        if (Socket.OSSupportsIPv6)
            Assert.That(() => ScriptedPeer.ConnectAsync(IPAddress.IPv6Loopback, listen.Port), Throws.TypeOf<SocketException>());
    }

    private static void NeedIPv6()
    {
        if (!Socket.OSSupportsIPv6)
            Assert.Ignore("this machine has no IPv6");
    }

    private static async Task<ScriptedPeer> UpgradedAsync(ServerFixture server, IPAddress address, params (string Name, string? Value)[] headers)
    {
        ScriptedPeer peer = await ScriptedPeer.ConnectAsync(address, server.Port);
        await peer.SendAsync(ScriptedPeer.Upgrade(headers: headers));
        Assert.That((await peer.ReadReplyAsync()).Status, Is.EqualTo(101));
        return peer;
    }
}
