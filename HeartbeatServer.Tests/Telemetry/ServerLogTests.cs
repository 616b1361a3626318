using System.Net;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;
using Serilog.Core;
using Serilog.Events;

namespace HeartbeatServer.Tests.Telemetry;

public sealed class ServerLogTests
{
    private static readonly IPEndPoint Remote = new(IPAddress.Parse("192.0.2.1"), 50123);

    private LogSink _sink = null!;
    private Logger _logger = null!;
    private ServerLog _log = null!;

    [SetUp]
    public void SetUp()
    {
        _sink = new LogSink();
        _logger = _sink.Logger();
        _log = new ServerLog(_logger);
    }

    [TearDown]
    public void TearDown() => _logger.Dispose();

    [Test]
    public void A_connect_has_number_and_address_as_properties()
    {
        _log.Connected(7, Remote, 3);

        Assert.That(_sink.Lines, Is.EqualTo(new[] { "Information #7 192.0.2.1:50123 connected, 3 now" }));
        Assert.That((_sink.Events[0].Value("Connection"), _sink.Events[0].Value("Remote")), Is.EqualTo((7L, "192.0.2.1:50123")));
    }

    [Test]
    public void Pings_and_pongs_are_debug_lines()
    {
        _log.PingSent(7, 3);
        _log.PongReceived(7, TimeSpan.FromMilliseconds(1.234));
        _log.PongReceived(7, null);

        Assert.That(_sink.Lines, Is.EqualTo(new[] { "Debug #7 ping 3", "Debug #7 pong, round trip 1.23ms", "Debug #7 unsolicited pong" }));
    }

    [TestCase(LogEventLevel.Verbose, true)]
    [TestCase(LogEventLevel.Debug, true)]
    [TestCase(LogEventLevel.Information, false)]
    [TestCase(LogEventLevel.Fatal, false)]
    public void Only_at_debug_is_a_line_a_ping_asked_for(LogEventLevel level, bool isDebug)
    {
        using Logger logger = _sink.Logger(level);

        Assert.That(new ServerLog(logger).IsDebug, Is.EqualTo(isDebug));
    }

    [Test]
    public void Above_information_only_the_end_by_a_bug_is_a_line()
    {
        using Logger logger = _sink.Logger(LogEventLevel.Warning);
        var log = new ServerLog(logger);

        log.Connected(7, Remote, 3);
        log.Ended(7, Remote, new Disconnect(DisconnectCause.ClientVanished, "FIN"), default);
        log.Ended(8, Remote, new Disconnect(DisconnectCause.InternalError, "a bug", new InvalidOperationException("of ours")), default);

        Assert.That(_sink.Lines, Has.Count.EqualTo(1));
        Assert.That(_sink.Lines[0], Does.StartWith("Error #8 192.0.2.1:50123 ended: internal_error by server"));
    }

    [Test]
    public void A_missed_pong_and_a_late_one_are_warnings()
    {
        _log.Suspect(7, Remote, 2, 3, TimeSpan.FromMilliseconds(500), TimeSpan.FromSeconds(4.56));
        _log.LatePong(7, Remote, TimeSpan.FromMilliseconds(712.3), 2);

        Assert.That(_sink.Lines, Is.EqualTo(new[]
        {
            "Warning #7 192.0.2.1:50123 is suspect: no sign of life 500ms after a ping, strike 2 of 3, last byte 4.6s ago",
            "Warning #7 192.0.2.1:50123 late pong, round trip 712.30ms, 2 strike(s) cleared",
        }));
    }

    [Test]
    public void An_end_is_one_line_for_a_person()
    {
        var times = new RoundTrips();
        times.Add(TimeSpan.FromMilliseconds(2));
        times.Add(TimeSpan.FromMilliseconds(4));

        _log.Ended(7, Remote, Disconnect.ByClient(1000, "bye"), Figures(times));

        string line = _sink.Lines.Single();
        Assert.That(line, Does.StartWith("Information #7 192.0.2.1:50123 ended: client_closed by client after 12.5s, Close 1000 \"bye\" | "));
        Assert.That(line, Does.Contain("pings 5 pongs 4 missed 2 late 1 | round trip last 4.00 min 2.00 mean 3.00 max 4.00"));
        Assert.That(line, Does.EndWith("in 8 msg 900 B, out 9 msg 1000 B | last byte 0.3s ago"));
    }

    [Test]
    public void An_end_says_of_a_client_that_it_answers_with_another_payload()
    {
        var end = new Disconnect(DisconnectCause.ClientVanished, "FIN");
        _log.Ended(7, Remote, end, new ConnectionFigures { Pings = 5, OtherPongs = 4 });
        _log.Ended(8, Remote, end, new ConnectionFigures { Pings = 5, Pongs = 5, OtherPongs = 4 });

        Assert.That(_sink.Lines[0], Does.Contain("late 0 | answers pings with another payload, 4 times | "));
        Assert.That(_sink.Lines[1], Does.Not.Contain("another payload"));
    }

    [Test]
    public void An_end_says_how_many_offered_subprotocols_were_not_spoken()
    {
        var end = new Disconnect(DisconnectCause.ClientVanished, "FIN");
        _log.Ended(7, Remote, end, new ConnectionFigures { OffersNotSpoken = 3 });
        _log.Ended(8, Remote, end, default);

        Assert.That(_sink.Lines[0], Does.Contain(" | 3 subprotocol(s) offered, none spoken | "));
        Assert.That(_sink.Lines[1], Does.Not.Contain("subprotocol"));
    }

    [Test]
    public void An_end_without_a_round_trip_says_so()
    {
        _log.Ended(7, Remote, new Disconnect(DisconnectCause.ClientVanished, "FIN"), Figures(default));

        Assert.That(_sink.Lines.Single(), Does.Contain("| no round trip |").And.Not.Contain("null"));
    }

    [Test]
    public void A_bug_is_an_error_line_with_its_exception()
    {
        var bug = new InvalidOperationException("a bug");

        _log.Ended(7, Remote, new Disconnect(DisconnectCause.InternalError, "sent Close 1011", bug), Figures(default));

        Assert.That(_sink.Events.Single().Level, Is.EqualTo(LogEventLevel.Error));
        Assert.That(_sink.Events.Single().Exception, Is.SameAs(bug));
    }

    [Test]
    public void A_refusal_has_status_and_reason()
    {
        var refusal = new Refusal(RefusalReason.NotFound, "nothing here");
        _log.Refused(Remote, "GET", "/x", refusal);
        _log.Refused(null, "GET", "/x", refusal);

        Assert.That(_sink.Lines[0], Is.EqualTo("Information Refused GET /x from 192.0.2.1:50123: 404 not_found, nothing here"));
        Assert.That(_sink.Lines[1], Does.Contain("from unknown"));
    }

    [Test]
    public void Of_a_long_target_the_line_has_the_beginning()
    {
        _log.Refused(Remote, "GET", "/" + new string('x', 20_000), new Refusal(RefusalReason.NotFound, "nothing here"));

        Assert.That(_sink.Lines[0], Does.StartWith("Information Refused GET /xxx").And.EndsWith("xx... from 192.0.2.1:50123: 404 not_found, nothing here"));
        Assert.That(_sink.Lines[0], Has.Length.LessThan(300));
    }

    [Test]
    public void A_drain_says_how_many_and_how_long()
    {
        _log.Draining("SIGTERM", 12, TimeSpan.FromSeconds(8));
        _log.CuttingRest(2);

        Assert.That(_sink.Lines[0], Does.StartWith("Information SIGTERM: draining, 12 connection(s) get Close 1001, at most 8s."));
        Assert.That(_sink.Lines[1], Is.EqualTo("Warning 2 connection(s) did not close in time and are cut"));
    }

    [Test]
    public void Failures_that_the_server_survives_are_errors()
    {
        var error = new InvalidOperationException("a bug");
        _log.RequestFailed(error);
        _log.AcceptFailed(error);

        Assert.That(_sink.Events.Select(line => line.Level), Is.All.EqualTo(LogEventLevel.Error));
        Assert.That(_sink.Events.Select(line => line.Exception), Is.All.SameAs(error));
    }

    private static ConnectionFigures Figures(RoundTrips times) => new(
        TimeSpan.FromSeconds(12.5), 5, 4, 2, 1, 0, times, 900, 1000, 8, 9, TimeSpan.FromSeconds(0.25), TimeSpan.FromSeconds(0.5));
}
