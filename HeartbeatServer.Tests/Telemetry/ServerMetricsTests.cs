using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;


namespace HeartbeatServer.Tests.Telemetry;

public sealed class ServerMetricsTests
{
    [Test]
    public void Everything_is_counted_from_many_threads()
    {
        int each = 100 * RefusalReasons.All.Length * DisconnectCauses.All.Length;
        var metrics = new ServerMetrics();

        Parallel.For(0, each, i =>
        {
            metrics.CountOpened(i);
            metrics.CountRefused(RefusalReasons.All[i % RefusalReasons.All.Length]);
            metrics.CountStrike();
            metrics.CountLatePong();
            metrics.CountEnd(DisconnectCauses.All[i % DisconnectCauses.All.Length]);
        });

        Assert.That((metrics.Opened, metrics.Refused, metrics.Strikes, metrics.LatePongs), Is.EqualTo(((long)each, (long)each, (long)each, (long)each)));
        Assert.That(metrics.Peak, Is.EqualTo(each - 1));
        Assert.That(RefusalReasons.All.Select(metrics.Refusals), Is.All.EqualTo(each / RefusalReasons.All.Length));
        Assert.That(DisconnectCauses.All.Select(metrics.Ends), Is.All.EqualTo(each / DisconnectCauses.All.Length));
    }
}
