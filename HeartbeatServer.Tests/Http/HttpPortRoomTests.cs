using System.Runtime.Versioning;
using HeartbeatServer.Engine;
using HeartbeatServer.Http;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;
using Serilog.Core;
using HttpReply = HeartbeatServer.Http.HttpReply;

namespace HeartbeatServer.Tests.Http;

/// <summary>How many clients a burst brings in at once. The tests run the rounds of the event loop themselves.</summary>
[Platform("Linux")]
[SupportedOSPlatform("linux")]
public sealed class HttpPortRoomTests
{
    private const int Clients = 20;

    private TestClock _clock = null!;
    private LogSink _log = null!;
    private List<ScriptedPeer> _peers = null!;
    private Logger _logger = null!;
    private EventLoops _loops = null!;
    private ListenOptions _listen = null!;
    private HttpPort? _port;
    private int _connections;
    private int _handled;

    private EventLoop Loop => _loops.First;

    [SetUp]
    public void SetUp()
    {
        (_clock, _log, _peers, _connections, _handled) = (new TestClock(), new LogSink(), [], 0, 0);
        _logger = _log.Logger();
        _loops = new EventLoops(() => _clock.Wheel, count: 1);
    }

    [TearDown]
    public async Task TearDown()
    {
        _peers.ForEach(peer => peer.Dispose());
        _port?.Dispose();
        _loops.Dispose();
        await _logger.DisposeAsync();
    }

    [TestCase(5, 3, 1, 8)]
    [TestCase(5, 0, 1, 5)]
    [TestCase(10, 4, 2, 7, Description = "each of them is going to need two")]
    public async Task A_burst_whose_requests_nobody_has_read_takes_no_more_than_the_spare_descriptors(int most, int spare, int each, int accepted)
    {
        await BurstAsync(most, spare, each);

        Assert.That(Loop.Epoll!.Count - 1 /* the acceptor */, Is.EqualTo(accepted));
        Assert.That(_port!.IsFull, Is.True);
        Assert.That(_log.Containing("No room").Single(), Does.Contain($"{accepted} request(s) are unfinished"));
    }

    [Test]
    public async Task All_of_a_burst_are_served_in_turn()
    {
        await BurstAsync(most: 5, spare: 3, each: 1);

        while (_handled < Clients)
        {
            _clock.Advance(100); // the pause of a full port
            Loop.Serve(0);
        }

        foreach (ScriptedPeer peer in _peers)
            Assert.That((await peer.ReadReplyAsync()).Status, Is.EqualTo(200));
        Assert.That(_log.Containing("Room again"), Has.Count.EqualTo(1));
    }

    [Test]
    public void A_port_whose_connections_have_reached_the_limit_is_full_before_the_next_client_comes()
    {
        Start(most: 5, spare: 3, each: 1);
        Assert.That(_port!.IsFull, Is.False);

        _connections = 5;

        Assert.That(_port.IsFull, Is.True);
    }

    private void Start(int most, int spare, int each)
    {
        _listen = new ListenOptions("127.0.0.1", ServerFixture.FreePort(), TimeSpan.FromSeconds(5)) { DescriptorsEach = each };
        _port = new HttpPort(_listen, _loops, AnswerAsync, _clock.Time, () => _connections, turnedAway: null, new ServerLog(_logger));
        _port.Bind();
        _port.Start(most, spare);
    }

    private Task AnswerAsync(HttpRequest request)
    {
        _handled++;
        return request.ReplyAsync(HttpReply.Text(200, "ok"));
    }

    private async Task BurstAsync(int most, int spare, int each)
    {
        Start(most, spare, each);
        for (int i = 0; i < Clients; i++)
        {
            ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_listen.Port);
            _peers.Add(peer);
            await peer.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        }
        Loop.Serve(0); // accepts, and reads nothing yet
    }
}
