using System.Text;
using HeartbeatServer.Options;
using HeartbeatServer.Protocol;
using HeartbeatServer.Relay;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Relay;

/// <summary>Pages: requests without an upgrade that go to the application, and their answers.</summary>
[Platform("Linux")]
public sealed class PageTests
{
    private RelayFixture _relay = null!;
    private List<ScriptedPeer> _peers = null!;

    [SetUp]
    public void SetUp() => (_relay, _peers) = (new RelayFixture(), []);

    [TearDown]
    public ValueTask TearDown()
    {
        // A page ends when its client has closed.
        foreach (ScriptedPeer peer in _peers)
            peer.Dispose();
        return _relay.DisposeAsync();
    }

    [Test]
    public async Task A_request_goes_on_and_its_answer_comes_back()
    {
        using ScriptedPeer client = await _relay.ClientAsync(
            "GET /a/../b/%77?x=\"<%20>&y HTTP/1.1\r\nHost: Shop.example:81\r\nX-One: 1\r\nx-one: 2\r\nCookie: a=1\r\nContent-Type: x y;z\r\nAccept: ,;q\r\nETag: e\r\nSet-Cookie: c\r\nServer: s\r\nLocation: l\r\n"
            + "Connection: keep-alive, X-Hop\r\nX-Hop: gone\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Authorization: x\r\nVia: 1.1 before\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n");
        using ScriptedPeer application = await _relay.ApplicationAsync();
        string[] lines = (await application.ReadHeadAsync()).Split("\r\n");
        Assert.That(lines[0], Is.EqualTo("GET /a/../b/%77?x=\"<%20>&y HTTP/1.1"));
        Assert.That(lines[1..].Where(line => !line.StartsWith("Via:", StringComparison.Ordinal)), Is.EquivalentTo(new[]
        {
            "Host: Shop.example:81", "X-One: 1, 2", "Cookie: a=1", "Accept: ,;q", "ETag: e", "Set-Cookie: c", "Server: s", "Location: l", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http",
            "X-Forwarded-Host: Shop.example:81", "Connection: close", "Content-Type: x y;z", "Content-Length: 0",
        }));
        Assert.That(lines, Has.One.StartsWith("Via: 1.1 before, 1.1 heartbeat-"));

        await application.SendAsync(
            "HTTP/1.1 200 Fine indeed\r\nSet-Cookie: a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT\r\nServer: theirs\r\nset-cookie: b=2\r\nX-Empty:\r\n"
            + "Date: Sat, 28 Nov 2026 17:00:00 GMT\r\nConnection: X-Theirs\r\nX-Theirs: gone\r\nKeep-Alive: 5\r\nContent-Type: text/x ;;\r\nContent-Length: 2\r\n\r\nab");
        Assert.That(await client.ReadToEndAsync(), Is.EqualTo(
            "HTTP/1.1 200 Fine indeed\r\nSet-Cookie: a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT\r\nSet-Cookie: b=2\r\nServer: theirs\r\nX-Empty: \r\n"
            + "Date: Sat, 28 Nov 2026 17:00:00 GMT\r\nContent-Type: text/x ;;\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab"));
        client.Dispose();
        await Safety.UntilAsync(() => _relay.Server.Metrics.Pages(2) == 1, "the page to be counted");
        Assert.That((_relay.Server.Metrics.Refused, _relay.Server.Metrics.PagesCut), Is.EqualTo((0L, 0L)));
    }

    [Test]
    public async Task A_target_goes_on_with_every_character_that_a_target_may_have()
    {
        string target = "/" + string.Concat(Enumerable.Range('!', '~' - '!' + 1).Select(c => (char)c).Where(c => c != '#')) + "//./../%2e%2E%00?/../%";
        var (client, application) = await AskAsync($"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n", head => Assert.That(head, Does.StartWith($"GET {target} HTTP/1.1\r\n")));
        await application.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        await client.ReadToEndAsync();
    }

    [TestCase("HEAD", "200 OK\r\nContent-Length: 1234\r\n\r\n", "Content-Length: 1234\r\n")]
    [TestCase("HEAD", "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "")]
    [TestCase("GET", "304 Not Modified\r\nContent-Length: 1234\r\nETag: \"x\"\r\n\r\n", "ETag: \"x\"\r\nContent-Length: 1234\r\n")]
    [TestCase("DELETE", "204 No Content\r\n\r\n", "")]
    [TestCase("PUT", "205 Reset Content\r\nContent-Length: 0\r\n\r\n", "Content-Length: 0\r\n")]
    [TestCase("OPTIONS", "426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n", "Content-Length: 0\r\nUpgrade: websocket\r\n")]
    public async Task An_answer_without_a_body_ends_with_its_head(string method, string answer, string fields)
    {
        var (client, application) = await AskAsync($"{method} / HTTP/1.1\r\nHost: x\r\n\r\n");
        await application.SendAsync($"HTTP/1.1 {answer}");

        string[] parts = (await client.ReadToEndAsync()).Split("\r\n", 2);
        Assert.That(parts[0], Is.EqualTo($"HTTP/1.1 {answer.Split("\r\n")[0]}"));
        Assert.That(parts[1], Does.Match("^(.*\r\n)?Date: [^\r]+\r\n"));
        Assert.That(Undated(parts[1]), Is.EqualTo($"{fields}Connection: close{(fields.Contains("Upgrade", StringComparison.Ordinal) ? ", Upgrade" : "")}\r\n\r\n"));
    }

    [Test]
    public async Task Each_event_of_a_stream_arrives_at_once()
    {
        var (client, application) = await AskAsync("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
        await application.SendAsync("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
        Assert.That(await client.ReadHeadAsync(), Does.Contain("Transfer-Encoding: chunked\r\n"));
        for (int i = 1; i <= 3; i++)
        {
            await application.SendAsync($"data: {i}\n\n");
            Assert.That(Encoding.ASCII.GetString(await client.ReadBytesAsync(14)), Is.EqualTo($"9\r\ndata: {i}\n\n\r\n"));
            _relay.Server.Clock.Advance(TimeSpan.FromMinutes(10));
        }
        application.Dispose();
        Assert.That(await client.ReadToEndAsync(), Is.EqualTo("0\r\n\r\n"));
    }

    [Test]
    public async Task An_answer_may_take_as_long_as_it_likes()
    {
        var (client, application) = await AskAsync("GET /poll HTTP/1.1\r\nHost: x\r\n\r\n");
        for (int i = 0; i < 20; i++)
            _relay.Server.Clock.Advance(TimeSpan.FromMinutes(1));
        await application.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnews");
        Assert.That(await client.ReadToEndAsync(), Does.EndWith("\r\n\r\nnews"));
    }

    [TestCase("Content-Length: 5\r\n\r\nhello", "Content-Length: 5", "hello")]
    [TestCase("Transfer-Encoding: Chunked\r\n\r\n2;x=\"y\"\r\nhe\r\n003\r\nllo\r\n0\r\nX-Sum: 1\r\n\r\n", "Transfer-Encoding: chunked", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")]
    public async Task A_body_goes_on_with_its_framing_and_without_trailers(string sent, string field, string arrives)
    {
        var (client, application) = await AskAsync($"POST /up HTTP/1.1\r\nHost: x\r\n{sent}", head => Assert.That(head.Split("\r\n"), Does.Contain(field)));
        Assert.That(Encoding.ASCII.GetString(await application.ReadBytesAsync(arrives.Length)), Is.EqualTo(arrives));
        await application.SendAsync("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
        Assert.That(await client.ReadToEndAsync(), Does.StartWith("HTTP/1.1 201 Created\r\n"));
    }

    [Test]
    public async Task Each_piece_of_a_body_arrives_at_once()
    {
        var (client, application) = await AskAsync("POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n");
        foreach (string piece in new[] { "ab", "cd", "ef" })
        {
            await client.SendAsync(piece);
            Assert.That(Encoding.ASCII.GetString(await application.ReadBytesAsync(2)), Is.EqualTo(piece));
        }
        await application.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        await client.ReadToEndAsync();
    }

    /// <summary>What is open to doubt is refused, and the application never has the whole of such a request.</summary>
    [TestCase("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)]
    [TestCase("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400)]
    [TestCase("Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400)]
    [TestCase("Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400)]
    [TestCase("Content-Length: 5, 5\r\n\r\nhello", 400)]
    [TestCase("Content-Length: +5\r\n\r\nhello", 400)]
    [TestCase("Content-Length: -5\r\n\r\nhello", 400)]
    [TestCase("Content-Length: 0x5\r\n\r\nhello", 400)]
    [TestCase("Content-Length: 5 5\r\n\r\nhello", 400)]
    [TestCase("Content-Length:\r\n\r\nhello", 400)]
    [TestCase("Content-Length : 5\r\n\r\nhello", 400)]
    [TestCase("Content-Length: 99999999999999999999\r\n\r\nhello", 400)]
    [TestCase("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)]
    [TestCase("Transfer-Encoding: identity\r\n\r\n0\r\n\r\n", 501)]
    [TestCase("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501)]
    [TestCase("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501)]
    [TestCase("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501)]
    [TestCase("Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 501)]
    [TestCase("Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 501)]
    [TestCase("Transfer-Encoding:\vchunked\r\n\r\n0\r\n\r\n", 400)]
    [TestCase("Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400)]
    [TestCase("X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)]
    [TestCase("X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)]
    [TestCase("Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", 400)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n", 400)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n", 400)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n", 400)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n\r\n0\r\n\r\n", 400)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\nx\r\n\r\n0\r\n\r\n", 400)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n0\r\n\r\n", 400)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", 400)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n", 400)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n", 400)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n1_0\r\nhello\r\n0\r\n\r\n", 400)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n", 400)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n5\rhello\r\n0\r\n\r\n", 400)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n", 400)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n", 400)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n", 400)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n0\r\nGET /admin HTTP/1.1\r\n\r\n", 400)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n0\r\n X: y\r\n\r\n", 400)]
    public async Task A_body_whose_end_is_open_to_doubt_is_refused(string rest, int status)
    {
        using ScriptedPeer client = await _relay.ClientAsync($"POST /up HTTP/1.1\r\nHost: x\r\n{rest}");
        string answer = await client.ReadToEndAsync();
        Assert.That(answer, Does.StartWith($"HTTP/1.1 {status} "));
        Assert.That(answer, Does.Contain("\r\nConnection: close\r\n"));
        if (_relay.HasPending)
        {
            using ScriptedPeer application = await _relay.ApplicationAsync();
            string got = await application.ReadToEndAsync();
            Assert.That(got, Does.Not.Contain("0\r\n\r\n").And.Not.Contain("admin"), "a request that looks whole");
        }
        Assert.That(_relay.Server.Metrics.Pages(2), Is.Zero);
    }

    [TestCase("POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)]
    [TestCase("CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n", 501)]
    [TestCase("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 501)]
    [TestCase("GET / HTTP/1.1\r\nHost: x\r\nConnection: Cookie\r\nCookie: a=1\r\n\r\n", 400)]
    [TestCase("GET / HTTP/1.1\r\n\r\n", 400)]
    [TestCase("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400)]
    [TestCase("GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400)]
    [TestCase("POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 405)]
    [TestCase("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n", 426)]
    [TestCase("DELETE /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 405)]
    public async Task A_request_that_is_no_page_is_refused(string request, int status)
    {
        using ScriptedPeer client = await _relay.ClientAsync(request);
        Assert.That(await client.ReadToEndAsync(), Does.StartWith($"HTTP/1.1 {status} "));
        Assert.That(_relay.HasPending, Is.False);
    }

    [Test]
    public async Task The_health_check_stays_ours()
    {
        using ScriptedPeer client = await _relay.ClientAsync("GET /healthz?x HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.That((await client.ReadReplyAsync()).Body, Is.EqualTo("ok\n"));
        Assert.That(_relay.HasPending, Is.False);
    }

    [Test]
    public async Task A_long_extension_of_a_chunk_is_refused()
    {
        using ScriptedPeer client = await _relay.ClientAsync(
            $"POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;{new string('x', 5000)}\r\nhello\r\n0\r\n\r\n");
        Assert.That(await client.ReadToEndAsync(), Does.StartWith("HTTP/1.1 400 ").And.Contain("too long"));
    }

    [Test]
    public async Task A_second_request_on_the_connection_is_not_read()
    {
        var (client, application) = await AskAsync("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
        await application.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
        Assert.That(await client.ReadToEndAsync(), Does.EndWith("\r\n\r\none"));
        Assert.That(_relay.HasPending, Is.False);
    }

    [Test]
    public async Task An_upgrade_to_something_else_is_ignored()
    {
        var (client, application) = await AskAsync(
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
            head => Assert.That(head, Does.Not.Contain("h2c").And.Not.Contain("HTTP2")));
        await application.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        Assert.That(await client.ReadToEndAsync(), Does.StartWith("HTTP/1.1 200 OK\r\n"));
    }

    [Test]
    public async Task A_client_of_HTTP_1_0_gets_no_chunks()
    {
        var (client, application) = await AskAsync("GET / HTTP/1.0\r\n\r\n", head => Assert.That(head, Does.Contain("\r\nHost: 127.0.0.1:")));
        await application.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n");
        string answer = await client.ReadToEndAsync();
        Assert.That(answer, Does.EndWith("\r\n\r\nhello"));
        Assert.That(answer, Does.Not.Contain("Transfer-Encoding"));
    }

    [TestCase(true)]
    [TestCase(false)]
    public async Task An_expectation_is_the_applications_to_answer(bool isWelcome)
    {
        var (client, application) = await AskAsync(
            "PUT /up HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n", head => Assert.That(head, Does.Contain("Expect: 100-continue")));
        if (isWelcome)
        {
            await application.SendAsync("HTTP/1.1 100 Continue\r\n\r\n");
            Assert.That(await client.ReadHeadAsync(), Is.EqualTo("HTTP/1.1 100 Continue"));
            await client.SendAsync(new byte[5000]);
            Assert.That(await application.ReadBytesAsync(5000), Is.EqualTo(new byte[5000]));
        }
        await application.SendAsync("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
        Assert.That(await client.ReadToEndAsync(), Does.StartWith("HTTP/1.1 417 No\r\n"));
    }

    [TestCase("Content-Length: 100000000\r\n\r\n")]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n5000000\r\n")]
    public async Task An_application_may_answer_before_it_has_the_body(string framing)
    {
        var (client, application) = await AskAsync($"POST /up HTTP/1.1\r\nHost: x\r\n{framing}");
        await application.SendAsync("HTTP/1.1 413 Too large\r\nContent-Length: 3\r\n\r\nbig");
        application.Dispose();
        Task<long> flood = client.FloodAsync(new byte[100_000], atMost: 20_000_000);
        Assert.That(await client.ReadToEndAsync(), Does.StartWith("HTTP/1.1 413 Too large\r\n").And.EndWith("\r\n\r\nbig"));
        client.Dispose();
        await flood.InTime();
    }

    [TestCase("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "HTTP/1.1", "hel", false)]
    [TestCase("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "HTTP/1.1", "5\r\nhello\r\n", false)]
    [TestCase("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "HTTP/1.0", "hello", true)]
    public async Task An_answer_that_is_cut_does_not_look_whole(string answer, string version, string arrives, bool isReset)
    {
        var (client, application) = await AskAsync($"GET / {version}\r\nHost: x\r\n\r\n");
        await application.SendAsync(answer);
        await client.ReadHeadAsync();
        Assert.That(Encoding.ASCII.GetString(await client.ReadBytesAsync(arrives.Length)), Is.EqualTo(arrives));
        application.Dispose();

        Assert.That(await client.ReadEndAsync(), Is.EqualTo(isReset ? PeerEnd.Reset : PeerEnd.Fin));
        client.Dispose();
        await Safety.UntilAsync(() => _relay.Server.Metrics.PagesCut == 1, "the cut to be counted");
        await _relay.Server.Log.WithAsync(" was cut: ", 1);
    }

    [Test]
    public async Task A_client_that_goes_ends_the_request([Values] bool hasAnswer)
    {
        var (client, application) = await AskAsync("GET /poll HTTP/1.1\r\nHost: x\r\n\r\n");
        if (hasAnswer)
        {
            await application.SendAsync("HTTP/1.1 200 OK\r\n\r\n");
            await client.ReadHeadAsync();
        }
        client.Dispose();
        Assert.That(await application.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin).Or.EqualTo(PeerEnd.Reset));
        await Safety.UntilAsync(
            () => (hasAnswer ? _relay.Server.Metrics.PagesCut : _relay.Server.Metrics.Refusals(RefusalReason.ClientGone)) == 1, "the client to be counted");
    }

    /// <summary>The client may have gone before there is a connection, or while it is made.</summary>
    [Test]
    public async Task A_client_that_goes_at_once_leaves_no_connection_open()
    {
        for (int i = 0; i < 50; i++)
        {
            using (await _relay.ClientAsync("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"))
            {
                // It is closed behind its request.
            }
            await Safety.UntilAsync(() => _relay.Server.Metrics.PagesUnderWay == 0 && _relay.Server.Metrics.Refused == i + 1, "the page to end");
            while (_relay.HasPending)
            {
                using ScriptedPeer application = await _relay.ApplicationAsync();
                await application.ReadToEndAsync();
            }
        }
    }

    [Test]
    public async Task A_client_that_goes_in_its_body_leaves_half_a_request()
    {
        var (client, application) = await AskAsync("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        Assert.That(await application.ReadBytesAsync(10), Is.EqualTo("5\r\nhello\r\n"u8.ToArray()));
        client.Dispose();
        Assert.That(await application.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin).Or.EqualTo(PeerEnd.Reset));
    }

    [Test]
    public async Task No_request_is_sent_twice([Values("GET", "POST")] string method, [Values] bool isReset)
    {
        var (client, application) = await AskAsync($"{method} /buy HTTP/1.1\r\nHost: x\r\n\r\n");
        if (isReset)
            application.Reset();
        else
            application.Dispose();
        HttpReply reply = await client.ReadReplyAsync();
        Assert.That((reply.Status, reply["Retry-After"]), Is.EqualTo((502, "1")));
        Assert.That(reply.Body, Does.Contain(isReset ? "it reset the connection" : "the connection ended without one"));
        Assert.That(_relay.HasPending, Is.False);
        client.Dispose();
    }

    [Test]
    public async Task An_application_that_is_not_there_is_unreachable()
    {
        _relay.StopApplication();
        using ScriptedPeer client = await _relay.ClientAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        HttpReply reply = await client.ReadReplyAsync();
        Assert.That((reply.Status, reply["Retry-After"], reply.Body), Is.EqualTo((502, "1", "the application cannot be reached: it refused the connection\n")));
        client.Dispose();
        await _relay.Server.Log.WithAsync("502 upstream_unreachable", 1);
    }

    [TestCase("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "in one head")]
    [TestCase("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "more than once")]
    [TestCase("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab", "no number")]
    [TestCase("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "not chunked alone")]
    [TestCase("HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "switches protocols")]
    [TestCase("HTTP/1.1 999 Denied\r\nContent-Length: 0\r\n\r\n", "its status is 999")]
    [TestCase("nonsense\r\n\r\n", "no good")]
    public async Task An_answer_that_is_no_good_is_named(string answer, string fault)
    {
        var (client, application) = await AskAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        await application.SendAsync(answer);
        HttpReply reply = await client.ReadReplyAsync();
        Assert.That(reply.Status, Is.EqualTo(502));
        Assert.That(reply.Body, Does.Contain(fault));
        client.Dispose();
        application.Dispose();
    }

    [Test]
    public async Task A_body_that_stands_still_is_given_up()
    {
        var (client, application) = await AskAsync("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe");
        await application.ReadBytesAsync(2);
        Task<HttpReply> reply = client.ReadReplyAsync();
        await _relay.Server.AdvanceUntilAsync(() => reply.IsCompleted, "the client to be given up", TimeSpan.FromSeconds(1));
        Assert.That((await reply).Status, Is.EqualTo(408));
        Assert.That(await application.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin).Or.EqualTo(PeerEnd.Reset));
        client.Dispose();
    }

    [Test]
    public async Task A_client_that_does_not_read_stops_the_application_and_is_cut()
    {
        var (client, application) = await AskAsync("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
        await application.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        Task<long> flood = application.FloodAsync(new byte[100_000], atMost: 100_000_000);
        await _relay.Server.AdvanceUntilAsync(() => flood.IsCompleted, "the client to be cut", TimeSpan.FromSeconds(1));
        Assert.That(await flood, Is.LessThan(100_000_000));
        await Safety.UntilAsync(() => _relay.Server.Metrics.PagesCut == 1, "the cut to be counted");
        client.Dispose();
    }

    [Test]
    public async Task The_drain_waits_for_pages_and_takes_no_new_ones()
    {
        var (client, application) = await AskAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        using var now = new CancellationTokenSource();
        Task drain = _relay.Server.Drain.RunAsync("a test", now.Token);
        using ScriptedPeer late = await _relay.ClientAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.That((await late.ReadReplyAsync()).Status, Is.EqualTo(503));
        Assert.That(drain.IsCompleted, Is.False);

        await application.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        Assert.That(await client.ReadToEndAsync(), Does.EndWith("\r\n\r\nok"));
        client.Dispose();
        await drain.InTime();
    }

    [Test]
    public async Task A_page_that_is_not_over_at_the_end_of_the_drain_is_cut([Values("waits", "streams", "lingers")] string state)
    {
        var (client, application) = await AskAsync("GET / HTTP/1.0\r\n\r\n");
        if (state != "waits")
        {
            await application.SendAsync("HTTP/1.1 200 OK\r\n\r\n");
            await client.ReadHeadAsync();
        }
        if (state == "lingers")
        {
            application.Dispose();
            Assert.That(await client.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        }
        Assert.That(_relay.Server.Metrics.PagesUnderWay, Is.EqualTo(1));
        await _relay.Server.Server.DisposeAsync().AsTask().InTime();
        Assert.That(_relay.Server.Metrics.PagesUnderWay, Is.Zero);
        if (state != "lingers")
            Assert.That(await client.ReadEndAsync(), Is.EqualTo(PeerEnd.Reset));
    }

    [Test]
    public async Task A_page_has_a_place_in_the_limits()
    {
        await using var relay = new RelayFixture(options => options with { MaxConnections = 1 });
        using ScriptedPeer first = await relay.ClientAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        using ScriptedPeer application = await relay.ApplicationAsync();
        using ScriptedPeer second = await relay.ClientAsync("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n");
        HttpReply reply = await second.ReadReplyAsync();
        Assert.That((reply.Status, reply["Retry-After"]), Is.EqualTo((503, "1")));
        Assert.That(relay.Server.Metrics.PagesUnderWay, Is.EqualTo(1));
        second.Dispose();
        first.Dispose();
        await Safety.UntilAsync(() => relay.Server.Metrics.PagesUnderWay == 0, "no page");
    }

    [Test]
    public async Task Pages_can_be_turned_off()
    {
        await using var relay = new RelayFixture(options => options with { UpstreamHttp = UpstreamHttp.Off });
        using ScriptedPeer client = await relay.ClientAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        HttpReply reply = await client.ReadReplyAsync();
        Assert.That((reply.Status, reply["Upgrade"]), Is.EqualTo((426, "websocket")));
        Assert.That(reply.Body, Is.EqualTo(UpstreamRequest.NoPages.Text + "\n"));
    }

    /// <summary>Sends a request, and reads its head at the application.</summary>
    private async Task<(ScriptedPeer Client, ScriptedPeer Application)> AskAsync(string request, Action<string>? check = null)
    {
        ScriptedPeer client = await _relay.ClientAsync(request);
        ScriptedPeer application = await _relay.ApplicationAsync();
        string head = await application.ReadHeadAsync();
        _peers.AddRange([client, application]);
        check?.Invoke(head);
        return (client, application);
    }

    private static string Undated(string head) => string.Concat(head.Split("\r\n").Where(line => !line.StartsWith("Date: ", StringComparison.Ordinal)).Select(line => line + "\r\n"))[..^2];
}
