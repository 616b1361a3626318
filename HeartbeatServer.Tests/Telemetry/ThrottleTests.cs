using HeartbeatServer.Telemetry;
using Microsoft.Extensions.Time.Testing;

namespace HeartbeatServer.Tests.Telemetry;

internal sealed class ThrottleTests
{
    [Test]
    public void One_passes_each_interval_and_says_how_many_there_were()
    {
        var time = new FakeTimeProvider();
        var throttle = new Throttle(time, TimeSpan.FromSeconds(10));

        Assert.That((throttle.TryPass(out long count), count), Is.EqualTo((true, 1)));
        for (int i = 0; i < 5; i++)
            Assert.That(throttle.TryPass(out _), Is.False);
        time.Advance(TimeSpan.FromSeconds(9.9));
        Assert.That(throttle.TryPass(out _), Is.False);

        time.Advance(TimeSpan.FromSeconds(0.1));
        Assert.That((throttle.TryPass(out count), count), Is.EqualTo((true, 7)));
    }
}
