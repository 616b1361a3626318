using HeartbeatServer.Tests.Support;
using Serilog;
using Serilog.Events;

namespace HeartbeatServer.Tests.Hosting;

/// <summary>Memory is short, even for a line in the log.</summary>
public sealed class ServerFailureTests
{
    [Test]
    public async Task A_connection_that_cannot_be_told_of_leaves_the_table_and_the_drain_does_not_wait_for_it([Values("connected", "ended")] string line)
    {
        await using ServerFixture server = ServerFixture.Start(logger: log => new NoMemoryFor(log, line));

        using (ScriptedPeer peer = await server.UpgradedPeerAsync())
            peer.SendFin();

        await server.Log.WithAsync("#1 failed; the server goes on");
        await Safety.UntilAsync(() => server.Table.Count == 0, "an empty table");
        Assert.That((server.Metrics.Opened, server.Metrics.Ended), Is.EqualTo((1L, 1L)));
        await server.Drain.RunAsync("the test", CancellationToken.None).InTime();
    }

    private sealed class NoMemoryFor(ILogger log, string line) : ILogger
    {
        public void Write(LogEvent logEvent)
        {
            if (logEvent.MessageTemplate.Text.Contains($" {line}", StringComparison.Ordinal))
                throw new InsufficientMemoryException();
            log.Write(logEvent);
        }
    }
}
