using HeartbeatServer.Hosting;

namespace HeartbeatServer.Tests.Hosting;

/// <summary>The pace of the Close frames. <see cref="ServerDrainTests"/> has the rest of the drain.</summary>
public sealed class DrainTests
{
    private static readonly TimeSpan Window = TimeSpan.FromSeconds(8);

    [TestCase(0, 20)]
    [TestCase(20, 40)]
    [TestCase(980, 1000)]
    [TestCase(3980, 4000)]
    public void A_thousand_Close_frames_leave_in_a_second_those_of_20_ms_together(int elapsedMs, int expected) =>
        Assert.That(MaySend(3000, Window, elapsedMs), Is.EqualTo(expected).Within(1e-6));

    [TestCase(8000)]
    [TestCase(100_000)]
    [TestCase(1_000_000)]
    public void However_large_the_crowd_half_the_window_is_left_to_answer(int connections)
    {
        Assert.That(MaySend(connections, Window, 4000), Is.AtLeast(connections));
        Assert.That(MaySend(connections, Window, 2000), Is.LessThan(0.51 * connections), "and it is paced until then");
    }

    [Test]
    public void A_short_window_makes_the_pace_faster() =>
        Assert.That(MaySend(1000, TimeSpan.FromSeconds(1), 500), Is.AtLeast(1000));

    [TestCase(1)]
    [TestCase(1_000_000)]
    public void With_a_window_of_0_all_may_be_sent_at_once(int connections) =>
        Assert.That(MaySend(connections, TimeSpan.Zero, 0), Is.AtLeast(connections));

    [Test]
    public void A_single_connection_does_not_wait() => Assert.That(MaySend(1, Window, 0), Is.AtLeast(1));

    private static double MaySend(int connections, TimeSpan window, int elapsedMs) =>
        Drain.MaySend(connections, window, TimeSpan.FromMilliseconds(elapsedMs));
}
