using HeartbeatServer.Engine;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Engine;

public sealed class TimingWheelTests
{
    private TestClock _clock = null!;
    private TimingWheel _wheel = null!;

    [SetUp]
    public void SetUp()
    {
        _clock = new TestClock(TimeSpan.FromSeconds(1));
        _wheel = _clock.Wheel;
    }

    [Test]
    public void An_entry_is_never_called_early_and_at_most_one_tick_late([Values(0, 1, 7, 8, 9, 15, 16, 500, 999, 1000)] int milliseconds)
    {
        // The wheel may start anywhere between two ticks.
        for (int offset = 0; offset < 8; offset++)
        {
            _clock.Advance(1);
            TimeSpan due = _clock.Now + TimeSpan.FromMilliseconds(milliseconds);
            var entry = new Entry();
            _wheel.Schedule(entry, due);

            for (int step = 0; step < milliseconds + 16; step++)
                _clock.Advance(1);

            Assert.That(entry.Calls, Has.Count.EqualTo(1));
            Assert.That(entry.Calls[0], Is.InRange(due, due + TimingWheel.Tick));
        }
    }

    [Test]
    public void An_entry_whose_time_is_over_is_called_at_the_next_tick()
    {
        _clock.Advance(100);
        var entry = new Entry();
        _wheel.Schedule(entry, _clock.Now - TimeSpan.FromSeconds(50));

        _clock.Advance(TimingWheel.Tick);

        Assert.That(entry.Calls, Has.Count.EqualTo(1));
        Assert.That(entry.Stall, Is.EqualTo(TimeSpan.Zero), "a wheel without entries is parked, not late");
    }

    [Test]
    public void Entries_are_called_in_the_order_in_which_they_are_due()
    {
        var order = new List<int>();
        foreach (int milliseconds in new[] { 300, 20, 999, 150, 40 })
            _wheel.Schedule(new Entry { Called = _ => order.Add(milliseconds) }, In(milliseconds));

        _clock.Advance(1100);

        Assert.That(order, Is.EqualTo(new[] { 20, 40, 150, 300, 999 }));
    }

    [Test]
    public void An_entry_beyond_the_horizon_waits_for_its_round()
    {
        var far = new Entry();
        var near = new Entry();
        TimeSpan due = In(60_000);
        _wheel.Schedule(far, due);
        _wheel.Schedule(near, In(500));

        _clock.Advance(59_992);
        Assert.That(far.Calls, Is.Empty);
        Assert.That(near.Calls, Has.Count.EqualTo(1));
        Assert.That(_wheel.Count, Is.EqualTo(1));

        _clock.Advance(16);
        Assert.That(far.Calls, Is.EqualTo(new[] { due }));
    }

    [Test]
    public void An_entry_can_be_moved_to_an_earlier_time()
    {
        var entry = new Entry();
        TimeSpan earlier = In(80);
        _wheel.Schedule(entry, In(800));
        _wheel.Schedule(entry, earlier);

        _clock.Advance(1000);

        Assert.That(entry.Calls, Is.EqualTo(new[] { earlier }));
        Assert.That(_wheel.Count, Is.Zero);
    }

    [Test]
    public void A_later_time_does_not_displace_an_earlier_one()
    {
        var entry = new Entry();
        TimeSpan earlier = In(80);
        _wheel.Schedule(entry, earlier);
        _wheel.Schedule(entry, In(800));

        _clock.Advance(1000);

        Assert.That(entry.Calls, Is.EqualTo(new[] { earlier }));
    }

    [Test]
    public void Never_is_not_scheduled()
    {
        var entry = new Entry();
        _wheel.Schedule(entry, TimeSpan.MaxValue);

        Assert.That(_wheel.Count, Is.Zero);
    }

    [Test]
    public void What_a_call_returns_is_its_next_time()
    {
        var beat = TimeSpan.FromMilliseconds(80);
        var entry = new Entry { Called = entry => entry.NextDue = entry.Calls[^1] + beat };
        TimeSpan first = In(80);
        _wheel.Schedule(entry, first);

        _clock.Advance(400);

        Assert.That(entry.Calls, Is.EqualTo(new[] { first, first + beat, first + 2 * beat, first + 3 * beat, first + 4 * beat }));
    }

    [Test]
    public void A_call_may_schedule_itself_and_others()
    {
        var other = new Entry();
        TimeSpan first = In(80);
        var entry = new Entry
        {
            NextDue = In(400),
            Called = entry =>
            {
                _wheel.Schedule(entry, In(160));
                _wheel.Schedule(other, In(8));
                entry.Called = null;
            },
        };
        _wheel.Schedule(entry, first);

        _clock.Advance(480);

        // The next call comes at the earlier of the scheduled and the returned time. The call after that comes at the returned time.
        Assert.That(entry.Calls[..2], Is.EqualTo(new[] { first, first + TimeSpan.FromMilliseconds(160) }));
        Assert.That(other.Calls, Is.EqualTo(new[] { first + TimeSpan.FromMilliseconds(8) }));
    }

    [Test]
    public void A_removed_entry_is_not_called_and_cannot_come_back()
    {
        var waiting = new Entry();
        var loose = new Entry();
        _wheel.Schedule(waiting, In(80));

        _wheel.Remove(waiting);
        _wheel.Remove(loose);
        _wheel.Schedule(waiting, In(80));
        _wheel.Schedule(loose, In(80));
        _clock.Advance(200);

        Assert.That(waiting.Calls, Is.Empty);
        Assert.That(loose.Calls, Is.Empty);
        Assert.That(_wheel.Count, Is.Zero);
    }

    [Test]
    public void An_entry_that_is_removed_while_it_is_called_does_not_come_back()
    {
        var entry = new Entry { Called = _wheel.Remove, NextDue = In(160) };
        _wheel.Schedule(entry, In(80));

        _clock.Advance(400);

        Assert.That(entry.Calls, Has.Count.EqualTo(1));
        Assert.That(_wheel.Count, Is.Zero);
    }

    [Test]
    public void An_entry_that_another_one_removes_in_the_same_tick_is_not_called()
    {
        Entry[] entries = [new(), new()];
        entries[0].Called = _ => _wheel.Remove(entries[1]);
        entries[1].Called = _ => _wheel.Remove(entries[0]);
        foreach (Entry entry in entries)
            _wheel.Schedule(entry, In(80));

        _clock.Advance(200);

        Assert.That(entries.Sum(entry => entry.Calls.Count), Is.EqualTo(1));
    }

    [Test]
    public void Entries_of_one_slot_are_unlinked_wherever_they_stand([Values(0, 1, 2)] int removed)
    {
        Entry[] entries = [new(), new(), new()];
        foreach (Entry entry in entries)
            _wheel.Schedule(entry, In(80));
        _wheel.Remove(entries[removed]);

        _clock.Advance(200);

        Assert.That(entries.Select(entry => entry.Calls.Count), Is.EqualTo(Enumerable.Range(0, 3).Select(i => i == removed ? 0 : 1)));
    }

    [Test]
    public void An_entry_that_throws_is_told_of_and_called_again_a_second_later()
    {
        var failures = new List<Exception>();
        _wheel.Failed = failures.Add;
        var error = new InvalidOperationException();
        var faulty = new Entry { Called = _ => throw error };
        Entry[] others = [new(), new()];
        TimeSpan due = In(80);
        _wheel.Schedule(others[0], due);
        _wheel.Schedule(faulty, due);
        _wheel.Schedule(others[1], due);

        _clock.Advance(80);
        Assert.That(others.Select(entry => entry.Calls.Count), Is.All.EqualTo(1));
        Assert.That(failures, Is.EqualTo(new[] { error }));

        faulty.Called = null;
        _clock.Advance(1000);
        Assert.That(faulty.Calls, Is.EqualTo(new[] { due, due + TimeSpan.FromSeconds(1) }));
        Assert.That(failures, Has.Count.EqualTo(1));
    }

    [Test]
    public void On_time_there_is_no_stall()
    {
        var entry = new Entry();
        _wheel.Schedule(entry, In(80));

        _clock.Advance(200);

        Assert.That(entry.Stall, Is.EqualTo(TimeSpan.Zero));
        Assert.That(_wheel.MaxLateness, Is.LessThan(TimingWheel.Tick));
    }

    [Test]
    public void A_stall_is_measured_and_told_to_those_who_were_due_in_it()
    {
        var entry = new Entry();
        var later = new Entry();
        _wheel.Schedule(entry, In(80));
        _wheel.Schedule(later, In(480));

        _clock.Stall(400);
        Assert.That(entry.Calls, Has.Count.EqualTo(1));
        Assert.That(_wheel.Lateness, Is.EqualTo(TimeSpan.FromMilliseconds(320)), "from the tick that was planned");
        Assert.That(entry.Stall, Is.EqualTo(_wheel.Lateness + TimingWheel.Tick), "the deadlines of that tick are in it");

        _clock.Advance(200);
        Assert.That(later.Stall, Is.EqualTo(TimeSpan.Zero), "the wheel is on time again");
        Assert.That(_wheel.Lateness, Is.LessThan(TimingWheel.Tick));
        Assert.That(_wheel.MaxLateness, Is.EqualTo(TimeSpan.FromMilliseconds(320)));
    }

    [Test]
    public void After_a_stall_longer_than_the_wheel_everybody_is_called_once()
    {
        Entry[] due = [.. Enumerable.Range(1, 100).Select(_ => new Entry())];
        for (int i = 0; i < due.Length; i++)
            _wheel.Schedule(due[i], In(37 * (i + 1)));
        var notYet = new Entry();
        _wheel.Schedule(notYet, In(3_600_008));

        _clock.Stall(3_600_000);

        Assert.That(due.Select(entry => entry.Calls.Count), Is.All.EqualTo(1));
        Assert.That(notYet.Calls, Is.Empty);
        _clock.Advance(8);
        Assert.That(notYet.Calls, Has.Count.EqualTo(1));
    }

    [Test]
    public void A_wheel_without_entries_is_parked_and_not_late()
    {
        var first = new Entry();
        _wheel.Schedule(first, In(80));
        _clock.Advance(80);

        // The loop's thread does not call Advance while the wheel is empty.
        _clock.Time.Advance(TimeSpan.FromMinutes(10));
        var second = new Entry();
        TimeSpan due = In(80);
        _wheel.Schedule(second, due);
        _clock.Advance(80);

        Assert.That(second.Calls, Is.EqualTo(new[] { due }));
        Assert.That(second.Stall, Is.EqualTo(TimeSpan.Zero));
        Assert.That(_wheel.MaxLateness, Is.LessThan(TimingWheel.Tick));
    }

    [Test]
    public void A_wheel_without_entries_that_is_called_is_not_late_either()
    {
        _clock.Stall(600_000);

        Assert.That(_wheel.MaxLateness, Is.EqualTo(TimeSpan.Zero));
        var entry = new Entry();
        _wheel.Schedule(entry, In(-300_000));
        _clock.Advance(8);
        Assert.That(entry.Calls, Has.Count.EqualTo(1));
        Assert.That(entry.Stall, Is.EqualTo(TimeSpan.Zero));
        Assert.That(_wheel.MaxLateness, Is.LessThan(TimingWheel.Tick));
    }

    [Test]
    public void The_wheel_sleeps_until_the_next_slot_that_is_not_empty()
    {
        Assert.That(_wheel.UntilTick, Is.Null);
        _wheel.Schedule(new Entry(), In(240));
        _wheel.Schedule(new Entry(), In(80));
        Assert.That(_wheel.UntilTick, Is.EqualTo(TimeSpan.FromMilliseconds(80)));

        _clock.Sleep(80);
        Assert.That(_wheel.UntilTick, Is.EqualTo(TimeSpan.FromMilliseconds(160)));
        _clock.Sleep(160);
        Assert.That(_wheel.UntilTick, Is.Null);
    }

    [Test]
    public void A_wheel_with_entries_wakes_up_every_32_ticks()
    {
        var entry = new Entry { Called = entry => entry.NextDue = In(10_000) };
        _wheel.Schedule(entry, In(80));
        int ticks = 0;

        while (entry.Calls.Count < 2)
        {
            _clock.Sleep((int)_wheel.UntilTick!.Value.TotalMilliseconds);
            ticks++;
        }

        Assert.That(ticks, Is.EqualTo(1 + Math.Ceiling(10_000.0 / 256)));
        Assert.That(_wheel.MaxLateness, Is.EqualTo(TimeSpan.Zero));
    }

    [Test]
    public void To_sleep_is_not_to_be_late()
    {
        var entry = new Entry();
        _wheel.Schedule(entry, In(200));
        _clock.Sleep(100);
        Assert.That(_wheel.StallAt(_clock.Now), Is.EqualTo(TimeSpan.Zero));

        _clock.Sleep(101);

        Assert.That(entry.Calls, Is.EqualTo(new[] { _clock.Now }));
        Assert.That(entry.Stall, Is.EqualTo(TimeSpan.Zero));
        Assert.That(_wheel.Lateness, Is.EqualTo(TimeSpan.FromMilliseconds(1)));
    }

    [Test]
    public void After_a_sleep_and_a_stall_only_the_stall_is_told()
    {
        var entry = new Entry();
        _wheel.Schedule(entry, In(200));

        _clock.Time.Advance(TimeSpan.FromMilliseconds(300));
        TimeSpan stall = TimeSpan.FromMilliseconds(100) + TimingWheel.Tick;
        Assert.That(_wheel.StallAt(_clock.Now), Is.EqualTo(stall));
        Assert.That(_wheel.UntilTick, Is.EqualTo(TimeSpan.FromMilliseconds(-100)));
        _wheel.Advance();

        Assert.That(entry.Stall, Is.EqualTo(stall));
        Assert.That(_wheel.StallAt(_clock.Now), Is.EqualTo(stall), "a pong that is read right after it");
        _clock.Time.Advance(TimingWheel.Tick + TimeSpan.FromMilliseconds(1));
        Assert.That(_wheel.StallAt(_clock.Now), Is.EqualTo(TimeSpan.Zero));
    }

    [Test]
    public void The_stall_covers_a_deadline_of_the_planned_tick_wherever_it_lies()
    {
        for (int offset = 0; offset < 8; offset++)
        {
            _clock.Advance(1);
            TimeSpan due = In(80);
            var entry = new Entry();
            _wheel.Schedule(entry, due);

            _clock.Stall(400);

            Assert.That(due, Is.GreaterThan(_clock.Now - entry.Stall));
            Assert.That(due, Is.LessThanOrEqualTo(_clock.Now));
        }
    }

    [Test]
    public void An_entry_before_the_planned_tick_wakes_the_sleeper()
    {
        int woken = 0;
        _wheel.Wanted = () => woken++;
        _wheel.Schedule(new Entry(), In(240));
        Assert.That(woken, Is.EqualTo(1));

        _wheel.Schedule(new Entry(), In(900));
        _wheel.Schedule(new Entry(), In(240));
        Assert.That(woken, Is.EqualTo(1), "the wheel wakes up before these anyway");

        _clock.Sleep(104);
        var sooner = new Entry();
        _wheel.Schedule(sooner, In(80));
        Assert.That(woken, Is.EqualTo(2));
        Assert.That(_wheel.UntilTick, Is.EqualTo(TimeSpan.FromMilliseconds(80)));
        _clock.Sleep(80);
        Assert.That(sooner.Calls, Has.Count.EqualTo(1));
        Assert.That(sooner.Stall, Is.EqualTo(TimeSpan.Zero));
    }

    [Test]
    public void An_overdue_entry_wakes_the_sleeper_at_once_and_is_no_stall()
    {
        _wheel.Schedule(new Entry(), In(240));
        _clock.Sleep(204);
        var overdue = new Entry();

        _wheel.Schedule(overdue, In(-300));
        _wheel.Advance();

        Assert.That(overdue.Calls, Is.EqualTo(new[] { _clock.Now }));
        Assert.That(overdue.Stall, Is.EqualTo(TimeSpan.Zero));
        Assert.That(_wheel.MaxLateness, Is.LessThan(TimingWheel.Tick));
    }

    [Test]
    public void An_entry_that_comes_during_a_stall_does_not_hide_it()
    {
        var entry = new Entry();
        _wheel.Schedule(entry, In(80));
        _clock.Time.Advance(TimeSpan.FromMilliseconds(480));

        _wheel.Schedule(new Entry(), In(-300));
        _wheel.Advance();

        Assert.That(_wheel.Lateness, Is.EqualTo(TimeSpan.FromMilliseconds(400)));
        Assert.That(entry.Stall, Is.EqualTo(TimeSpan.FromMilliseconds(408)));
    }

    [Test]
    public void A_call_that_schedules_others_wakes_nobody()
    {
        int woken = 0;
        var other = new Entry();
        _wheel.Schedule(new Entry { Called = _ => _wheel.Schedule(other, In(8)) }, In(80));
        _wheel.Wanted = () => woken++;

        _clock.Sleep(80);

        Assert.That(woken, Is.Zero, "the wheel is awake, and plans its next tick after the calls");
        Assert.That(_wheel.UntilTick, Is.EqualTo(TimeSpan.FromMilliseconds(8)));
        _clock.Sleep(8);
        Assert.That(other.Calls, Has.Count.EqualTo(1));
    }

    [Test]
    public void A_postponed_entry_is_called_at_the_later_time_only()
    {
        var entry = new Entry();
        _wheel.Schedule(entry, In(80));
        TimeSpan later = In(400);

        _wheel.Postpone(entry, later);
        _wheel.Postpone(entry, later - TimeSpan.FromMilliseconds(1));
        _clock.Advance(800);

        Assert.That(entry.Calls, Is.EqualTo(new[] { later }));
        Assert.That(_wheel.Count, Is.Zero);
    }

    [Test]
    public void A_postponed_entry_can_be_called_sooner_again()
    {
        var entry = new Entry();
        TimeSpan sooner = In(160);
        _wheel.Schedule(entry, In(80));
        _wheel.Postpone(entry, In(400));

        _wheel.Schedule(entry, sooner);
        _clock.Advance(800);

        Assert.That(entry.Calls, Is.EqualTo(new[] { sooner }));
    }

    [Test]
    public void An_entry_postponed_for_ever_does_not_wait_any_more()
    {
        var entry = new Entry();
        _wheel.Schedule(entry, In(80));

        _wheel.Postpone(entry, TimeSpan.MaxValue);

        Assert.That(_wheel.Count, Is.Zero);
        _clock.Advance(160);
        Assert.That(entry.Calls, Is.Empty);
    }

    [Test]
    public void An_entry_that_does_not_wait_is_not_postponed()
    {
        var loose = new Entry();
        var removed = new Entry();
        _wheel.Schedule(removed, In(80));
        _wheel.Remove(removed);

        _wheel.Postpone(loose, In(80));
        _wheel.Postpone(removed, In(80));

        Assert.That(_wheel.Count, Is.Zero);
        Assert.That(_wheel.UntilTick, Is.Not.Null, "the planned tick stays, finds nothing, and is the last one");
        _clock.Sleep(80);
        Assert.That(_wheel.UntilTick, Is.Null);
    }

    private TimeSpan In(int milliseconds) => _clock.Now + TimeSpan.FromMilliseconds(milliseconds);

    private sealed class Entry : WheelEntry
    {
        public List<TimeSpan> Calls { get; } = [];

        public TimeSpan Stall { get; private set; }

        /// <summary>The time that a call returns.</summary>
        public TimeSpan NextDue { get; set; } = TimeSpan.MaxValue;

        public Action<Entry>? Called { get; set; }

        protected internal override TimeSpan OnDue(TimeSpan now, TimeSpan stall)
        {
            Calls.Add(now);
            Stall = stall;
            Called?.Invoke(this);
            TimeSpan next = NextDue;
            return next > now ? next : TimeSpan.MaxValue;
        }
    }
}
