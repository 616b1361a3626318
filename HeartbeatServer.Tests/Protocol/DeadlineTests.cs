using HeartbeatServer.Protocol;

namespace HeartbeatServer.Tests.Protocol;

public sealed class DeadlineTests
{
    [Test]
    public void It_is_over_when_its_time_has_come()
    {
        var deadline = new Deadline(Seconds(10));

        Assert.That(deadline.IsOver(Seconds(9.9), TimeSpan.Zero), Is.False);
        Assert.That(deadline.IsOver(Seconds(10), TimeSpan.Zero), Is.True);
    }

    [Test]
    public void A_stall_that_it_falls_into_moves_it_by_as_much()
    {
        var deadline = new Deadline(Seconds(10));

        Assert.That(deadline.IsOver(now: Seconds(20), stall: Seconds(12)), Is.False, "from 8 to 20 nobody was there");
        Assert.That(deadline.Due, Is.EqualTo(Seconds(22)));
        Assert.That(deadline.IsOver(Seconds(22), TimeSpan.Zero), Is.True);
    }

    [Test]
    public void A_stall_after_it_moves_nothing()
    {
        var deadline = new Deadline(Seconds(10));

        Assert.That(deadline.IsOver(now: Seconds(20), stall: Seconds(9)), Is.True);
    }

    [Test]
    public void It_is_moved_once_so_that_a_machine_that_stalls_all_the_time_comes_to_an_end()
    {
        var deadline = new Deadline(Seconds(10));
        deadline.IsOver(now: Seconds(11), stall: Seconds(2));
        Assert.That(deadline.Due, Is.EqualTo(Seconds(12)));

        Assert.That(deadline.IsOver(now: Seconds(13), stall: Seconds(2)), Is.True);
    }

    [Test]
    public void Never_is_never()
    {
        var deadline = new Deadline(Heartbeat.Never);

        Assert.That(deadline.IsOver(Seconds(1e9), Seconds(1e9)), Is.False);
    }

    private static TimeSpan Seconds(double seconds) => TimeSpan.FromSeconds(seconds);
}
