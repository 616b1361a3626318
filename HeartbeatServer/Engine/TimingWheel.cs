using HeartbeatServer.Protocol;

namespace HeartbeatServer.Engine;

/// <summary>Something that a <see cref="TimingWheel"/> calls when it is due.</summary>
internal abstract class WheelEntry
{
    internal const int Loose = -1;
    internal const int Removed = -2;

    internal WheelEntry? Next;
    internal WheelEntry? Previous;
    internal TimeSpan Due;

    /// <summary>
    /// The slot in which the entry waits; <see cref="Loose"/> while it is not scheduled or is being called; <see cref="Removed"/> for good.
    /// </summary>
    internal int Slot = Loose;

    /// <summary>The wheel calls this at or after the due time, on its own thread. The call must not block.</summary>
    /// <param name="now">The present time, on the clock of <see cref="TimingWheel.Now"/>.</param>
    /// <param name="stall">How late the wheel itself is; zero if it is on time.</param>
    /// <returns>When the wheel is to call again; <see cref="TimeSpan.MaxValue"/> for never.</returns>
    protected internal abstract TimeSpan OnDue(TimeSpan now, TimeSpan stall);
}

/// <summary>
/// One hashed timing wheel (Varghese and Lauck 1987, scheme 6) for all connections of an event loop. A tick visits one slot, so its cost depends
/// only on the entries in this slot. The wheel is as long as the longest regular period, so entries do not wait for a second round.
/// </summary>
/// <remarks>
/// The wheel plans its next tick: the first one whose slot is not empty. Its thread may sleep until then. So a sleep is no stall, and the wheel is
/// late only when it comes after the planned tick. A wheel with entries does not sleep for longer than <see cref="LongestSleep"/>, because it knows
/// only by its ticks since when it was away.
/// </remarks>
internal sealed class TimingWheel
{
    /// <summary>The time of one step of the wheel.</summary>
    public static readonly TimeSpan Tick = HeartbeatTimings.Shortest;

    /// <summary>How long after an exception an entry is called again. The memory that was lacking may be there by then.</summary>
    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(1);

    private const int MaxSlots = 1 << 16;

    /// <summary>The most ticks from one planned tick to the next: 256 ms. A stall is measured to that, and an idle connection costs 4 wake-ups a second.</summary>
    private const int LongestSleep = 32;

    /// <summary>The planned tick of a wheel without entries.</summary>
    private const long NoTick = long.MaxValue;

    private readonly TimeProvider _time;
    private readonly Action<TimeSpan>? _onTick;
    private readonly WheelEntry?[] _slots;
    private readonly List<WheelEntry> _due = [];
    private readonly Lock _gate = new();
    private readonly Lock _turn = new();

    // All slots of the ticks between the last tick and the planned one are empty.
    private long _lastTick;
    private long _plannedTick = NoTick;
    private TimeSpan _stall;
    private TimeSpan _stallEnd;

    /// <param name="time">The clock.</param>
    /// <param name="horizon">The longest regular period of an entry.</param>
    /// <param name="onTick">Called at each tick with its <see cref="Lateness"/>, on the wheel's thread.</param>
    public TimingWheel(TimeProvider time, TimeSpan horizon, Action<TimeSpan>? onTick = null)
    {
        (_time, _onTick) = (time, onTick);
        long slots = Math.Clamp(horizon.Ticks / Tick.Ticks + 2, 64, MaxSlots);
        _slots = new WheelEntry?[System.Numerics.BitOperations.RoundUpToPowerOf2((uint)slots)];
        _lastTick = TickOf(Now);
    }

    /// <summary>The monotonic time since an arbitrary origin.</summary>
    public TimeSpan Now => _time.GetElapsedTime(0);

    /// <summary>How many entries wait for their due time.</summary>
    public int Count { get; private set; }

    /// <summary>How much later than planned the wheel woke up last. A large value means that our own process or machine was slow.</summary>
    public TimeSpan Lateness { get; private set; }

    /// <summary>The largest <see cref="Lateness"/> since the start.</summary>
    public TimeSpan MaxLateness { get; private set; }

    /// <summary>Called when an entry is due before the planned tick. <see cref="UntilTick"/> is shorter from then on.</summary>
    public Action? Wanted { get; set; }

    /// <summary>
    /// Called with an exception that the call of an entry has thrown. The wheel then calls the other entries all the same. With null the
    /// exception goes on to the caller of <see cref="Advance"/>.
    /// </summary>
    public Action<Exception>? Failed { get; set; }

    /// <summary>The time until the planned tick, at which <see cref="Advance"/> is to be called; zero or less if the wheel is late; null if there is none.</summary>
    public TimeSpan? UntilTick => Volatile.Read(ref _plannedTick) is var tick and not NoTick ? (tick * Tick) - Now : null;

    /// <summary>
    /// Calls the entry at the first tick after <paramref name="due"/>. An entry that is already scheduled for an earlier time keeps that time.
    /// </summary>
    public void Schedule(WheelEntry entry, TimeSpan due)
    {
        bool isSooner;
        lock (_gate)
        {
            if (entry.Slot == WheelEntry.Removed || due == TimeSpan.MaxValue || (entry.Slot >= 0 && entry.Due <= due))
                return;
            Unlink(entry);
            long tick = TickFor(due);
            isSooner = tick < _plannedTick;
            if (isSooner)
            {
                long present = TickOf(Now);
                tick = Math.Min(Math.Max(tick, present), _plannedTick); // a wheel that sleeps has missed no tick until now
                _plannedTick = Math.Min(tick, present + LongestSleep);
            }
            Link(entry, due, tick);
        }
        if (isSooner)
            Wanted?.Invoke();
    }

    /// <summary>
    /// Moves an entry that waits to a later time. An entry that does not wait, or waits for a later time already, stays as it is. The caller makes
    /// sure that nothing else wants the entry to be called before <paramref name="due"/>.
    /// </summary>
    public void Postpone(WheelEntry entry, TimeSpan due)
    {
        lock (_gate)
        {
            if (entry.Slot < 0 || due <= entry.Due)
                return;
            Unlink(entry);
            if (due != TimeSpan.MaxValue)
                Link(entry, due, TickFor(due));
        }
    }

    /// <summary>Takes the entry out for good. A call of the entry that is in progress goes on.</summary>
    public void Remove(WheelEntry entry)
    {
        lock (_gate)
        {
            Unlink(entry);
            entry.Slot = WheelEntry.Removed;
        }
    }

    /// <summary>Visits the slots of all ticks since the last call. Threads that call this at the same time take turns.</summary>
    public void Advance()
    {
        lock (_turn)
            Visit(Now);
    }

    private void Visit(TimeSpan now)
    {
        long tick = TickOf(now);
        long planned = Volatile.Read(ref _plannedTick);
        if (tick < planned)
            return;

        Lateness = now - (planned * Tick);
        MaxLateness = Lateness > MaxLateness ? Lateness : MaxLateness;
        _onTick?.Invoke(Lateness);
        TimeSpan stall = StallSince(planned, now);
        (_stall, _stallEnd) = (stall, now);

        lock (_gate)
        {
            // After a stall longer than the wheel every slot is visited once.
            for (long t = Math.Max(_plannedTick, tick - _slots.Length + 1); t <= tick; t++)
                CollectDue(_slots[SlotOf(t)], now);
            _lastTick = tick;
        }
        foreach (WheelEntry entry in _due)
        {
            // An entry that was called earlier in this loop may have removed this one.
            if (Volatile.Read(ref entry.Slot) != WheelEntry.Removed)
                Schedule(entry, Call(entry, now, stall));
        }
        _due.Clear();
        lock (_gate)
            _plannedTick = NextTick();
    }

    private TimeSpan Call(WheelEntry entry, TimeSpan now, TimeSpan stall)
    {
        try
        {
            return entry.OnDue(now, stall);
        }
#pragma warning disable CA1031 // The wheel goes on and calls all other entries.
        catch (Exception e) when (Failed is not null)
#pragma warning restore CA1031
        {
            Failed(e);
            return now + RetryAfter;
        }
    }

    /// <summary>How late the wheel is at this moment, or was until at most a tick ago; zero if it is on time.</summary>
    public TimeSpan StallAt(TimeSpan now)
    {
        long planned = Math.Max(Volatile.Read(ref _plannedTick), _lastTick + 1);
        TimeSpan stall = planned == NoTick ? TimeSpan.Zero : StallSince(planned, now);
        return stall > TimeSpan.Zero ? stall : now - _stallEnd <= Tick ? _stall : TimeSpan.Zero;
    }

    /// <summary>How long the wheel was away, if it comes now and not at the planned tick.</summary>
    private static TimeSpan StallSince(long planned, TimeSpan now)
    {
        // Timers are always a little late. More than a tick means that this thread was held up. Nobody knows since when. But the deadlines that the
        // planned tick was to judge are over since the tick before, and they fall into the stall.
        TimeSpan lateness = now - (planned * Tick);
        return lateness > Tick ? lateness + Tick : TimeSpan.Zero;
    }

    /// <summary>The first tick that is not before the due time. It is never a past tick, because the wheel visits that slot only in its next round.</summary>
    private long TickFor(TimeSpan due) => Math.Max((due.Ticks + Tick.Ticks - 1) / Tick.Ticks, _lastTick + 1);

    /// <summary>The first tick after the last one whose slot is not empty, if the wheel may sleep until then.</summary>
    private long NextTick()
    {
        if (Count == 0)
            return NoTick;
        long tick = _lastTick + 1;
        while (_slots[SlotOf(tick)] is null && tick < _lastTick + LongestSleep)
            tick++;
        return tick;
    }

    private static long TickOf(TimeSpan time) => time.Ticks / Tick.Ticks;

    private int SlotOf(long tick) => (int)(tick & (_slots.Length - 1));

    private void CollectDue(WheelEntry? entry, TimeSpan now)
    {
        while (entry is not null)
        {
            WheelEntry? next = entry.Next;
            if (entry.Due <= now)
            {
                _due.Add(entry); // comes first: if memory is lacking for the list, the entry stays in its slot
                Unlink(entry);
            }
            entry = next;
        }
    }

    private void Link(WheelEntry entry, TimeSpan due, long tick)
    {
        (entry.Slot, entry.Due) = (SlotOf(tick), due);
        ref WheelEntry? first = ref _slots[entry.Slot];
        entry.Next = first;
        if (first is not null)
            first.Previous = entry;
        first = entry;
        Count++;
    }

    private void Unlink(WheelEntry entry)
    {
        if (entry.Slot < 0)
            return;
        if (entry.Next is not null)
            entry.Next.Previous = entry.Previous;
        if (entry.Previous is not null)
            entry.Previous.Next = entry.Next;
        else
            _slots[entry.Slot] = entry.Next;
        (entry.Next, entry.Previous, entry.Slot) = (null, null, WheelEntry.Loose);
        Count--;
    }
}
