using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;
using Microsoft.Extensions.Time.Testing;
using Serilog.Core;

namespace HeartbeatServer.Tests.Telemetry;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class BeatWatchTests
{
    private readonly FakeTimeProvider _time = new();
    private readonly ServerMetrics _metrics = new();
    private readonly LogSink _log = new();
    private Logger _logger = null!;
    private Throttle _warnings = null!;
    private TimeSpan _cpuTime = TimeSpan.FromMinutes(1);

    [SetUp]
    public void SetUp()
    {
        _logger = _log.Logger();
        _warnings = new Throttle(_time, BeatWatch.WarnEvery);
    }

    [TearDown]
    public void TearDown() => _logger.Dispose();

    [Test]
    public void Every_tick_is_measured()
    {
        BeatWatch watch = Watch(timeoutMs: 500);

        watch.OnTick(TimeSpan.FromMilliseconds(1));
        watch.OnTick(TimeSpan.FromMilliseconds(3));

        Assert.That(_metrics.BeatLateness.Count, Is.EqualTo(2));
        Assert.That(_metrics.BeatLateness.Max, Is.EqualTo(TimeSpan.FromMilliseconds(3)));
    }

    [Test]
    public void A_quarter_of_the_timeout_is_still_no_warning()
    {
        Watch(timeoutMs: 500).OnTick(TimeSpan.FromMilliseconds(125));

        Assert.That(_log.Lines, Is.Empty);
    }

    [Test]
    public void More_than_a_quarter_of_the_timeout_is_a_warning_with_a_reason()
    {
        Watch(timeoutMs: 500).OnTick(TimeSpan.FromMilliseconds(126));

        Assert.That(_log.Lines, Has.Count.EqualTo(1));
        Assert.That(_log.Lines[0], Does.StartWith("Warning The beat was 126.0ms late. Likely reason: "));
    }

    [Test]
    public void Warnings_come_at_most_once_a_minute_whichever_wheel_is_late()
    {
        BeatWatch watch = Watch(timeoutMs: 500);
        BeatWatch other = Watch(timeoutMs: 500);

        watch.OnTick(TimeSpan.FromSeconds(1));
        _time.Advance(TimeSpan.FromSeconds(59));
        watch.OnTick(TimeSpan.FromSeconds(1));
        other.OnTick(TimeSpan.FromSeconds(1));
        Assert.That(_log.Lines, Has.Count.EqualTo(1));

        _time.Advance(TimeSpan.FromSeconds(1));
        watch.OnTick(TimeSpan.FromSeconds(1));
        Assert.That(_log.Lines, Has.Count.EqualTo(2));
    }

    [Test]
    public void Nothing_is_judged_without_a_timeout()
    {
        Watch(timeoutMs: 0).OnTick(TimeSpan.FromHours(1));

        Assert.That(_log.Lines, Is.Empty);
    }

    [TestCase(100, 60, 0, 0, "garbage collection")]
    [TestCase(100, 60, 100, 0, "garbage collection")]
    [TestCase(100, 40, 50, 0, "this loop was busy with its clients")]
    [TestCase(100, 0, 100, 100_000, "this loop was busy with its clients")]
    [TestCase(100, 40, 49, 0, "the system did not let the process run")]
    [TestCase(100, 0, 0, 100_000, "more work than this machine has processors for")]
    public void The_reason_follows_from_what_was_measured(int latenessMs, int pauseMs, int busyMs, int queued, string reason)
    {
        new ServerLog(_logger).BeatLate(
            TimeSpan.FromMilliseconds(latenessMs), TimeSpan.FromMilliseconds(pauseMs), TimeSpan.FromMilliseconds(busyMs), queued);

        Assert.That(_log.Lines[0], Does.Contain($"Likely reason: {reason} ("));
    }

    [Test]
    public void A_thread_that_served_clients_instead_was_busy()
    {
        BeatWatch watch = Watch(timeoutMs: 500);
        watch.OnTick(TimeSpan.Zero);

        _cpuTime += TimeSpan.FromSeconds(1);
        watch.OnTick(TimeSpan.FromSeconds(1));

        Assert.That(_log.Lines[0], Does.Contain("Likely reason: this loop was busy with its clients ("));
    }

    /// <summary>Processor time that the thread used before the last tick that was on time, or before the first tick, explains no lateness.</summary>
    [Test]
    public void Only_what_the_thread_used_since_the_last_tick_counts([Values] bool isFirst)
    {
        BeatWatch watch = Watch(timeoutMs: 500);
        _cpuTime += TimeSpan.FromHours(1);
        if (!isFirst)
            watch.OnTick(TimeSpan.Zero);

        watch.OnTick(TimeSpan.FromSeconds(1));

        Assert.That(_log.Lines[0], Does.Contain("Likely reason: the system did not let the process run ("));
    }

    private BeatWatch Watch(int timeoutMs) =>
        new(TimeSpan.FromMilliseconds(timeoutMs), _warnings, _metrics, new ServerLog(_logger), () => _cpuTime);
}
