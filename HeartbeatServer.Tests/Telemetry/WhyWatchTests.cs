using System.Net;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;
using Microsoft.Extensions.Time.Testing;
using Serilog.Core;

namespace HeartbeatServer.Tests.Telemetry;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class WhyWatchTests
{
    private readonly FakeTimeProvider _time = new(DateTimeOffset.MinValue + TimeSpan.FromDays(1));
    private readonly LogSink _sink = new();
    private readonly Suspects _suspects = new(() => 100);
    private readonly Random _random = new(1);
    private Logger _logger = null!;
    private EndLog _ends = null!;
    private WhyWatch _watch = null!;
    private int _id;

    [SetUp]
    public void SetUp()
    {
        _logger = _sink.Logger();
        _ends = new EndLog(_time);
        _watch = new WhyWatch(_ends, _suspects, TimeSpan.FromSeconds(90), _time, new ServerLog(_logger));
    }

    [TearDown]
    public void TearDown() => _logger.Dispose();

    [Test]
    public void A_finding_is_a_warning_once_though_its_figures_grow()
    {
        for (int i = 0; i < 30; i++)
        {
            End(silence: 60);
            Pass(seconds: 10);
        }

        Assert.That(_sink.Lines, Has.Count.EqualTo(1));
        Assert.That(_sink.Lines[0], Does.StartWith("Warning Why (silence): 5 of 5 ended after 60.0 s of silence, the last 10 s ago: an idle timeout of 60 s"));
    }

    [Test]
    public void A_finding_that_changes_is_a_warning_again()
    {
        for (int i = 0; i < 20; i++)
        {
            End(silence: i < 10 ? 60 : 5);
            Pass(seconds: 10);
        }

        Assert.That(_sink.Lines.Select(line => line[..36]), Is.EqualTo(new[] { "Warning Why (silence): 5 of 5 ended ", "Warning Why (silence): 5 of 15 ended" }));
    }

    [Test]
    public void A_finding_that_was_gone_for_long_is_a_warning_when_it_comes_back()
    {
        foreach (double silence in new[] { 60, 5.0, 60 })
        {
            for (int i = 0; i < EndLog.Length; i++)
            {
                _time.Advance(TimeSpan.FromSeconds(5));
                End(silence, jitter: silence > 10 ? 0 : 50);
            }
            Pass(seconds: 10);
        }

        Assert.That(_sink.Lines.Select(line => line[..38]), Is.EqualTo(Enumerable.Repeat("Warning Why (silence): 1,000 of 1,000 ", 2)));
    }

    [Test]
    public void An_event_is_told_when_no_more_of_it_comes()
    {
        for (int i = 0; i < 15; i++)
            End(_random.Next(50), jitter: 0);
        _watch.Look();
        Assert.That(_sink.Lines, Is.Empty);

        _time.Advance(TimeSpan.FromSeconds(1));
        for (int i = 0; i < 15; i++)
            End(_random.Next(50), jitter: 0);
        Pass(seconds: 10);
        Pass(seconds: 10);

        Assert.That(_sink.Lines.Single(), Does.StartWith("Warning Why (event): 30 of 50 connections ended within 1.0 s, 10 s ago"));
    }

    [Test]
    public void A_stall_is_told_while_it_lasts_and_when_it_is_over_and_not_each_time_it_comes_back()
    {
        for (int turn = 0; turn < 5; turn++)
        {
            TimeSpan begin = _time.GetElapsedTime(0);
            for (int id = 0; id < 40; id++)
                _suspects.Add(id, begin + TimeSpan.FromMilliseconds(id * 50));
            Pass(seconds: 10);
            for (int id = 0; id < 40; id++)
                _suspects.Remove(id, isBack: true, _time.GetElapsedTime(0));
            Pass(seconds: 10);
        }

        Assert.That(_sink.Lines, Has.Count.EqualTo(2));
        Assert.That(_sink.Lines[0], Does.StartWith("Warning Why (stall): 40 % of all clients (40 of 100) are silent at once, for 10.0 s so far: a host or a network"));
        Assert.That(_sink.Lines[1], Does.StartWith("Warning Why (stall): 40 % of all clients (40 of 100) were silent at once for 10.0 s, until 10 s ago: a host"));
    }

    [Test]
    public void What_is_not_explained_is_no_warning()
    {
        for (int i = 0; i < 30; i++)
        {
            End(silence: 3 + (i * 2), jitter: 0);
            Pass(seconds: 10);
        }

        Assert.That(_sink.Lines, Is.Empty);
        Assert.That(_watch.Findings().Select(finding => finding.Kind), Is.EqualTo(new[] { FindingKind.Pings, FindingKind.None }));
    }

    private void End(double silence, double jitter = 0.02)
    {
        TimeSpan quiet = TimeSpan.FromSeconds(silence + (_random.NextDouble() * jitter));
        var figures = new ConnectionFigures { Age = quiet + TimeSpan.FromSeconds(10 + _random.Next(500)), SinceLastByte = quiet, SinceLastSent = quiet };
        _ends.Add(++_id, new IPEndPoint(IPAddress.Loopback, 5000), ClientInfo.Unknown, new Disconnect(DisconnectCause.ClientVanished, ""), figures, open: 50);
    }

    private void Pass(int seconds)
    {
        _time.Advance(TimeSpan.FromSeconds(seconds));
        _watch.Look();
    }
}
