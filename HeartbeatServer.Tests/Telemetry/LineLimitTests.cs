using System.Net;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;
using Microsoft.Extensions.Time.Testing;
using Serilog.Core;
using Serilog.Events;

namespace HeartbeatServer.Tests.Telemetry;

/// <summary>What the log makes of more lines than a person reads.</summary>
internal sealed class LineLimitTests
{
    private static readonly IPEndPoint Remote = new(IPAddress.Parse("192.0.2.1"), 50123);
    private static readonly Refusal NotFound = new(RefusalReason.NotFound, "nothing here");

    private readonly FakeTimeProvider _time = new();
    private LogSink _sink = null!;
    private Logger _logger = null!;
    private ServerLog _log = null!;

    [SetUp]
    public void SetUp()
    {
        _sink = new LogSink();
        _logger = _sink.Logger(LogEventLevel.Information);
        _log = new ServerLog(_logger, _time);
    }

    [TearDown]
    public void TearDown() => _logger.Dispose();

    [Test]
    public void Ten_lines_of_a_kind_in_a_second_are_no_flood()
    {
        for (int i = 0; i < 5; i++)
        {
            Connect(10);
            _time.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.That(_sink.Events, Has.Count.EqualTo(50));
        Assert.That(_sink.Events.Select(line => line.Value("event")), Is.All.EqualTo("connection_opened"));
    }

    [Test]
    public async Task The_rest_of_a_second_is_a_count_even_if_no_line_follows()
    {
        Connect(2957);
        Assert.That(_sink.Events, Has.Count.EqualTo(10));

        _time.Advance(TimeSpan.FromSeconds(1));

        LogEvent count = await _sink.WithAsync("more in");
        Assert.That(LogSink.Line(count), Is.EqualTo("Information and 2,947 more in 1s: connection_opened"));
        Assert.That(
            (count.Value("event"), count.Value("more"), count.Value("seconds"), count.Value("collapsed")),
            Is.EqualTo(("lines_collapsed", 2947L, 1.0, "connection_opened")));
        Assert.That(_sink.Events, Has.Count.EqualTo(11));
    }

    [Test]
    public async Task While_a_flood_lasts_a_line_and_a_count_in_ten_seconds_are_left_of_it()
    {
        Connect(100);
        _time.Advance(TimeSpan.FromSeconds(1));
        await _sink.WithAsync("more in");
        for (int second = 0; second < 10; second++)
        {
            Connect(100);
            _time.Advance(TimeSpan.FromSeconds(1));
        }

        await _sink.WithAsync("more in", 2);
        Assert.That(_sink.Lines.Skip(10), Is.EqualTo(new[]
        {
            "Information and 90 more in 1s: connection_opened",
            "Information #0 192.0.2.1:50123 connected, 1 now",
            "Information and 999 more in 10s: connection_opened",
        }));
    }

    [Test]
    public async Task After_a_flood_a_usual_rate_is_written_line_by_line_again()
    {
        Connect(100);
        _time.Advance(TimeSpan.FromSeconds(1));
        await _sink.WithAsync("more in");
        Connect(20);
        _time.Advance(TimeSpan.FromSeconds(10));
        await _sink.WithAsync("more in", 2);
        int before = _sink.Events.Count;

        Connect(5);

        Assert.That(_sink.Events, Has.Count.EqualTo(before + 5));
    }

    [Test]
    public void A_flood_of_one_kind_hides_no_other()
    {
        Connect(100);
        for (int i = 0; i < 100; i++)
            _log.Refused(Remote, "GET", "/x", NotFound);
        _log.Refused(Remote, "GET", "/x", new Refusal(RefusalReason.Origin, "not this page"));

        Assert.That(_sink.Containing("not_found"), Has.Count.EqualTo(10));
        Assert.That(_sink.Containing("403 origin"), Has.Count.EqualTo(1));
    }

    [Test]
    public async Task In_text_ends_collapse_by_cause()
    {
        for (int i = 0; i < 300; i++)
            _log.Ended(i, Remote, ClientInfo.Unknown, new Disconnect(DisconnectCause.PongTimeout, "silent"), default);
        for (int i = 0; i < 30; i++)
            _log.Ended(i, Remote, ClientInfo.Unknown, new Disconnect(DisconnectCause.ClientVanished, "FIN"), default);
        _log.Ended(400, Remote, ClientInfo.Unknown, new Disconnect(DisconnectCause.SlowConsumer, "took no byte"), default);
        _time.Advance(TimeSpan.FromSeconds(1));

        await _sink.WithAsync("more in", 2);
        Assert.That(_sink.Containing("more in"), Is.EquivalentTo(new[]
        {
            "Warning and 290 more in 1s: connection_ended pong_timeout",
            "Information and 20 more in 1s: connection_ended client_vanished",
        }));
        Assert.That(_sink.Containing("ended: slow_consumer"), Has.Count.EqualTo(1));
    }

    [Test]
    public void Where_programs_read_the_log_every_end_is_a_line()
    {
        var log = new ServerLog(_logger, _time, keepsEnds: true);

        for (int i = 0; i < 300; i++)
            log.Ended(i, Remote, ClientInfo.Unknown, new Disconnect(DisconnectCause.PongTimeout, "silent"), default);

        Assert.That(_sink.Containing("ended: pong_timeout"), Has.Count.EqualTo(300));
    }

    [Test]
    public void Errors_are_held_back_too_and_their_count_is_an_error()
    {
        var bug = new InvalidOperationException("a bug");
        for (int i = 0; i < 100; i++)
        {
            _log.Ended(i, Remote, ClientInfo.Unknown, new Disconnect(DisconnectCause.InternalError, "a bug", bug), default);
            _log.RequestFailed(bug);
            _log.LoopFailed(bug);
            _log.AcceptFailed(bug);
            _log.ConnectionFailed(i, bug);
        }
        Assert.That(_sink.Events, Has.Count.EqualTo(50));
        Assert.That(_sink.Events.Select(line => line.Exception), Is.All.SameAs(bug));

        _log.Flush();
        Assert.That(_sink.Lines.Skip(50), Is.EquivalentTo(new[]
        {
            "Error and 90 more in 0s: connection_ended internal_error",
            "Error and 90 more in 0s: request_failed",
            "Error and 90 more in 0s: loop_failed",
            "Error and 90 more in 0s: accept_failed",
            "Error and 90 more in 0s: connection_failed",
        }));
    }

    [Test]
    public void At_debug_every_line_is_written()
    {
        using Logger logger = _sink.Logger(LogEventLevel.Debug);
        _log = new ServerLog(logger, _time);

        Connect(300);

        Assert.That(_sink.Events, Has.Count.EqualTo(300));
    }

    [Test]
    public void Lines_below_the_level_are_not_counted()
    {
        using Logger logger = _sink.Logger(LogEventLevel.Warning);
        _log = new ServerLog(logger, _time);

        Connect(300);
        _log.Flush();

        Assert.That(_sink.Events, Is.Empty);
    }

    [Test]
    public async Task At_the_exit_the_counts_are_told_at_once_and_only_once()
    {
        Connect(300);

        _log.Flush();
        _log.Flush();
        _time.Advance(TimeSpan.FromSeconds(20));
        Connect(1);

        await _sink.WithAsync("connected", 11);
        Assert.That(_sink.Containing("more in"), Is.EqualTo(new[] { "Information and 290 more in 0s: connection_opened" }));
    }

    private void Connect(int clients)
    {
        for (int i = 0; i < clients; i++)
            _log.Connected(i, Remote, ClientInfo.Unknown, 1);
    }
}
