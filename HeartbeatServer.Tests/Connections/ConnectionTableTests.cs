using HeartbeatServer.Connections;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Connections;

public sealed class ConnectionTableTests
{
    /// <summary>A counter that goes down between two scrapes looks like a restart of the server.</summary>
    [Test]
    public async Task Totals_neither_lose_nor_double_a_connection_that_leaves_meanwhile()
    {
        const int count = 300;
        var table = new ConnectionTable();
        var rigs = new List<ConnectionRig>();
        for (int i = 0; i < count; i++)
        {
            var rig = new ConnectionRig(pingMs: 0, id: i);
            rigs.Add(rig);
            rig.Pipe.Send(ClientFrames.Text("x"), ClientFrames.Close(1000));
            await rig.Running.InTime();
        }
        Connection[] connections = [.. rigs.Select(rig => rig.Connection)];
        foreach (Connection connection in connections)
            table.Add(connection);
        ConnectionTotals expected = table.Totals();

        var seen = new HashSet<ConnectionTotals>();
        Task leaving = Task.Run(() => Parallel.ForEach(connections, table.Remove));
        do
            seen.Add(table.Totals());
        while (!leaving.IsCompleted);
        await leaving;
        seen.Add(table.Totals());

        Assert.That(seen, Is.EqualTo(new[] { expected }));
        Assert.That((expected.MessagesIn, expected.BytesIn, table.Count), Is.EqualTo(((long)count, count * (7L + 8), 0)));
        foreach (ConnectionRig rig in rigs)
            await rig.DisposeAsync();
    }

    [Test]
    public async Task Figures_are_final_when_the_connection_has_run_to_its_end()
    {
        await using var rig = new ConnectionRig(pingMs: 2000);
        rig.Pipe.SendFin();
        await rig.Running.InTime();
        var before = rig.Connection.Figures();

        // This is a beat that was still in progress on the wheel's thread.
        rig.Clock.Time.Advance(TimeSpan.FromSeconds(3));
        rig.Connection.OnDue(rig.Clock.Now, TimeSpan.Zero);

        var after = rig.Connection.Figures();
        Assert.That((after.Pings, after.BytesOut, after.Missed), Is.EqualTo((before.Pings, before.BytesOut, before.Missed)));
    }
}
