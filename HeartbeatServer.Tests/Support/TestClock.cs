using HeartbeatServer.Engine;
using Microsoft.Extensions.Time.Testing;

namespace HeartbeatServer.Tests.Support;

/// <summary>A clock that stands still until the test moves it, and the wheel that it drives.</summary>
internal sealed class TestClock
{
    public TestClock(TimeSpan? horizon = null) => Wheel = new TimingWheel(Time, horizon ?? TimeSpan.FromSeconds(10));

    /// <summary>Begins near zero, as a machine's clock since its start: TimeProvider counts in doubles, which are exact to a tick for 28 years.</summary>
    public FakeTimeProvider Time { get; } = new(DateTimeOffset.MinValue + TimeSpan.FromDays(1));

    public TimingWheel Wheel { get; }

    public TimeSpan Now => Wheel.Now;

    /// <summary>Moves time on, tick by tick: a wheel that is not called for longer takes that for a stall of its own, and rightly.</summary>
    public void Advance(TimeSpan time)
    {
        // The thread of a wheel that was parked wakes up at once, not a tick later.
        Wheel.Advance();
        while (time > TimeSpan.Zero)
        {
            TimeSpan step = time < TimingWheel.Tick ? time : TimingWheel.Tick;
            Time.Advance(step);
            Wheel.Advance();
            time -= step;
        }
    }

    /// <inheritdoc cref="Advance(TimeSpan)"/>
    /// <param name="milliseconds">Time to move on.</param>
    public void Advance(int milliseconds) => Advance(TimeSpan.FromMilliseconds(milliseconds));

    /// <summary>Nobody is there for so long: a collection, a suspended machine.</summary>
    public void Stall(int milliseconds)
    {
        Time.Advance(TimeSpan.FromMilliseconds(milliseconds));
        Wheel.Advance();
    }
}
