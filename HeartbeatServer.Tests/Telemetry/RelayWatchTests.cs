using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;
using Microsoft.Extensions.Time.Testing;
using Serilog.Core;
using Serilog.Events;

namespace HeartbeatServer.Tests.Telemetry;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class RelayWatchTests
{
    private static readonly Refusal Unreachable = new(RefusalReason.UpstreamUnreachable, "the application cannot be reached: it refused the connection");

    private readonly FakeTimeProvider _time = new();
    private readonly LogSink _sink = new();
    private Logger _logger = null!;
    private RelayWatch _watch = null!;

    [SetUp]
    public void SetUp()
    {
        _logger = _sink.Logger(LogEventLevel.Information);
        _watch = new RelayWatch(_time, new ServerLog(_logger));
    }

    [TearDown]
    public void TearDown() => _logger.Dispose();

    [Test]
    public void The_first_failure_is_a_warning_at_once_and_more_of_them_are_a_count_now_and_then()
    {
        for (int i = 0; i < 21; i++)
        {
            _watch.OnRefused(Unreachable);
            _time.Advance(RelayWatch.TellEvery / 10);
        }

        Assert.That(_sink.Lines, Is.EqualTo(new[] { 1, 10, 10 }.Select(count =>
            $"Warning Relaying fails: refused {count} request(s), the last with 502 upstream_unreachable, the application cannot be reached: it refused the connection")));
    }

    [Test]
    public void When_it_works_again_one_line_has_the_count()
    {
        for (int i = 0; i < 30; i++)
            _watch.OnRefused(Unreachable);
        _time.Advance(TimeSpan.FromSeconds(5));

        _watch.OnAnswered(_time.GetTimestamp());
        _watch.OnAnswered(_time.GetTimestamp());

        Assert.That(_sink.Lines.Skip(1), Is.EqualTo(new[] { "Information Relaying works again: 30 request(s) were refused in 5.0s" }));
    }

    [Test]
    public void An_answer_to_what_was_asked_before_the_failure_does_not_show_that_it_works()
    {
        long asked = _time.GetTimestamp();
        _time.Advance(TimeSpan.FromSeconds(1));
        _watch.OnRefused(Unreachable);

        _watch.OnAnswered(asked);

        Assert.That(_sink.Lines, Has.Count.EqualTo(1));
    }

    [Test]
    public void Another_reason_is_news([Values(
        RefusalReason.UpstreamTimeout, RefusalReason.UpstreamBadCertificate, RefusalReason.UpstreamBadAnswer, RefusalReason.UpstreamLoop, RefusalReason.UpstreamQueue)]
        RefusalReason reason)
    {
        _watch.OnRefused(Unreachable);
        _watch.OnRefused(new Refusal(reason, "text"));

        Assert.That(_sink.Lines[1], Does.StartWith($"Warning Relaying fails: refused 1 request(s), the last with {reason.Status()} {reason.Name()}, text"));
    }

    [Test]
    public void A_relay_that_fails_in_turn_with_its_answers_fills_no_log()
    {
        for (int i = 0; i < 100; i++)
        {
            _watch.OnRefused(Unreachable);
            _watch.OnAnswered(_time.GetTimestamp());
        }

        Assert.That(_sink.Lines, Has.Count.EqualTo(2));
    }

    [Test]
    public void What_the_application_or_the_client_decides_is_no_failure([Values(
        RefusalReason.UpstreamRefused, RefusalReason.ClientGone, RefusalReason.BadRequest, RefusalReason.Draining)] RefusalReason reason)
    {
        _watch.OnRefused(new Refusal(reason, "text"));
        _watch.OnAnswered(_time.GetTimestamp());

        Assert.That(_sink.Lines, Is.Empty);
    }
}
