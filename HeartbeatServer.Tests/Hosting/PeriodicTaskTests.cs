using HeartbeatServer.Hosting;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;
using Microsoft.Extensions.Time.Testing;
using Serilog.Core;

namespace HeartbeatServer.Tests.Hosting;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class PeriodicTaskTests
{
    private readonly FakeTimeProvider _time = new();
    private readonly LogSink _log = new();
    private readonly Watch _turns = new();
    private Logger _logger = null!;
    private int _count;

    [SetUp]
    public void SetUp()
    {
        _logger = _log.Logger();
        _count = 0;
    }

    [TearDown]
    public void TearDown() => _logger.Dispose();

    [Test]
    public async Task It_takes_a_turn_each_interval()
    {
        await using PeriodicTask periodic = Every(10);

        for (int turn = 1; turn <= 3; turn++)
        {
            _time.Advance(TimeSpan.FromSeconds(10));
            await _turns.UntilAsync(() => _count == turn, $"turn {turn}");
        }
    }

    [Test]
    public async Task After_a_turn_that_threw_the_next_one_comes_and_the_log_has_the_exception()
    {
        await using PeriodicTask periodic = Every(10, () => throw new InvalidOperationException("broken chore"));

        for (int turn = 1; turn <= 2; turn++)
        {
            _time.Advance(TimeSpan.FromSeconds(10));
            await _log.WithAsync("A periodic chore failed", turn);
        }

        Assert.That(_log.Events[0].Exception?.Message, Is.EqualTo("broken chore"));
    }

    [Test]
    public async Task With_an_interval_of_zero_it_never_runs()
    {
        await using (Every(0))
            _time.Advance(TimeSpan.FromDays(1));

        Assert.That(_count, Is.Zero);
    }

    [Test]
    public async Task After_it_was_disposed_of_it_does_not_run()
    {
        await using (Every(10))
        {
        }
        _time.Advance(TimeSpan.FromDays(1));

        Assert.That(_count, Is.Zero);
    }

    private PeriodicTask Every(int seconds, Action? action = null) => new(TimeSpan.FromSeconds(seconds), _time, new ServerLog(_logger), action ?? (() =>
    {
        _count++;
        _turns.Changed();
    }));
}
