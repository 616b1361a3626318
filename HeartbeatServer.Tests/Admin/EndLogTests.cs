using HeartbeatServer.Admin;
using HeartbeatServer.Connections;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Admin;

public sealed class EndLogTests
{
    [Test]
    public async Task The_last_thousand_are_kept_newest_first()
    {
        await using var rig = new ConnectionRig(pingMs: 0);
        var log = new EndLog(rig.Clock.Time);
        Assert.That(log.After(0), Is.Empty);

        for (int i = 1; i <= 1001; i++)
            log.Add(rig.Connection, new Disconnect(DisconnectCause.ClientClosed, $"end {i}"), default);

        Assert.That(log.After(0).Select(end => end.Sequence), Is.EqualTo(Enumerable.Range(2, 1000).Reverse()));
        Assert.That(log.After(999).Select(end => end.End.Detail), Is.EqualTo(new[] { "end 1001", "end 1000" }));
        Assert.That(log.After(1001), Is.Empty);
        Assert.That(log.After(long.MaxValue), Is.Empty);
    }
}
