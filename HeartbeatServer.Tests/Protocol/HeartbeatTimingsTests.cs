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

    private static HeartbeatTimings Timings(int ping, int timeoutMs, int maxMissed) =>
        new(TimeSpan.FromSeconds(ping), TimeSpan.FromMilliseconds(timeoutMs), maxMissed);
}
