using System.Collections.Concurrent;
using System.Net;
using System.Text;
using HeartbeatServer.Engine;
using HeartbeatServer.Http;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;
using Serilog.Core;
using Serilog.Events;
using HttpReply = HeartbeatServer.Http.HttpReply;

namespace HeartbeatServer.Tests.Http;

/// <summary>From the accept to the handler, with a handler of the test's own.</summary>
[TestFixture(RequestsFrom.HttpPort)]
[TestFixture(RequestsFrom.PlainLoop)]
public sealed class RequestSourceTests(RequestsFrom from)
{
    private const string Get = "GET /a%20b?c=d HTTP/1.1\r\nHost: x\r\nX-One: 1\r\n\r\n";

    private static readonly Func<HttpRequest, Task> AnswerOk = request => request.ReplyAsync(HttpReply.Text(200, "ok"));

    private readonly TestClock _clock = new();
    private LogSink _log = null!;
    private Logger _logger = null!;
    private EventLoops _loops = null!;
    private RequestSource _source = null!;
    private Func<HttpRequest, Task> _handle = null!;
    private int _port;

    [SetUp]
    public void SetUp()
    {
        (_log, _handle, _port) = (new LogSink(), AnswerOk, ServerFixture.FreePort());
        _logger = _log.Logger();
        _loops = new EventLoops(() => new TimingWheel(_clock.Time, TimeSpan.FromSeconds(10)), count: 3, epoll: from == RequestsFrom.HttpPort);
        _loops.Start();
        var listen = new ListenOptions("127.0.0.1", _port, TimeSpan.FromSeconds(5));
        _source = RequestSource.Create(listen, _loops, request => _handle(request), _clock.Time, () => 0, null, new ServerLog(_logger));
        _source.Bind();
        _source.Start(1000);
    }

    [TearDown]
    public async Task TearDown()
    {
        _source.Dispose();
        _loops.Dispose();
        await _logger.DisposeAsync();
    }

    [Test]
    public async Task The_handler_sees_what_the_client_sent()
    {
        var seen = new TaskCompletionSource<string>();
        _handle = request =>
        {
            seen.SetResult(
                $"{request.Head.Method} {request.Head.Path} {request.Head.Query} {request.Head["X-One"]} {request.Head.MinorVersion} {request.Head.HasBody} {request.Remote}");
            return AnswerOk(request);
        };

        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_port);
        await peer.SendAsync(Get);

        Assert.That(await seen.Task.InTime(), Is.EqualTo($"GET /a%20b ?c=d 1 1 False {peer.Address}"));
        Assert.That((await peer.ReadReplyAsync()).Body, Is.EqualTo("ok\n"));
        Assert.That(await peer.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
    }

    /// <summary>Where HttpListener reads from its own sockets nobody has the bytes.</summary>
    [Test]
    public async Task The_handler_has_the_bytes_of_the_request_as_they_came([Values] bool inPieces)
    {
        const string early = "behind the head";
        var received = new TaskCompletionSource<string>();
        _handle = request =>
        {
            received.SetResult(Encoding.ASCII.GetString(request.Received.Span));
            return AnswerOk(request);
        };

        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_port);
        if (inPieces)
        {
            foreach (char next in Get[..^1])
                await peer.SendAsync(next.ToString());
            await peer.SendAsync(Get[^1..] + early);
        }
        else
        {
            await peer.SendAsync(Get + early);
        }

        Assert.That(await received.Task.InTime(), Is.EqualTo(from == RequestsFrom.HttpPort ? Get + early : ""));
    }

    [Test]
    public async Task A_request_is_handled_on_the_thread_that_reads_it()
    {
        var names = new ConcurrentBag<string?>();
        _handle = request =>
        {
            names.Add(Thread.CurrentThread.Name);
            return AnswerOk(request);
        };

        await RequestAsync(30);

        bool isOnLoop = from == RequestsFrom.HttpPort; // else HttpListener's reads end in the pool
        Assert.That(names.Select(name => name == "heartbeat"), Has.Exactly(30).EqualTo(isOnLoop));
    }

    /// <summary>HttpListener queues what it has read. A queue that several threads look into has lost a request once.</summary>
    [Test]
    public async Task Of_many_requests_at_once_each_is_handled_once()
    {
        const int clients = 16;
        const int each = 50;
        var handled = new ConcurrentBag<string>();
        _handle = request =>
        {
            handled.Add(request.Head.Query);
            return AnswerOk(request);
        };

        await Task.WhenAll(Enumerable.Range(0, clients).Select(client => Task.Run(async () =>
        {
            for (int i = 0; i < each; i++)
                await RequestAsync($"?{client * each + i}");
        })));

        Assert.That(handled.Order(), Is.EqualTo(Enumerable.Range(0, clients * each).Select(i => $"?{i}").Order()));
        Assert.That(_log.Lines, Is.Empty);
    }

    [Test]
    public async Task A_request_that_is_not_complete_keeps_nobody_waiting()
    {
        using ScriptedPeer slow = await ScriptedPeer.ConnectAsync(_port);
        await slow.SendAsync(Get[..^1]);

        await RequestAsync(3);
        await slow.SendAsync(Get[^1..]);

        Assert.That((await slow.ReadReplyAsync()).Status, Is.EqualTo(200));
    }

    [Test]
    public async Task What_a_handler_leaves_unanswered_is_closed()
    {
        _handle = _ => Task.CompletedTask;

        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_port);
        await peer.SendAsync(Get);

        Assert.That(await peer.ReadEndAsync(), Is.AnyOf(PeerEnd.Fin, PeerEnd.Reset));
    }

    [Test]
    public async Task What_a_handler_throws_is_logged_and_ends_its_own_request_only()
    {
        _handle = _ => throw new InvalidOperationException("a bug");
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_port);
        await peer.SendAsync(Get);
        Assert.That(await peer.ReadEndAsync(), Is.AnyOf(PeerEnd.Fin, PeerEnd.Reset));

        _handle = AnswerOk;
        await RequestAsync(1);

        LogEvent line = await _log.WithAsync("A request failed");
        Assert.That((line.Level, line.Exception!.Message), Is.EqualTo((LogEventLevel.Error, "a bug")));
    }

    [Test]
    public async Task A_port_that_closes_closes_the_requests_in_hand_and_what_their_handlers_do_then_is_no_error()
    {
        var inHand = new TaskCompletionSource<HttpRequest>();
        var closed = new TaskCompletionSource();
        var done = new TaskCompletionSource<(bool IsAborted, string Upgrade)>();
        _handle = async request =>
        {
            inHand.SetResult(request);
            await closed.Task;
            await request.ReplyAsync(HttpReply.Text(200, "too late"));
            string upgrade = "";
            try
            {
                await request.UpgradeAsync(ScriptedPeer.Key, protocol: null);
            }
            catch (IOException e)
            {
                upgrade = e.Message;
            }
            done.SetResult((request.IsAborted, upgrade));
            throw new InvalidOperationException("it could not answer");
        };
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_port);
        await peer.SendAsync(Get);
        await inHand.Task.InTime();

        await Task.Run(_source.Dispose).InTime();
        Assert.That(await peer.ReadEndAsync(), Is.AnyOf(PeerEnd.Fin, PeerEnd.Reset), "and nothing before it");
        closed.SetResult();

        Assert.That(await done.Task.InTime(), Is.EqualTo((true, "the client has gone")));
        LogEvent line = await _log.WithAsync("A request was closed while it was being answered");
        Assert.That(line.Level, Is.EqualTo(LogEventLevel.Debug));
    }

    /// <summary>HttpListener alone would answer some of these by itself, and then let them be answered again.</summary>
    [TestCase("POST / HTTP/1.1\r\nHost: x\r\n\r\n")]
    [TestCase("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: nonsense\r\n\r\n")]
    [TestCase("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n")]
    [TestCase("GET / HTTP/1.1\r\nHost:\r\n\r\n")]
    [TestCase("GET http://[::1]/ws?a HTTP/1.1\r\nHost: x\r\n\r\n")]
    [TestCase("GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n")]
    [TestCase("GET /ws HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n")]
    [TestCase("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")]
    [TestCase("CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n")]
    public async Task One_request_is_one_response(string bytes)
    {
        if (from == RequestsFrom.PlainLoop)
            Assert.Ignore("there HttpListener reads the request itself");
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_port);

        await peer.SendAsync(bytes);

        Assert.That((await peer.ReadReplyAsync()).Status, Is.EqualTo(200));
        Assert.That(await peer.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        Assert.That(_log.Lines, Is.Empty);
    }

    /// <summary>HttpListener says 411 by itself, and hands the request out all the same.</summary>
    [Test]
    public async Task What_HttpListener_has_answered_by_itself_is_not_handed_out()
    {
        if (from == RequestsFrom.HttpPort)
            Assert.Ignore("there HttpListener answers nothing by itself");
        _handle = _ => throw new InvalidOperationException("it was handed out");
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_port);

        await peer.SendAsync("POST / HTTP/1.1\r\nHost: x\r\n\r\n");

        Assert.That((await peer.ReadReplyAsync()).Status, Is.EqualTo(411));
        Assert.That(await peer.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        _handle = AnswerOk;
        await RequestAsync(1);
        Assert.That(_log.Lines, Is.Empty);
    }

    private async Task RequestAsync(int count)
    {
        for (int i = 0; i < count; i++)
            await RequestAsync("");
    }

    private async Task RequestAsync(string query)
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_port);
        await peer.SendAsync($"GET /{query} HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.That((await peer.ReadReplyAsync()).Status, Is.EqualTo(200));
        Assert.That(await peer.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
    }
}
