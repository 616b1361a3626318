using HeartbeatServer.Engine;
using HeartbeatServer.Http;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;
using Serilog.Core;
using HttpReply = HeartbeatServer.Http.HttpReply;

namespace HeartbeatServer.Tests.Http;

/// <summary>A source of requests on a free port, whose requests go to a handler of the test's own.</summary>
public abstract class RequestSourceFixture(RequestsFrom from)
{
    private readonly TestClock _clock = new();
    private Logger _logger = null!;
    private EventLoops _loops = null!;

    private protected RequestsFrom From { get; } = from;

    private protected static Func<HttpRequest, Task> AnswerOk { get; } = request => request.ReplyAsync(HttpReply.Text(200, "ok"));

    private protected LogSink Log { get; private set; } = null!;

    private protected RequestSource Source { get; private set; } = null!;

    private protected Func<HttpRequest, Task> Handle { get; set; } = null!;

    private protected int Port { get; private set; }

    [SetUp]
    public void SetUp()
    {
        (Log, Handle, Port) = (new LogSink(), AnswerOk, ServerFixture.FreePort());
        _logger = Log.Logger();
        _loops = new EventLoops(() => new TimingWheel(_clock.Time, TimeSpan.FromSeconds(10)), count: 3, epoll: From == RequestsFrom.HttpPort);
        _loops.Start();
        var listen = new ListenOptions("127.0.0.1", Port, TimeSpan.FromSeconds(5));
        Source = RequestSource.Create(listen, _loops, request => Handle(request), _clock.Time, () => 0, null, new ServerLog(_logger));
        Source.Bind();
        Source.Start(1000, spare: 0);
    }

    [TearDown]
    public async Task TearDown()
    {
        Source.Dispose();
        _loops.Dispose();
        await _logger.DisposeAsync();
    }

    private protected async Task RequestAsync(int count)
    {
        for (int i = 0; i < count; i++)
            await RequestAsync("");
    }

    private protected async Task RequestAsync(string query)
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(Port);
        await peer.SendAsync($"GET /{query} HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.That((await peer.ReadReplyAsync()).Status, Is.EqualTo(200));
        Assert.That(await peer.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
    }
}
