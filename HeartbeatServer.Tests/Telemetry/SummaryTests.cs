using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;
using Serilog.Core;

namespace HeartbeatServer.Tests.Telemetry;

internal sealed class SummaryTests
{
    [Test]
    public void The_summary_has_the_totals_one_subject_a_line()
    {
        var log = new LogSink();
        using Logger logger = log.Logger();
        var metrics = new ServerMetrics();
        for (int i = 1; i <= 3; i++)
            metrics.CountOpened(i);
        metrics.CountEnd(DisconnectCause.ClientClosed);
        metrics.CountEnd(DisconnectCause.PongTimeout);
        metrics.CountRefused(RefusalReason.NotFound);
        metrics.CountStrike();
        metrics.CountStrike();
        metrics.CountLatePong();
        metrics.RoundTrips.Add(TimeSpan.FromMilliseconds(2));
        metrics.BeatLateness.Add(TimeSpan.FromMilliseconds(0.5));

        new ServerLog(logger).Summary(metrics, connections: 1, TimeSpan.FromSeconds(90), [Sentences.Nothing(2), Sentences.Pings(5, TimeSpan.FromSeconds(10))]);

        Assert.That(log.Lines.Single().Split('\n'), Is.EqualTo(new[]
        {
            "Information Summary after 90.0s",
            "  connections  1 now, 3 at most, 3 in all",
            "  refused      1: not_found 1",
            "  ends         client_closed 1, pong_timeout 1",
            "  round trip   p50 2.00 p95 2.00 p99 2.00 max 2.00ms of 1 pongs",
            "  heartbeat    2 strikes, 1 late pongs",
            "  beat late by p50 0.50 p99 0.50 max 0.50ms",
            "  why          The last 2 ends have no moment, age or silence in common: look at each by itself.",
            "               A ping goes every 10 s, so an idle timeout longer than that cannot end a connection. No shorter one shows: the 5 that ended "
                + "without a goodbye have no silence in common.",
        }));
        Assert.That(log.Events.Single().Value("refusals"), Is.EqualTo("not_found 1"));
        Assert.That(((string)log.Events.Single().Value("why")!).Split('\n'), Has.Length.EqualTo(2).And.None.StartsWith(" "));
    }

    [Test]
    public void Before_anything_happened_it_says_so()
    {
        var log = new LogSink();
        using Logger logger = log.Logger();

        new ServerLog(logger).Summary(new ServerMetrics(), connections: 0, TimeSpan.Zero, [Sentences.Nothing(0)]);

        Assert.That(log.Events.Single().Value("refusals"), Is.EqualTo("none"));
        Assert.That(log.Lines.Single(), Does.Contain("  refused      0\n").And.Contain("  ends         none\n").And.EndWith("  why          No connection has ended by itself while this server ran."));
    }
}
