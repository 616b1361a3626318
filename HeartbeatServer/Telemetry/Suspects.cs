namespace HeartbeatServer.Telemetry;

/// <summary>Many clients that were silent together, and came back together.</summary>
/// <param name="From">When their silence began.</param>
/// <param name="To">When half of them were back, or gone; null while they are silent.</param>
/// <param name="Clients">How many were silent at one moment, at most.</param>
/// <param name="Connections">How many were open then.</param>
/// <param name="Cut">How many of them ended meanwhile.</param>
internal sealed record Stall(TimeSpan From, TimeSpan? To, int Clients, int Connections, int Cut);

/// <summary>
/// Knows which clients are silent now: they missed their last pong. When many are silent together it notes a stall. Any thread may tell it; the time
/// is passed in.
/// </summary>
/// <param name="connections">How many connections are open. It is called under the lock.</param>
internal sealed class Suspects(Func<int> connections)
{
    /// <summary>So many stalls are remembered.</summary>
    private const int Remembered = 100;

    /// <summary>For so long a stall that is over is told.</summary>
    public static readonly TimeSpan StallIsNews = TimeSpan.FromMinutes(5);

    /// <summary>A shorter silence is told only when it is over: it may be a slow path, whose clients come and go.</summary>
    private static readonly TimeSpan LeastSoFar = TimeSpan.FromSeconds(2);

    private readonly Lock _gate = new();

    // By the number of the connection: when the ping that it did not answer was sent.
    private readonly Dictionary<long, TimeSpan> _silent = [];
    private readonly Queue<Crowd> _stalls = new();

    /// <summary>Those that are silent together now, or were the last time; null if many never were.</summary>
    private Crowd? _crowd;

    /// <summary>Whether few were silent after the crowd. The next many are another one.</summary>
    private bool _isDispersed = true;

    /// <summary>How many clients are silent now.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
                return _silent.Count;
        }
    }

    /// <summary>A client has not answered a ping.</summary>
    /// <param name="id">The number of its connection.</param>
    /// <param name="pinged">When the ping was sent.</param>
    public void Add(long id, TimeSpan pinged)
    {
        lock (_gate)
        {
            _silent[id] = pinged;
            int open = connections();
            if (_isDispersed && AreMany(open))
                (_crowd, _isDispersed) = (new Crowd([.. _silent.Values]), false);
            else if (_crowd is { IsOver: false, IsSlowPath: false })
                _crowd.Pinged.Add(pinged);
            if (_crowd is { IsOver: false } && _silent.Count > _crowd.Clients)
                (_crowd.Clients, _crowd.Connections) = (_silent.Count, Math.Max(open, _silent.Count));
        }
    }

    /// <summary>A client that may have been silent has answered, or is gone.</summary>
    /// <param name="id">The number of its connection.</param>
    /// <param name="isBack">Whether it has answered.</param>
    /// <param name="now">The present time.</param>
    public void Remove(long id, bool isBack, TimeSpan now)
    {
        lock (_gate)
        {
            if (!_silent.Remove(id, out TimeSpan pinged) || _crowd is not { } crowd)
                return;
            if (isBack)
                crowd.Back++;
            else if (crowd.To is not { } to || (pinged >= crowd.From && pinged <= to))
                crowd.Cut++;
            // On a slow path each client is silent for a moment, and then another one. Those that stall together come back together.
            crowd.IsSlowPath |= !crowd.IsOver && crowd.Back > crowd.Clients;
            if (!crowd.IsOver && _silent.Count <= crowd.Clients / 2)
            {
                crowd.End(now);
                if (!crowd.IsSlowPath)
                {
                    if (_stalls.Count == Remembered)
                        _stalls.Dequeue();
                    _stalls.Enqueue(crowd);
                }
            }
            _isDispersed |= crowd.IsOver && !AreMany(connections());
        }
    }

    /// <summary>The stalls that are news, and the one that goes on. Those that are no news any more are forgotten.</summary>
    /// <param name="now">The present time.</param>
    public IReadOnlyList<Stall> Stalls(TimeSpan now)
    {
        var stalls = new List<Stall>();
        TimeSpan[] pinged;
        (int clients, int open, int cut) = (0, 0, 0);
        lock (_gate)
        {
            while (_stalls.TryPeek(out Crowd? first) && now - first.To > StallIsNews)
                _stalls.Dequeue();
            stalls.AddRange(_stalls.Select(crowd => crowd.Stall));
            if (_crowd is not { IsOver: false, IsSlowPath: false } crowd)
                return stalls;
            pinged = [.. crowd.Pinged];
            (clients, open, cut) = (crowd.Clients, crowd.Connections, crowd.Cut);
        }
        // They may be very many. The threads that serve the others do not wait until they are sorted.
        TimeSpan from = Beginning(pinged);
        if (now - from >= LeastSoFar)
            stalls.Add(new Stall(from, null, clients, open, cut));
        return stalls;
    }

    /// <summary>
    /// When a silence began. Pings leave at even distances, so from the first that was missed to the tenth part of them it is a quarter of the time from
    /// there to the half. A client that was silent before does not count so.
    /// </summary>
    private static TimeSpan Beginning(TimeSpan[] pinged)
    {
        Array.Sort(pinged);
        TimeSpan tenth = pinged[pinged.Length / 10];
        TimeSpan first = tenth - ((pinged[pinged.Length / 2] - tenth) / 4);
        return first > pinged[0] ? first : pinged[0];
    }

    private bool AreMany(int open) => _silent.Count >= Math.Max(EndEvents.Least, EndEvents.LeastShare * open);

    private sealed class Crowd(List<TimeSpan> pinged)
    {
        /// <summary>When the pings were sent that these clients did not answer.</summary>
        public List<TimeSpan> Pinged { get; private set; } = pinged;
        public TimeSpan? To { get; private set; }
        public int Clients { get; set; }
        public int Connections { get; set; }
        public int Back { get; set; }
        public int Cut { get; set; }
        public bool IsSlowPath { get; set; }
        public bool IsOver => To is not null;

        /// <summary>When the silence of a crowd began that is over.</summary>
        public TimeSpan From { get; private set; }

        /// <summary>The crowd is over.</summary>
        public Stall Stall => new(From, To, Clients, Connections, Cut);

        public void End(TimeSpan now)
        {
            From = Beginning([.. Pinged]);
            To = now;
            Pinged = [];
        }
    }
}
