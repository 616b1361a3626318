using HeartbeatServer.Engine;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Engine;

/// <summary>The thread and the real clock: nothing here depends on how fast it is.</summary>
public sealed class EventLoopTests
{
    [Test]
    public async Task The_thread_calls_what_is_due_and_never_early()
    {
        var wheel = new TimingWheel(TimeProvider.System, TimeSpan.FromSeconds(1));
        using EventLoop loop = Started(wheel);
        TimeSpan due = wheel.Now + TimeSpan.FromMilliseconds(30);
        var entry = new Signal(due);

        wheel.Schedule(entry, due);

        Assert.That(await entry.Called.InTime(), Is.GreaterThanOrEqualTo(due));
    }

    [Test]
    public async Task The_thread_parks_without_entries_and_wakes_for_the_next()
    {
        var wheel = new TimingWheel(TimeProvider.System, TimeSpan.FromSeconds(1));
        using EventLoop loop = Started(wheel);
        for (int i = 0; i < 3; i++)
        {
            var entry = new Signal(wheel.Now);
            wheel.Schedule(entry, wheel.Now);
            await entry.Called.InTime();
            Assert.That(wheel.Count, Is.Zero);
        }
    }

    [Test]
    public void A_loop_that_never_had_anything_to_do_can_be_disposed_of([Values] bool started)
    {
        var loop = new EventLoop(new TimingWheel(TimeProvider.System, TimeSpan.FromSeconds(1)));
        if (started)
            loop.Start();

        // Dispose waits for the thread.
        Assert.That(Task.Run(loop.Dispose).Wait(Safety.Limit), Is.True);
    }

    [Test]
    public async Task A_loop_that_is_late_catches_up_without_being_woken()
    {
        var wheel = new TimingWheel(TimeProvider.System, TimeSpan.FromSeconds(1));
        using EventLoop loop = Started(wheel);
        var blocked = new ManualResetEventSlim();
        var blocking = new Blocking(blocked);
        wheel.Schedule(blocking, wheel.Now);
        await blocking.Called.InTime();
        var entry = new Signal(wheel.Now);
        wheel.Schedule(entry, wheel.Now + 3 * TimingWheel.Tick);

        // The loop's thread is held up for more than a few ticks; then it is on its own.
        while (wheel.UntilTick > -10 * TimingWheel.Tick)
            await Task.Yield();
        blocked.Set();

        await entry.Called.InTime();
    }

    [Test]
    public async Task Many_threads_schedule_and_remove_while_it_turns()
    {
        const int threads = 4;
        const int each = 500;
        var wheel = new TimingWheel(TimeProvider.System, TimeSpan.FromMilliseconds(200));
        using EventLoop loop = Started(wheel);

        Signal[][] all = await Task.WhenAll(Enumerable.Range(0, threads).Select(seed => Task.Run(() =>
        {
            var random = new Random(seed);
            var entries = new Signal[each];
            for (int i = 0; i < each; i++)
            {
                TimeSpan due = wheel.Now + TimeSpan.FromMilliseconds(random.Next(0, 300));
                entries[i] = new Signal(due);
                wheel.Schedule(entries[i], due + TimeSpan.FromMilliseconds(random.Next(0, 50)));
                wheel.Schedule(entries[i], due);
                if (random.Next(4) == 0)
                    wheel.Remove(entries[random.Next(i + 1)]);
            }
            return entries;
        })));

        Signal[] kept = [.. all.SelectMany(entries => entries).Where(entry => entry.Slot != WheelEntry.Removed)];
        await Task.WhenAll(kept.Select(entry => entry.Called)).InTime();
        await Safety.UntilAsync(() => wheel.Count == 0, "an empty wheel");
        Assert.That(kept.Select(entry => entry.Early), Is.All.False);
    }

    private static EventLoop Started(TimingWheel wheel)
    {
        var loop = new EventLoop(wheel);
        loop.Start();
        return loop;
    }

    /// <summary>Holds up the thread that calls it.</summary>
    private sealed class Blocking(ManualResetEventSlim until) : WheelEntry
    {
        private readonly TaskCompletionSource _called = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Called => _called.Task;

        protected internal override TimeSpan OnDue(TimeSpan now, TimeSpan stall)
        {
            _called.SetResult();
            until.Wait(Safety.Limit);
            return TimeSpan.MaxValue;
        }
    }

    private sealed class Signal(TimeSpan due) : WheelEntry
    {
        private readonly TaskCompletionSource<TimeSpan> _called = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<TimeSpan> Called => _called.Task;

        public bool Early { get; private set; }

        protected internal override TimeSpan OnDue(TimeSpan now, TimeSpan stall)
        {
            Early |= now < due;
            _called.TrySetResult(now);
            return TimeSpan.MaxValue;
        }
    }
}
