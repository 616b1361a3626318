using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;
using static HeartbeatServer.Tests.Support.Departures;

namespace HeartbeatServer.Tests.Telemetry;

/// <summary>What the record says about clients that come and go by themselves: nothing. The seeds are fixed.</summary>
internal sealed class ChanceTests
{
    private const int Runs = 100;
    private const int MostThatSpeak = 2;

    /// <summary>All that a client does, but for why it leaves.</summary>
    /// <param name="PingSeconds">0 for no pings.</param>
    /// <param name="MessageSeconds">The mean time between two messages of a client, each of which is answered.</param>
    /// <param name="LifeSeconds">The mean life of a connection.</param>
    /// <param name="RightAfterMessage">The part of the clients that leave right after their last message.</param>
    public sealed record Crowd(double PingSeconds, double MessageSeconds, double LifeSeconds, double RightAfterMessage);

    private static IEnumerable<TestCaseData> Crowds =>
        from ping in new double[] { 0, 1, 2, 10, 30 }
        from crowd in new[]
        {
            new Crowd(ping, MessageSeconds: 20, LifeSeconds: 60, RightAfterMessage: 0.4),
            new Crowd(ping, MessageSeconds: 20, LifeSeconds: 60, RightAfterMessage: 0),
            new Crowd(ping, MessageSeconds: 3, LifeSeconds: 15, RightAfterMessage: 0.4),
            new Crowd(ping, MessageSeconds: 300, LifeSeconds: 600, RightAfterMessage: 0.2),
        }
        select new TestCaseData(crowd).SetArgDisplayNames($"ping {crowd.PingSeconds}, message {crowd.MessageSeconds}, life {crowd.LifeSeconds}, {crowd.RightAfterMessage}");

    [TestCaseSource(nameof(Crowds))]
    public void Clients_that_leave_by_themselves_are_not_explained(Crowd crowd)
    {
        var spoken = new List<string>();
        for (int seed = 1; seed <= Runs; seed++)
        {
            if (Sentence(crowd, seed) is { } sentence)
                spoken.Add($"{seed}: {sentence}");
        }

        Assert.That(spoken, Has.Count.AtMost(MostThatSpeak), string.Join('\n', spoken));
    }

    /// <summary>The first explanation that is given while 300 connections end; null if there is none.</summary>
    private static string? Sentence(Crowd crowd, int seed)
    {
        var random = new Random(seed);
        var departures = new Departures { Others = random.Next(0, 60) };
        for (int slot = 0; slot < 30; slot++)
        {
            double at = random.NextDouble() * crowd.LifeSeconds;
            for (int i = 0; i < 10; i++)
            {
                Departure one = Leave(crowd, random, at);
                departures.Add(one);
                at = one.At + random.NextDouble();
            }
        }
        TimeSpan ping = TimeSpan.FromSeconds(crowd.PingSeconds);
        return departures.Records(ends => ends % (ends <= 50 ? 5 : 50) == 0)
            .Select(record => Why.Explain(record, [], ping, record.Ends[^1].Moment + TimeSpan.FromSeconds(random.NextDouble() * 10)))
            .SelectMany(findings => findings)
            .FirstOrDefault(finding => finding.Explains)?.Sentence;
    }

    /// <summary>A client that comes at a moment, and leaves by itself.</summary>
    internal static Departure Leave(Crowd crowd, Random random, double opened)
    {
        double life = Exponential(random, crowd.LifeSeconds);
        double phase = random.NextDouble() * crowd.PingSeconds;
        double lastMessage = 0;
        for (double message = Exponential(random, crowd.MessageSeconds); message < life; message += Exponential(random, crowd.MessageSeconds))
            lastMessage = message;
        if (lastMessage > 0 && random.NextDouble() < crowd.RightAfterMessage)
            life = lastMessage + (random.NextDouble() * 0.05);
        double roundTrip = 0.001 + (random.NextDouble() * 0.05);
        double lastPing = crowd.PingSeconds == 0 || life < phase ? 0 : phase + (Math.Floor((life - phase) / crowd.PingSeconds) * crowd.PingSeconds);
        double lastPong = lastPing > 0 && lastPing + roundTrip < life ? lastPing + roundTrip : Math.Max(0, lastPing - crowd.PingSeconds + roundTrip);
        DisconnectCause cause = random.NextDouble() switch
        {
            < 0.7 => DisconnectCause.ClientVanished,
            < 0.9 => DisconnectCause.ConnectionReset,
            _ => DisconnectCause.ClientClosed,
        };
        return new Departure(opened + life, life, life - Math.Max(lastMessage, lastPong), life - Math.Max(lastMessage, lastPing), cause, random.Next(1, 250));
    }

    private static double Exponential(Random random, double mean) => -mean * Math.Log(1 - random.NextDouble());
}
