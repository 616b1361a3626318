using HeartbeatServer.Admin;
using HeartbeatServer.Connections;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Admin;

public sealed class HistoryTests
{
    private TestClock _clock = null!;
    private ServerMetrics _metrics = null!;
    private History _history = null!;

    [SetUp]
    public void SetUp()
    {
        _clock = new TestClock();
        _metrics = new ServerMetrics();
        _metrics.CountOpened(1); // before the first interval
        _history = new History(_metrics, new ConnectionTable(), _clock.Time);
    }

    [TearDown]
    public void TearDown()
    {
        _metrics.Dispose();
    }

    [Test]
    public void A_sample_is_what_happened_in_its_interval_alone()
    {
        _metrics.CountOpened(2);
        _metrics.CountEnd(DisconnectCause.PongTimeout);
        _metrics.CountRefused(RefusalReason.Origin);
        _metrics.CountStrike();
        _metrics.CountStrike();
        _metrics.CountLatePong();
        _metrics.CountRoundTrip(TimeSpan.FromMicroseconds(15));
        _metrics.CountTick(TimeSpan.FromMicroseconds(7));
        Take();
        Take();
        _metrics.CountRoundTrip(TimeSpan.FromMicroseconds(3));
        Take();

        HistoryJson history = _history.After(long.MinValue);

        Assert.That(history.IntervalSeconds, Is.EqualTo(5));
        Assert.That(history.Time.Zip(history.Time.Skip(1), (a, b) => b - a), Is.All.EqualTo(5));
        Assert.That(history.Opened, Is.EqualTo(new[] { 1, 0, 0 }));
        Assert.That(history.Refused, Is.EqualTo(new[] { 1, 0, 0 }));
        Assert.That(history.Ends["pong_timeout"], Is.EqualTo(new[] { 1, 0, 0 }));
        Assert.That(history.Ends["client_closed"], Is.EqualTo(new[] { 0, 0, 0 }));
        Assert.That(history.Ends.Keys, Is.EqualTo(DisconnectCauses.All.Select(cause => cause.Name())));
        Assert.That(history.Strikes, Is.EqualTo(new[] { 2, 0, 0 }));
        Assert.That(history.Late, Is.EqualTo(new[] { 1, 0, 0 }));
        Assert.That(history.P50Ms, Is.EqualTo(new double?[] { 0.015, null, 0.003 }));
        Assert.That(history.P99Ms, Is.EqualTo(history.P50Ms));
        Assert.That(history.LatenessMs, Is.EqualTo(new double?[] { 0.007, null, null }));
    }

    [Test]
    public void Only_what_is_newer_is_given_to_those_who_have_the_rest()
    {
        Take();
        Take();
        long last = _history.After(long.MinValue).Time[^1];
        Assert.That(_history.After(last).Time, Is.Empty);

        Take();

        Assert.That(_history.After(last).Time, Is.EqualTo(new[] { last + 5 }));
        Assert.That(_history.After(last).Ends["client_closed"], Has.Length.EqualTo(1));
    }

    [Test]
    public void An_hour_is_kept()
    {
        for (int i = 0; i < History.Length + 10; i++)
            Take();

        IReadOnlyList<long> time = _history.After(long.MinValue).Time;

        Assert.That(time, Has.Count.EqualTo(720));
        Assert.That(TimeSpan.FromSeconds(time[^1] - time[0]) + History.Interval, Is.EqualTo(TimeSpan.FromHours(1)));
    }

    // The fake clock begins long before 1970.
    private void Take()
    {
        _clock.Time.Advance(History.Interval);
        _history.Take();
    }
}
