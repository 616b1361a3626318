using System.Net;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;
using Serilog.Core;
using Serilog.Events;

namespace HeartbeatServer.Tests.Telemetry;

internal sealed class ServerLogTests
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
        _log.Connected(7, Remote, ClientInfo.Unknown, 3);

        Assert.That(_sink.Lines, Is.EqualTo(new[] { "Information #7 192.0.2.1:50123 connected, 3 now" }));
        LogEvent line = _sink.Events[0];
        Assert.That(
            (line.Value("event"), line.Value("connection"), line.Value("remote_address"), line.Value("remote_port")),
            Is.EqualTo(("connection_opened", 7L, "192.0.2.1", 50123)));
    }

    [Test]
    public void A_connect_says_who_the_client_was_as_far_as_it_fits()
    {
        var client = new ClientInfo("/ws", "Mozilla/5.0 (\"X11\"; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130", "https://app.example.com", "mqtt");

        _log.Connected(7, Remote, client, 3);
        _log.Connected(8, Remote, new ClientInfo("/ws", "Go-http-client/1.1", null, null), 4);

        Assert.That(_sink.Lines, Is.EqualTo(new[]
        {
            "Information #7 192.0.2.1:50123 connected, 3 now | speaks mqtt, from https://app.example.com, "
                + "\"Mozilla/5.0 (\\\"X11\\\"; Linux x86_64) AppleWebKit/537.36 (KHTML,...\"",
            "Information #8 192.0.2.1:50123 connected, 4 now | \"Go-http-client/1.1\"",
        }));
        LogEvent line = _sink.Events[0];
        Assert.That(
            (line.Value("path"), line.Value("user_agent"), line.Value("origin"), line.Value("subprotocol")),
            Is.EqualTo((client.Path, client.UserAgent, client.Origin, client.Subprotocol)));
        Assert.That(_sink.Events[1].Properties.Keys, Has.None.EqualTo("origin").And.None.EqualTo("subprotocol"));
    }

    [Test]
    public void An_escaped_character_of_a_user_agent_stands_in_the_words_as_in_the_property()
    {
        const string agent = "a\\u009b31m \"b\"";

        _log.Connected(7, Remote, new ClientInfo("/ws", agent, null, null), 3);

        Assert.That(_sink.Lines, Is.EqualTo(new[] { """Information #7 192.0.2.1:50123 connected, 3 now | "a\u009b31m \"b\"" """.TrimEnd() }));
        Assert.That(_sink.Events[0].Value("user_agent"), Is.EqualTo(agent));
    }

    [Test]
    public void An_end_says_who_the_client_was_in_its_properties()
    {
        _log.Ended(7, Remote, new ClientInfo("/ws", "curl/8", null, null), new Disconnect(DisconnectCause.ClientVanished, "FIN"), default);

        Assert.That((_sink.Events[0].Value("path"), _sink.Events[0].Value("user_agent")), Is.EqualTo(("/ws", "curl/8")));
        Assert.That(_sink.Lines[0], Does.Not.Contain("curl"));
    }

    [Test]
    public void The_first_pong_and_a_recovery_are_information()
    {
        _log.FirstPong(1, Remote, TimeSpan.FromMilliseconds(0.654));
        _log.InTimeAgain(1, Remote, TimeSpan.FromMilliseconds(12));

        Assert.That(_sink.Lines, Is.EqualTo(new[]
        {
            "Information #1 192.0.2.1:50123 first pong, round trip 0.65ms",
            "Information #1 192.0.2.1:50123 has answered 10 pings in time again, round trip 12.00ms",
        }));
    }

    [Test]
    public void Of_a_client_behind_a_proxy_both_addresses_are_properties()
    {
        _log.Connected(7, new ForwardedEndPoint(IPAddress.Parse("2001:db8::7"), Remote), ClientInfo.Unknown, 3);

        LogEvent line = _sink.Events[0];
        Assert.That(LogSink.Line(line), Does.Contain("#7 2001:db8::7 via 192.0.2.1:50123 connected"));
        Assert.That(
            (line.Value("remote_address"), line.Value("proxy_address"), line.Value("proxy_port"), line.Properties.ContainsKey("remote_port")),
            Is.EqualTo(("2001:db8::7", "192.0.2.1", 50123, false)));
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

    [TestCase(DisconnectCause.ClientClosed, LogEventLevel.Information)]
    [TestCase(DisconnectCause.ClientVanished, LogEventLevel.Information)]
    [TestCase(DisconnectCause.ConnectionReset, LogEventLevel.Information)]
    [TestCase(DisconnectCause.ServerShutdown, LogEventLevel.Information)]
    [TestCase(DisconnectCause.PongTimeout, LogEventLevel.Warning)]
    [TestCase(DisconnectCause.ProtocolError, LogEventLevel.Warning)]
    [TestCase(DisconnectCause.InvalidPayload, LogEventLevel.Warning)]
    [TestCase(DisconnectCause.MessageTooBig, LogEventLevel.Warning)]
    [TestCase(DisconnectCause.SlowConsumer, LogEventLevel.Warning)]
    [TestCase(DisconnectCause.BufferLimit, LogEventLevel.Warning)]
    [TestCase(DisconnectCause.InternalError, LogEventLevel.Error)]
    public void What_the_server_does_to_a_client_is_a_warning_and_a_bug_an_error(DisconnectCause cause, LogEventLevel level)
    {
        _log.Ended(7, Remote, ClientInfo.Unknown, new Disconnect(cause, "why"), default);

        Assert.That(_sink.Events.Single().Level, Is.EqualTo(level));
    }

    [Test]
    public void At_warning_the_log_has_each_cut_and_no_goodbye()
    {
        using Logger logger = _sink.Logger(LogEventLevel.Warning);
        var log = new ServerLog(logger);

        log.Connected(7, Remote, ClientInfo.Unknown, 3);
        log.Ended(7, Remote, ClientInfo.Unknown, new Disconnect(DisconnectCause.ClientVanished, "FIN"), default);
        log.Ended(8, Remote, ClientInfo.Unknown, Disconnect.BySlowness(TimeSpan.FromSeconds(30)), default);

        Assert.That(_sink.Lines.Single(), Does.StartWith("Warning #8 192.0.2.1:50123 ended: slow_consumer after 0.0s, took no byte for 30s"));
    }

    [Test]
    public void A_missed_pong_is_a_warning_and_a_late_one_is_not()
    {
        _log.Suspect(7, Remote, 2, 3, TimeSpan.FromMilliseconds(500), TimeSpan.FromSeconds(4.56));
        _log.LatePong(7, Remote, TimeSpan.FromMilliseconds(712.3), 2);

        Assert.That(_sink.Lines, Is.EqualTo(new[]
        {
            "Warning #7 192.0.2.1:50123 is suspect: no sign of life 500ms after a ping, strike 2 of 3, last byte 4.6s ago",
            "Information #7 192.0.2.1:50123 late pong, round trip 712.30ms, 2 strike(s) cleared",
        }));
    }

    [Test]
    public void An_end_is_one_short_line_for_a_person_with_all_figures_as_properties()
    {
        var times = new RoundTrips();
        times.Add(TimeSpan.FromMilliseconds(2));
        times.Add(TimeSpan.FromMilliseconds(4));

        _log.Ended(7, Remote, ClientInfo.Unknown, Disconnect.ByClient(1000, "bye"), Figures(times));

        LogEvent line = _sink.Events.Single();
        Assert.That(LogSink.Line(line), Is.EqualTo("Information #7 192.0.2.1:50123 ended: client_closed after 12.5s, Close 1000 \"bye\""));
        Assert.That(
            (line.Value("round_trip_min_ms"), line.Value("round_trip_max_ms"), line.Value("bytes_in"), line.Value("last_byte_seconds")),
            Is.EqualTo((2.0, 4.0, 900L, 0.25)));
    }

    [Test]
    public void An_end_says_the_figures_that_decide_for_its_cause()
    {
        _log.Ended(1, Remote, ClientInfo.Unknown, new Disconnect(DisconnectCause.ClientVanished, "FIN without a Close frame"), Figures(default));
        var times = new RoundTrips();
        times.Add(TimeSpan.FromMilliseconds(900));
        var timings = new HeartbeatTimings(TimeSpan.FromSeconds(2), TimeSpan.FromMilliseconds(500), 3);
        _log.Ended(2, Remote, ClientInfo.Unknown, Disconnect.ByTimeout(3, timings, null), Figures(times));
        _log.Ended(3, Remote, ClientInfo.Unknown, Disconnect.BySlowness(TimeSpan.FromSeconds(30)), Figures(default));
        _log.Ended(4, Remote, ClientInfo.Unknown, new Disconnect(DisconnectCause.MessageTooBig, "sent Close 1009: too big"), Figures(default));

        Assert.That(_sink.Lines[0], Does.EndWith(", FIN without a Close frame | last byte 0.3s ago"));
        Assert.That(_sink.Lines[1], Does.EndWith("unknown: the kernel could not be asked | pings 5 pongs 4 late 1, round trip up to 900ms, last byte 0.3s ago"));
        Assert.That(_sink.Lines[2], Does.EndWith(", took no byte for 30s, though bytes wait for it | out 9 msg 1000 B"));
        _log.Ended(5, Remote, ClientInfo.Unknown, Disconnect.ByTimeout(3, timings, null), new ConnectionFigures { Pings = 5, OtherPongs = 4 });
        Assert.That(_sink.Lines[4], Does.EndWith(" | pings 5 pongs 0, answers pings with another payload, 4 times, last byte 0.0s ago"));
        Assert.That(_sink.Lines[3], Does.EndWith(", sent Close 1009: too big | in 8 msg 900 B"));
    }

    [Test]
    public void An_end_of_a_relayed_connection_adds_the_other_leg()
    {
        var leg = new UpstreamFigures(
            Address: "10.0.0.5:3000",
            Handshake: TimeSpan.FromMilliseconds(3),
            BytesIn: 7,
            BytesOut: 8,
            SinceLastByte: TimeSpan.FromSeconds(60),
            NotReadFor: null,
            IsInsideFrame: true,
            KernelRoundTrip: TimeSpan.FromMilliseconds(0.2));
        _log.Ended(7, Remote, ClientInfo.Unknown, Disconnect.ByClient(1000, ""), new ConnectionFigures { Upstream = leg });

        Assert.That(_sink.Lines.Single(), Does.EndWith(
            " | app 10.0.0.5:3000: handshake 3.0ms, kernel round trip 0.2ms, last byte 60.0s ago, in 7 B, out 8 B, inside a frame that it has not ended"));
        Assert.That(_sink.Events.Single().Value("upstream_bytes_out"), Is.EqualTo(8));
    }

    [TestCase(0.9, "inside a frame that it has not ended")]
    [TestCase(12, "inside a frame that it has not ended, it had not read for 12.0s")]
    public void An_end_says_if_the_application_had_not_read(double seconds, string words)
    {
        var leg = new UpstreamFigures("10.0.0.5:3000", TimeSpan.Zero, 0, 0, TimeSpan.Zero, TimeSpan.FromSeconds(seconds), IsInsideFrame: true, TimeSpan.Zero);
        _log.Ended(7, Remote, ClientInfo.Unknown, new Disconnect(DisconnectCause.ClientVanished, "FIN"), new ConnectionFigures { Upstream = leg });

        Assert.That(_sink.Lines.Single(), Does.EndWith(words));
        Assert.That(_sink.Events.Single().Value("upstream_not_read_seconds"), Is.EqualTo(seconds));
    }

    [Test]
    public void The_line_of_an_end_is_short_whatever_the_client_says()
    {
        _log.Ended(7, Remote, ClientInfo.Unknown, Disconnect.ByClient(4000, new string('\u001b', 123)), Figures(default));

        Assert.That(_sink.Lines.Single(), Has.Length.LessThan(300).And.EndsWith("..."));
        Assert.That((string)_sink.Events.Single().Value("detail")!, Has.Length.GreaterThan(700));
    }

    [Test]
    public void An_end_says_how_many_offered_subprotocols_were_not_spoken()
    {
        var end = new Disconnect(DisconnectCause.ClientVanished, "FIN");
        _log.Ended(7, Remote, ClientInfo.Unknown, end, new ConnectionFigures { OffersNotSpoken = 3 });
        _log.Ended(8, Remote, ClientInfo.Unknown, end, default);

        Assert.That(_sink.Lines[0], Does.EndWith(" | 3 subprotocol(s) offered, none spoken"));
        Assert.That(_sink.Lines[1], Does.Not.Contain("subprotocol"));
    }

    [Test]
    public void A_figure_that_is_not_known_is_no_property()
    {
        _log.Ended(7, Remote, ClientInfo.Unknown, new Disconnect(DisconnectCause.ClientVanished, "FIN"), Figures(default));

        Assert.That(_sink.Events.Single().Properties.Keys, Has.None.StartWith("round_trip").And.None.EqualTo("verdict"));
    }

    [Test]
    public void A_bug_is_an_error_line_with_its_exception()
    {
        var bug = new InvalidOperationException("a bug");

        _log.Ended(7, Remote, ClientInfo.Unknown, new Disconnect(DisconnectCause.InternalError, "sent Close 1011", bug), Figures(default));

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
