using System.Diagnostics;
using HeartbeatServer.Engine;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Engine;

[Platform("Linux")]
public sealed class ThreadClockTests
{
    [Test]
    public void It_runs_while_the_thread_does_and_not_for_those_of_others()
    {
        TimeSpan before = ThreadClock.CpuTime;
        TimeSpan usedByOther = TimeSpan.Zero;
        var other = new Thread(() =>
        {
            TimeSpan start = ThreadClock.CpuTime;
            Spin(start + TimeSpan.FromMilliseconds(100));
            usedByOther = ThreadClock.CpuTime - start;
        });
        other.Start();
        Assert.That(other.Join(Safety.Limit), Is.True);
        TimeSpan waited = ThreadClock.CpuTime - before;

        before = ThreadClock.CpuTime;
        Spin(before + TimeSpan.FromMilliseconds(20));

        Assert.That(usedByOther, Is.GreaterThanOrEqualTo(TimeSpan.FromMilliseconds(100)));
        Assert.That(waited, Is.LessThan(usedByOther));
        Assert.That(ThreadClock.CpuTime - before, Is.GreaterThanOrEqualTo(TimeSpan.FromMilliseconds(20)));
    }

    private static void Spin(TimeSpan until)
    {
        long start = Stopwatch.GetTimestamp();
        while (ThreadClock.CpuTime < until && Stopwatch.GetElapsedTime(start) < Safety.Limit)
            Thread.SpinWait(100);
    }
}
