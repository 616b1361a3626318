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

    /// <summary>Where it waits; or <see cref="Loose"/>, not scheduled or being called; or <see cref="Removed"/>, for good.</summary>
    internal int Slot = Loose;

    /// <summary>Called at or after the due time, on the wheel's thread: it must not block.</summary>
    /// <param name="now">The time, as <see cref="TimingWheel.Now"/>.</param>
    /// <param name="stall">How late the wheel itself is; zero if it is on time.</param>
    /// <returns>When to call again; <see cref="TimeSpan.MaxValue"/> for never.</returns>
    protected internal abstract TimeSpan OnDue(TimeSpan now, TimeSpan stall);
}

/// <summary>
/// One hashed timing wheel (Varghese and Lauck 1987, scheme 6) for all connections of an event loop. A tick visits one slot and so costs what is due in
/// it. The wheel is as long as the longest regular period, so entries do not wait for a second round.
/// </summary>
internal sealed class TimingWheel
{
    /// <summary>One step of the wheel.</summary>
    public static readonly TimeSpan Tick = HeartbeatTimings.Shortest;

    /// <summary>When an entry whose call has thrown is called again: what was lacking may be there by then.</summary>
    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(1);

    private const int MaxSlots = 1 << 16;

    private readonly TimeProvider _time;
    private readonly Action<TimeSpan>? _onTick;
    private readonly WheelEntry?[] _slots;
    private readonly List<WheelEntry> _due = [];
    private readonly Lock _gate = new();
    private readonly Lock _turn = new();
    private long _lastTick;
    private TimeSpan _stall;
    private TimeSpan _stallEnd;

    /// <param name="time">The clock.</param>
    /// <param name="horizon">The longest regular period.</param>
    /// <param name="onTick">Told the <see cref="Lateness"/> of each tick, on the wheel's thread.</param>
    public TimingWheel(TimeProvider time, TimeSpan horizon, Action<TimeSpan>? onTick = null)
    {
        (_time, _onTick) = (time, onTick);
        long slots = Math.Clamp(horizon.Ticks / Tick.Ticks + 2, 64, MaxSlots);
        _slots = new WheelEntry?[System.Numerics.BitOperations.RoundUpToPowerOf2((uint)slots)];
        _lastTick = TickOf(Now);
    }

    /// <summary>Monotonic time, from an origin of no meaning.</summary>
    public TimeSpan Now => _time.GetElapsedTime(0);

    /// <summary>Entries that wait to be due.</summary>
    public int Count { get; private set; }

    /// <summary>How much later than it meant to the wheel woke up last; what it measures is our own process or machine.</summary>
    public TimeSpan Lateness { get; private set; }

    /// <summary>The worst <see cref="Lateness"/>.</summary>
    public TimeSpan MaxLateness { get; private set; }

    /// <summary>Called when there is an entry again: from here on <see cref="Advance"/> has to be called.</summary>
    public Action? Wanted { get; set; }

    /// <summary>Told of an exception that the call of an entry has thrown; the others are called all the same. Without it, the exception goes on.</summary>
    public Action<Exception>? Failed { get; set; }

    /// <summary>How long until <see cref="Advance"/> has a slot to visit, zero or less if it is late; null if there is no entry.</summary>
    public TimeSpan? UntilTick => Count == 0 ? null : ((_lastTick + 1) * Tick) - Now;

    /// <summary>Calls the entry at the first tick after <paramref name="due"/>, or when it is due already if that is earlier.</summary>
    public void Schedule(WheelEntry entry, TimeSpan due)
    {
        bool isFirst;
        lock (_gate)
        {
            if (entry.Slot == WheelEntry.Removed || due == TimeSpan.MaxValue || (entry.Slot >= 0 && entry.Due <= due))
                return;
            Unlink(entry);
            isFirst = Count == 0;
            if (isFirst)
                _lastTick = Math.Max(_lastTick, TickOf(Now) - 1); // there was nothing to be late for
            // The first tick that is not before the due time; never one that is over, which is not visited again this round.
            long tick = Math.Max((due.Ticks + Tick.Ticks - 1) / Tick.Ticks, _lastTick + 1);
            entry.Slot = SlotOf(tick);
            entry.Due = due;
            ref WheelEntry? first = ref _slots[entry.Slot];
            entry.Next = first;
            if (first is not null)
                first.Previous = entry;
            first = entry;
            Count++;
        }
        if (isFirst)
            Wanted?.Invoke();
    }

    /// <summary>Takes the entry out for good. A call in progress goes on.</summary>
    public void Remove(WheelEntry entry)
    {
        lock (_gate)
        {
            Unlink(entry);
            entry.Slot = WheelEntry.Removed;
        }
    }

    /// <summary>Visits the slots of all ticks since the last call. One thread after the other.</summary>
    public void Advance()
    {
        lock (_turn)
            Visit(Now);
    }

    private void Visit(TimeSpan now)
    {
        long tick = TickOf(now);
        lock (_gate)
        {
            if (Count == 0)
                _lastTick = Math.Max(_lastTick, tick); // nobody waited for it: no tick was missed
            if (tick <= _lastTick)
                return;
        }

        TimeSpan meant = (_lastTick + 1) * Tick;
        Lateness = now - meant;
        MaxLateness = Lateness > MaxLateness ? Lateness : MaxLateness;
        _onTick?.Invoke(Lateness);
        // Less than a tick is how timers are; more means that nobody was there.
        TimeSpan stall = Lateness > Tick ? Lateness : TimeSpan.Zero;
        (_stall, _stallEnd) = (stall, now);

        lock (_gate)
        {
            // After a stall longer than the wheel every slot is visited once.
            for (long t = Math.Max(_lastTick + 1, tick - _slots.Length + 1); t <= tick; t++)
                CollectDue(_slots[SlotOf(t)], now);
            _lastTick = tick;
        }
        foreach (WheelEntry entry in _due)
        {
            // One that was called before it may have removed it.
            if (Volatile.Read(ref entry.Slot) != WheelEntry.Removed)
                Schedule(entry, Call(entry, now, stall));
        }
        _due.Clear();
    }

    private TimeSpan Call(WheelEntry entry, TimeSpan now, TimeSpan stall)
    {
        try
        {
            return entry.OnDue(now, stall);
        }
#pragma warning disable CA1031 // The wheel calls all the others, too.
        catch (Exception e) when (Failed is not null)
#pragma warning restore CA1031
        {
            Failed(e);
            return now + RetryAfter;
        }
    }

    /// <summary>How long the wheel is away at this moment, or was until a tick ago; zero if it is on time.</summary>
    public TimeSpan StallAt(TimeSpan now)
    {
        TimeSpan away = now - ((_lastTick + 1) * Tick);
        return away > Tick ? away : now - _stallEnd <= Tick ? _stall : TimeSpan.Zero;
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
                _due.Add(entry); // first: without memory for it, the entry stays where it is
                Unlink(entry);
            }
            entry = next;
        }
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
