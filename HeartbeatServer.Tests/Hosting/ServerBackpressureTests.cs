using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;
using Serilog.Events;

namespace HeartbeatServer.Tests.Hosting;

/// <summary>A peer sends and never reads. The test measures the memory of the whole process, so it runs alone.</summary>
[NonParallelizable]
[TestFixture(RequestsFrom.HttpPort)]
[TestFixture(RequestsFrom.PlainLoop)]
public sealed class ServerBackpressureTests(RequestsFrom source)
{
    private const long Flood = 1L << 30;
    private const long MemoryBound = 32L << 20;

    [TestCase(64)]
    [TestCase(1024 * 1024)]
    public async Task A_peer_that_floods_and_never_reads_is_stopped_with_bounded_memory(int length)
    {
        await using ServerFixture server = ServerFixture.Start(options => options with { Ping = TimeSpan.Zero }, source: source);
        using ScriptedPeer peer = await server.UpgradedPeerAsync();
        await server.ConnectionAsync();
        byte[] frame = ClientFrames.Frame(Opcode.Binary, new byte[length]);
        byte[] frames = [.. Enumerable.Range(0, Math.Max(1, 65536 / frame.Length)).SelectMany(_ => frame)];
        long before = GC.GetTotalMemory(forceFullCollection: true);
        long most = 0;

        Task<long> flood = peer.FloodAsync(frames, Flood);
        await server.AdvanceUntilAsync(
            () =>
            {
                most = Math.Max(most, GC.GetTotalMemory(forceFullCollection: true));
                return server.Table.Count == 0;
            },
            "the slow consumer's end",
            TimeSpan.FromMilliseconds(400));

        Assert.That(await flood.InTime(), Is.LessThan(Flood), "its send was stuck until it was cut");
        LogEvent end = await server.EndedAsync();
        Assert.That(end.Value("cause"), Is.EqualTo(DisconnectCause.SlowConsumer.Name()));
        Assert.That((long)end.Value("bytes_in")!, Is.LessThan(Flood));
        Assert.That(most - before, Is.LessThan(MemoryBound));
    }

    [Test]
    public async Task A_client_that_reads_late_gets_everything()
    {
        await using ServerFixture server = ServerFixture.Start(options => options with { Ping = TimeSpan.Zero }, source: source);
        using ScriptedPeer peer = await server.UpgradedPeerAsync();
        byte[] payload = [.. Enumerable.Range(0, 1024 * 1024).Select(i => (byte)(i % 253))];
        byte[] frame = ClientFrames.Frame(Opcode.Binary, payload);
        const int count = 40;

        // The clock stands still, so the server does not cut the peer as slow.
        Task sending = Task.Run(async () =>
        {
            for (int i = 0; i < count; i++)
                await peer.SendAsync(frame);
        });
        await Safety.UntilAsync(() => server.Table.Open.Any(connection => connection.Figures().MessagesIn > 0), "a first message");
        for (int i = 0; i < count; i++)
            Assert.That((await peer.ReadFrameAsync()).Payload.AsSpan().SequenceEqual(payload), Is.True);
        await sending.InTime();
    }
}
