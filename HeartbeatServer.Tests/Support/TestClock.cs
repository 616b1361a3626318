using HeartbeatServer.Engine;
using Microsoft.Extensions.Time.Testing;

namespace HeartbeatServer.Tests.Support;

/// <summary>A clock that stands still until the test moves it, and the wheel that it drives.</summary>
internal sealed class TestClock
{
    public TestClock(TimeSpan? horizon = null) => Wheel = new TimingWheel(Time, horizon ?? TimeSpan.FromSeconds(10));

    /// <summary>
    /// The clock begins near zero, like that of a machine that has just started. TimeProvider counts in doubles, which are exact to a tick for 28
    /// years.
    /// </summary>
    public FakeTimeProvider Time { get; } = new(DateTimeOffset.MinValue + TimeSpan.FromDays(1));

    public TimingWheel Wheel { get; }

    public TimeSpan Now => Wheel.Now;

    /// <summary>Moves the time on, tick by tick. If the wheel were not called for longer than a tick, it might see a stall of its own.</summary>
    public void Advance(TimeSpan time)
    {
        // When the first entry comes into an empty wheel, a loop calls the wheel at once, and not a tick later. This call does the same.
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
    /// <param name="milliseconds">How far to move the time on.</param>
    public void Advance(int milliseconds) => Advance(TimeSpan.FromMilliseconds(milliseconds));

    /// <summary>Moves the time on, and calls the wheel only at the end, as a loop does that has slept until the planned tick.</summary>
    public void Sleep(int milliseconds) => Stall(milliseconds);

    /// <summary>Moves the time on without a tick, as during a garbage collection or while the machine is suspended.</summary>
    public void Stall(int milliseconds)
    {
        Time.Advance(TimeSpan.FromMilliseconds(milliseconds));
        Wheel.Advance();
    }
}
