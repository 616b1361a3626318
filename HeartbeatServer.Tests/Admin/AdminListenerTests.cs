using System.Net;
using System.Net.Sockets;
using HeartbeatServer.Admin;
using HeartbeatServer.Hosting;
using HeartbeatServer.Tests.Support;
using Serilog.Events;

namespace HeartbeatServer.Tests.Admin;

/// <summary>Which requests the admin port answers, with which headers, and how it ends the others.</summary>
public sealed class AdminListenerTests
{
    private AdminFixture _admin = null!;

    [SetUp]
    public async Task SetUp() => _admin = await AdminFixture.StartAsync();

    [TearDown]
    public async Task TearDown() => await _admin.DisposeAsync();

    [Test]
    public void The_log_says_where_it_is_and_warns_only_of_other_machines() => Assert.That(
        _admin.Server.Log.Containing("Dashboard on").Concat(_admin.Server.Log.Containing("--admin")),
        Is.EqualTo(new[]
        {
            $"Information Dashboard on http://127.0.0.1:{_admin.Address.Port}/, metrics on http://127.0.0.1:{_admin.Address.Port}/metrics, "
                + $"status on http://127.0.0.1:{_admin.Address.Port}/status",
        }));

    [Test]
    public async Task An_address_that_others_can_reach_gets_a_warning()
    {
        await using AdminFixture open = await AdminFixture.StartAsync("*");

        Assert.That(open.Server.Log.Containing("Warning --admin *:").Single(), Does.Contain("shows the addresses of clients"));
        Assert.That((await open.GetAsync("/metrics", "heartbeat:9090")).Status, Is.EqualTo(200));
        Assert.That((await open.GetAsync("/status", "heartbeat:9090")).Status, Is.EqualTo(403));
        Assert.That((await open.GetAsync("/status", "192.0.2.1:9090")).Status, Is.EqualTo(200));
    }

    [TestCase("*")]
    [TestCase("::1")]
    public async Task It_can_be_asked_over_IPv6(string host)
    {
        if (!Socket.OSSupportsIPv6)
            Assert.Ignore("this machine has no IPv6");
        await using AdminFixture admin = await AdminFixture.StartAsync(host);

        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(IPAddress.IPv6Loopback, admin.Address.Port);
        await peer.SendAsync("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");

        Assert.That((await peer.ReadReplyAsync()).Status, Is.EqualTo(200));
    }

    [TestCase("GET", "/", 200)]
    [TestCase("GET", "/status", 200)]
    [TestCase("GET", "/status?limit=x", 400)]
    [TestCase("GET", "/status/77", 404)]
    [TestCase("GET", "/metrics", 200)]
    [TestCase("GET", "/healthz", 200)]
    [TestCase("GET", "/readyz", 200)]
    [TestCase("GET", "/nothing", 404)]
    [TestCase("HEAD", "/status", 200)]
    [TestCase("DELETE", "/status", 405)]
    public async Task Every_answer_has_the_headers_that_keep_browsers_safe(string method, string path, int status)
    {
        HttpReply reply = await _admin.RequestAsync(method, path);

        Assert.That(reply.Status, Is.EqualTo(status));
        Assert.That(
            reply["Content-Security-Policy"],
            Is.EqualTo(
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"));
        Assert.That(reply["X-Content-Type-Options"], Is.EqualTo("nosniff"));
        Assert.That(reply["Referrer-Policy"], Is.EqualTo("no-referrer"));
        Assert.That(reply["Cross-Origin-Resource-Policy"], Is.EqualTo("same-origin"));
        Assert.That(reply["Cache-Control"], Is.EqualTo(path == "/" ? "no-cache" : "no-store"));
        Assert.That(reply["Connection"], Is.EqualTo("close"));
        Assert.That(reply["Allow"], Is.EqualTo(status == 405 ? "GET, HEAD" : null));
    }

    [TestCase("POST")]
    [TestCase("PUT")]
    [TestCase("DELETE")]
    [TestCase("OPTIONS")]
    [TestCase("PATCH")]
    public async Task Other_methods_get_405(string method)
    {
        HttpReply reply = await _admin.RequestAsync(method, "/status", headers: "Content-Length: 0\r\n");

        Assert.That((reply.Status, reply.Body), Is.EqualTo((405, """{"error":"only GET and HEAD are answered here"}""")));
    }

    [Test]
    public async Task A_request_that_it_rejects_has_a_line_of_its_own_and_is_no_refusal_of_a_client()
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_admin.Address.Port);
        await peer.SendAsync("GET / HTTP/1.1\r\nHost : x\r\n\r\n");

        Assert.That((await peer.ReadReplyAsync()).Status, Is.EqualTo(400));
        LogEvent line = await _admin.Server.Log.WithAsync("The admin listener rejected a request from 127.0.0.1:");
        Assert.That((line.Value("status"), line.Value("reason")), Is.EqualTo((400, "bad_request")));
        Assert.That(_admin.Server.Log.Containing("Rejected a request"), Is.Empty);
        Assert.That(_admin.Server.Metrics.Refused, Is.Zero);
    }

    [TestCase("evil.example")]
    [TestCase("evil.example:80")]
    [TestCase("localhost.evil.example")]
    [TestCase("192.0.2.1")]
    [TestCase(null)]
    public async Task A_name_that_is_not_ours_gets_403_whatever_it_asks_for(string? host)
    {
        foreach (string path in new[] { "/", "/status", "/metrics", "/healthz", "/nothing" })
        {
            HttpReply reply = await _admin.GetAsync(path, host);
            Assert.That((reply.Status, reply["Cache-Control"]), Is.EqualTo((403, "no-store")), path);
            Assert.That(reply.Body, Does.Contain("DNS rebinding"));
        }
    }

    [TestCase("localhost")]
    [TestCase("127.0.0.1")]
    [TestCase("localhost:8000")]
    public async Task The_names_of_the_loopback_interface_are_answered(string host) =>
        Assert.That((await _admin.GetAsync("/status", host)).Status, Is.EqualTo(200));

    [Test]
    public async Task HEAD_has_the_headers_of_GET_and_no_body()
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_admin.Address.Port);
        await peer.SendAsync("HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");

        HttpReply reply = await peer.ReadReplyAsync(hasBody: false);

        Assert.That((reply.Status, reply["Content-Length"]), Is.EqualTo((200, "3")));
        Assert.That(await peer.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
    }

    [TestCase("/", "text/html; charset=utf-8", "<!doctype html>")]
    [TestCase("/dashboard.css", "text/css; charset=utf-8", ":root {")]
    [TestCase("/dashboard.js", "text/javascript; charset=utf-8", "import { ")]
    public async Task The_files_of_the_dashboard_are_served_and_not_sent_again_to_those_who_have_them(string path, string type, string part)
    {
        HttpReply reply = await _admin.GetAsync(path);
        Assert.That((reply.Status, reply["Content-Type"]), Is.EqualTo((200, type)));
        Assert.That(reply.Body, Does.Contain(part));

        HttpReply again = await _admin.RequestAsync("GET", path, headers: $"If-None-Match: {reply["ETag"]}\r\n", hasBody: false);
        Assert.That(again.Status, Is.EqualTo(304));
        HttpReply other = await _admin.RequestAsync("GET", path, headers: "If-None-Match: \"0000\"\r\n");
        Assert.That(other.Status, Is.EqualTo(200));
    }

    [TestCase("/nothing")]
    [TestCase("/dashboard.html")]
    [TestCase("/../HeartbeatServer.dll")]
    [TestCase("/status/")]
    [TestCase("/status/x")]
    [TestCase("/status/-1")]
    [TestCase("/status/1/2")]
    [TestCase("/Status")]
    public async Task What_there_is_not_gets_404(string path) => Assert.That((await _admin.GetAsync(path)).Status, Is.EqualTo(404));

    [TestCase(ServerState.Serving, 200, "serving")]
    [TestCase(ServerState.Full, 503, "full")]
    [TestCase(ServerState.Draining, 503, "draining")]
    public async Task Readiness_is_that_new_clients_are_welcome_and_health_is_that_it_answers(object state, int status, string text)
    {
        _admin.State = (ServerState)state;

        HttpReply ready = await _admin.GetAsync("/readyz");
        HttpReply healthy = await _admin.GetAsync("/healthz");

        Assert.That((ready.Status, ready.Body), Is.EqualTo((status, text + "\n")));
        Assert.That((healthy.Status, healthy.Body), Is.EqualTo((200, "ok\n")));
        Assert.That((await _admin.JsonAsync("/status")).GetProperty("state").GetString(), Is.EqualTo(text));
    }

    [Test]
    public async Task It_goes_on_while_the_server_drains_and_after()
    {
        await _admin.Server.Drain.RunAsync("test", CancellationToken.None).InTime();

        Assert.That((await _admin.GetAsync("/readyz")).Status, Is.EqualTo(503));
        Assert.That(await _admin.FigureAsync("heartbeat_draining"), Is.EqualTo(1));
        await _admin.Server.Server.DisposeAsync();
        Assert.That((await _admin.GetAsync("/status")).Status, Is.EqualTo(200));
    }

    [TestCase("/readyz")]
    [TestCase("/status")]
    [TestCase("/metrics")]
    public async Task A_bug_of_ours_is_logged_and_answered_and_ends_nothing(string path)
    {
        _admin.HasBug = true;
        HttpReply reply = await _admin.GetAsync(path);
        Assert.That((reply.Status, reply["X-Content-Type-Options"]), Is.EqualTo((500, "nosniff")));
        Assert.That(reply.Body, Does.Contain("internal error").And.Not.Contain("a bug"));
        Assert.That((await _admin.Server.Log.WithAsync("A request failed")).Exception, Is.Not.Null);

        _admin.HasBug = false;
        Assert.That((await _admin.GetAsync(path)).Status, Is.EqualTo(200));
    }

    [TestCase("")]
    [TestCase("GET /status HTTP/1.1\r\nHost: loc")]
    public async Task A_request_that_is_not_finished_gets_408_and_is_no_refused_upgrade(string request)
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_admin.Address.Port);
        await peer.SendAsync(request);

        await _admin.Server.AdvanceUntilAsync(
            () => _admin.Server.Log.Containing("The admin listener rejected a request").Count > 0, "the rejection", TimeSpan.FromMilliseconds(40));

        Assert.That((await peer.ReadReplyAsync()).Status, Is.EqualTo(408));
        Assert.That(_admin.Server.Metrics.Refused, Is.Zero);
    }

    [Test]
    public async Task A_crowd_of_unfinished_requests_is_turned_away_at_once()
    {
        var crowd = new List<ScriptedPeer>();
        for (int i = 0; i < 40; i++)
        {
            crowd.Add(await ScriptedPeer.ConnectAsync(_admin.Address.Port));
            await crowd[i].SendAsync("GET ");
        }

        await _admin.Server.Log.WithAsync("unfinished requests");

        Assert.That((await crowd[0].ReadReplyAsync(hasBody: false)).Status, Is.EqualTo(503));
        crowd.ForEach(peer => peer.Dispose());
    }
}
