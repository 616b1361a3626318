using HeartbeatServer.Connections;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Connections;

/// <summary>The wheel with its own thread and the real clock: nothing here depends on how fast it is.</summary>
public sealed class TimingWheelThreadTests
{
    [Test]
    public async Task The_thread_calls_what_is_due_and_never_early()
    {
        using var wheel = new TimingWheel(TimeProvider.System, TimeSpan.FromSeconds(1));
        wheel.Start();
        TimeSpan due = wheel.Now + TimeSpan.FromMilliseconds(30);
        var entry = new Signal(due);

        wheel.Schedule(entry, due);

        Assert.That(await entry.Called.InTime(), Is.GreaterThanOrEqualTo(due));
    }

    [Test]
    public async Task The_thread_parks_without_entries_and_wakes_for_the_next()
    {
        using var wheel = new TimingWheel(TimeProvider.System, TimeSpan.FromSeconds(1));
        wheel.Start();
        for (int i = 0; i < 3; i++)
        {
            var entry = new Signal(wheel.Now);
            wheel.Schedule(entry, wheel.Now);
            await entry.Called.InTime();
            Assert.That(wheel.Count, Is.Zero);
        }
    }

    [Test]
    public void A_wheel_that_never_had_an_entry_can_be_disposed_of()
    {
        var wheel = new TimingWheel(TimeProvider.System, TimeSpan.FromSeconds(1));
        wheel.Start();

        // Dispose waits for the thread.
        Assert.That(Task.Run(wheel.Dispose).Wait(Safety.Limit), Is.True);
    }

    [Test]
    public async Task Many_threads_schedule_and_remove_while_it_turns()
    {
        const int threads = 4;
        const int each = 500;
        using var wheel = new TimingWheel(TimeProvider.System, TimeSpan.FromMilliseconds(200));
        wheel.Start();

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
