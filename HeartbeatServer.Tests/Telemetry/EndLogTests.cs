using System.Net;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Tests.Telemetry;

public sealed class EndLogTests
{
    private static readonly IPEndPoint Remote = new(IPAddress.Parse("192.0.2.1"), 50123);

    [Test]
    public void The_last_thousand_are_kept_newest_first()
    {
        var log = new EndLog(TimeProvider.System);
        Assert.That(log.After(0), Is.Empty);

        for (int i = 1; i <= 1001; i++)
            log.Add(7, Remote, ClientInfo.Unknown, new Disconnect(DisconnectCause.ClientClosed, $"end {i}"), default, open: 1);

        Assert.That(log.After(0).Select(end => end.Sequence), Is.EqualTo(Enumerable.Range(2, 1000).Reverse()));
        Assert.That(log.After(999).Select(end => end.End.Detail), Is.EqualTo(new[] { "end 1001", "end 1000" }));
        Assert.That(log.After(1001), Is.Empty);
        Assert.That(log.After(long.MaxValue), Is.Empty);
    }
}
