using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using HeartbeatServer.Http;
using HeartbeatServer.Tests.Support;
using Serilog.Events;
using HttpReply = HeartbeatServer.Http.HttpReply;

namespace HeartbeatServer.Tests.Http;

/// <summary>What both sources of requests do alike.</summary>
[TestFixture(RequestsFrom.HttpPort)]
[TestFixture(RequestsFrom.PlainLoop)]
public sealed class RequestSourceTests(RequestsFrom from) : RequestSourceFixture(from)
{
    private const string Get = "GET /a%20b?c=d HTTP/1.1\r\nHost: x\r\nX-One: 1\r\n\r\n";

    [Test]
    public async Task The_handler_sees_what_the_client_sent()
    {
        var seen = new TaskCompletionSource<string>();
        Handle = request =>
        {
            seen.SetResult(
                $"{request.Head.Method} {request.Head.Path} {request.Head.Query} {request.Head["X-One"]} {request.Head.MinorVersion} "
                + $"{request.Head.HasBody} {request.Remote}");
            return AnswerOk(request);
        };

        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(Port);
        await peer.SendAsync(Get);

        Assert.That(await seen.Task.InTime(), Is.EqualTo($"GET /a%20b ?c=d 1 1 False {peer.Address}"));
        Assert.That((await peer.ReadReplyAsync()).Body, Is.EqualTo("ok\n"));
        Assert.That(await peer.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
    }

    [TestCase("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 200)]
    [TestCase("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", 200)]
    [TestCase("GET /#a HTTP/1.1\r\nHost: x\r\n\r\n", 400, Description = "nobody handles it")]
    public async Task Every_reply_says_who_answers_and_when(string request, int status)
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(Port);
        await peer.SendAsync(request);

        Support.HttpReply reply = await peer.ReadReplyAsync(hasBody: request[0] == 'G');

        Assert.That((reply.Status, reply.Headers["Server"]), Is.EqualTo((status, "HeartbeatServer")));
        Assert.That(DateTimeOffset.TryParseExact(reply.Headers["Date"], "R", CultureInfo.InvariantCulture, DateTimeStyles.None, out _), Is.True);
    }

    /// <summary>Where HttpListener reads from its own sockets, the server cannot get at the bytes.</summary>
    [Test]
    public async Task The_handler_has_the_bytes_of_the_request_as_they_came([Values] bool inPieces)
    {
        const string early = "behind the head";
        var received = new TaskCompletionSource<string>();
        Handle = request =>
        {
            received.SetResult(Encoding.ASCII.GetString(request.Received.Span));
            return AnswerOk(request);
        };

        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(Port);
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

        Assert.That(await received.Task.InTime(), Is.EqualTo(From == RequestsFrom.HttpPort ? Get + early : ""));
    }

    [Test]
    public async Task A_request_is_handled_on_the_thread_that_reads_it()
    {
        var names = new ConcurrentBag<string?>();
        Handle = request =>
        {
            names.Add(Thread.CurrentThread.Name);
            return AnswerOk(request);
        };

        await RequestAsync(30);

        bool isOnLoop = From == RequestsFrom.HttpPort; // the reads of HttpListener's own sockets end on threads of the pool
        Assert.That(names.Select(name => name == "heartbeat"), Has.Exactly(30).EqualTo(isOnLoop));
    }

    /// <summary>HttpListener puts requests into a queue. When several threads read from that queue, it once lost a request.</summary>
    [Test]
    public async Task Of_many_requests_at_once_each_is_handled_once()
    {
        const int clients = 16;
        const int each = 50;
        var handled = new ConcurrentBag<string>();
        Handle = request =>
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
        Assert.That(Log.Lines, Is.Empty);
    }

    [Test]
    public async Task A_request_that_is_not_complete_keeps_nobody_waiting()
    {
        using ScriptedPeer slow = await ScriptedPeer.ConnectAsync(Port);
        await slow.SendAsync(Get[..^1]);

        await RequestAsync(3);
        await slow.SendAsync(Get[^1..]);

        Assert.That((await slow.ReadReplyAsync()).Status, Is.EqualTo(200));
    }

    [Test]
    public async Task What_a_handler_leaves_unanswered_is_closed()
    {
        Handle = _ => Task.CompletedTask;

        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(Port);
        await peer.SendAsync(Get);

        Assert.That(await peer.ReadEndAsync(), Is.AnyOf(PeerEnd.Fin, PeerEnd.Reset));
    }

    [Test]
    public async Task What_a_handler_throws_is_logged_and_ends_its_own_request_only()
    {
        Handle = _ => throw new InvalidOperationException("a bug");
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(Port);
        await peer.SendAsync(Get);
        Assert.That(await peer.ReadEndAsync(), Is.AnyOf(PeerEnd.Fin, PeerEnd.Reset));

        Handle = AnswerOk;
        await RequestAsync(1);

        LogEvent line = await Log.WithAsync("A request failed");
        Assert.That((line.Level, line.Exception!.Message), Is.EqualTo((LogEventLevel.Error, "a bug")));
    }

    [Test]
    public async Task A_port_that_closes_closes_the_requests_in_hand_and_what_their_handlers_do_then_is_no_error()
    {
        var inHand = new TaskCompletionSource<HttpRequest>();
        var closed = new TaskCompletionSource();
        var done = new TaskCompletionSource<(bool IsAborted, string Upgrade)>();
        Handle = async request =>
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
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(Port);
        await peer.SendAsync(Get);
        await inHand.Task.InTime();

        await Task.Run(Source.Dispose).InTime();
        Assert.That(await peer.ReadEndAsync(), Is.AnyOf(PeerEnd.Fin, PeerEnd.Reset), "and nothing before it");
        closed.SetResult();

        Assert.That(await done.Task.InTime(), Is.EqualTo((true, "the client has gone")));
        LogEvent line = await Log.WithAsync("A request was closed while it was being answered");
        Assert.That(line.Level, Is.EqualTo(LogEventLevel.Debug));
    }
}
