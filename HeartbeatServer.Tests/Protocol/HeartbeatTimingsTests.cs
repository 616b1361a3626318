using HeartbeatServer.Protocol;

namespace HeartbeatServer.Tests.Protocol;

public sealed class HeartbeatTimingsTests
{
    [TestCase(10, 500, 3, 30.5)]
    [TestCase(1, 1000, 1, 2)]
    public void A_dead_peer_is_found_after_the_pings_and_a_timeout(int ping, int timeoutMs, int maxMissed, double patience) =>
        Assert.That(Timings(ping, timeoutMs, maxMissed).Patience, Is.EqualTo(TimeSpan.FromSeconds(patience)));

    [TestCase(0, 500)]
    [TestCase(10, 0)]
    public void Who_does_not_judge_is_patient_for_ever(int ping, int timeoutMs)
    {
        Assert.That(Timings(ping, timeoutMs, 3).Patience, Is.EqualTo(Heartbeat.Never));
        Assert.That(Timings(ping, timeoutMs, 3).RetransmissionCap, Is.Null);
    }

    /// <summary>With a cap of 1 s the kernel gives up after 14.4 s, with 2 s after 27 s, with 3 s after 39 s.</summary>
    [TestCase(1, 500, 3, 1)]
    [TestCase(4, 500, 3, 1)]
    [TestCase(5, 500, 3, 2)]
    [TestCase(10, 500, 3, 3)]
    [TestCase(60, 500, 1, 12)]
    [TestCase(3600, 500, 3, 120)]
    public void The_kernel_retransmits_each_fifth_of_a_beat_and_stays_more_patient_than_we_are(int ping, int timeoutMs, int maxMissed, int cap) =>
        Assert.That(Timings(ping, timeoutMs, maxMissed).RetransmissionCap, Is.EqualTo(TimeSpan.FromSeconds(cap)));

    /// <summary>10 s are 128 cohorts of 78.125 ms.</summary>
    [TestCase(0, 0, 0)]
    [TestCase(0, 0.25, 2500)]
    [TestCase(1, 0, 78.125)]
    [TestCase(78.125, 0, 78.125)]
    [TestCase(78.2, 0, 156.25)]
    [TestCase(0, 0.2501, 2578.125)]
    [TestCase(9990, 0, 10_000)]
    [TestCase(9990, 0.9999, 20_000)]
    public void The_first_ping_leaves_with_the_first_cohort_after_its_phase(double nowMs, double phase, double firstMs) =>
        Assert.That(
            Timings(10, 500, 3).FirstPing(TimeSpan.FromMilliseconds(nowMs), phase, connections: 1),
            Is.EqualTo(TimeSpan.FromMilliseconds(firstMs)));

    [Test]
    public void Without_pings_there_is_no_first_one() =>
        Assert.That(Timings(0, 500, 3).FirstPing(TimeSpan.FromDays(1), 0.5, connections: 1), Is.EqualTo(Heartbeat.Never));

    [TestCase(10_000, 1, 78.125)]
    [TestCase(2_000, 1, 62.5)]
    [TestCase(60_000, 1, 58.59375)]
    [TestCase(86_400_000, 1, 82.3974609)]
    [TestCase(97, 1, 48.5)]
    [TestCase(50, 1, 50)]
    [TestCase(8, 100_000, 8)]
    [TestCase(10_000, 128 * 128, 78.125)]
    [TestCase(10_000, (128 * 128) + 1, 39.0625)]
    [TestCase(10_000, 1_000_000, 9.765625)]
    [TestCase(2_000, 10_000, 15.625)]
    public void Cohorts_are_closer_together_the_more_connections_there_are(double pingMs, int connections, double spacingMs)
    {
        HeartbeatTimings timings = OfMilliseconds(pingMs);

        TimeSpan first = timings.FirstPing(TimeSpan.Zero, phase: 1e-6, connections);
        TimeSpan second = timings.FirstPing(first + TimeSpan.FromTicks(1), phase: 0, connections);

        Assert.That((second - first).TotalMilliseconds, Is.EqualTo(spacingMs).Within(0.001));
    }

    [TestCase(10_000)]
    [TestCase(7_777)]
    [TestCase(2_000)]
    [TestCase(333)]
    public void Clients_that_come_one_by_one_are_spread_over_cohorts_that_stay(int pingMs)
    {
        const int clients = 40_000;
        HeartbeatTimings timings = OfMilliseconds(pingMs);
        var random = new Random(1);
        var cohorts = new Dictionary<long, int>();
        var now = TimeSpan.FromDays(3);

        for (int i = 0; i < clients; i++)
        {
            now += TimeSpan.FromMicroseconds(700);
            TimeSpan earliest = now + (timings.Ping * random.NextDouble());
            TimeSpan first = timings.FirstPing(now, (earliest - now) / timings.Ping, i);
            Assert.That((first - earliest).TotalMilliseconds, Is.InRange(-0.001, 96), "a connection waits for its cohort only");
            // A hundredth of a millisecond: spacings that are no whole number of ticks are cut off.
            long cohort = (long)Math.Round((first.Ticks % timings.Ping.Ticks) / 100.0) % (timings.Ping.Ticks / 100);
            cohorts[cohort] = cohorts.GetValueOrDefault(cohort) + 1;
        }

        double most = Math.Floor(timings.Ping / HeartbeatTimings.Shortest);
        double expected = Math.Max(128, clients / most);
        Assert.That(cohorts.Values.Max(), Is.LessThan(3 * expected), "no burst is long");
        Assert.That(cohorts, Has.Count.InRange(Math.Min(most, clients / 128.0) / 2, most), "but they are together");
    }

    private static HeartbeatTimings Timings(int ping, int timeoutMs, int maxMissed) =>
        new(TimeSpan.FromSeconds(ping), TimeSpan.FromMilliseconds(timeoutMs), maxMissed);

    private static HeartbeatTimings OfMilliseconds(double ping) => new(TimeSpan.FromMilliseconds(ping), HeartbeatTimings.Shortest, MaxMissed: 3);
}
