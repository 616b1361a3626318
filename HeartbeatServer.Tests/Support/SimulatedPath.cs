using HeartbeatServer.Probe;

namespace HeartbeatServer.Tests.Support;

/// <summary>A path to a server, in a time that jumps from one event to the next. It does to connections what the test says.</summary>
internal sealed class SimulatedPath(int seed = 1)
{
    private readonly Random _random = new(seed);
    private readonly PriorityQueue<Action, (TimeSpan At, int Order)> _events = new();
    private readonly List<Connection> _connections = [];
    private Campaign _campaign = null!;
    private TimeSpan _now;
    private int _order;

    /// <summary>This silence ends a connection, so that it shows.</summary>
    public TimeSpan? Idle { get; init; }

    /// <summary>Up to so much later.</summary>
    public TimeSpan IdleSpread { get; init; }

    /// <summary>After a longer silence nothing passes, and nobody says so.</summary>
    public TimeSpan? Forgets { get; init; }

    /// <summary>This age ends a connection.</summary>
    public TimeSpan? Life { get; init; }

    /// <summary>How <see cref="Idle"/> and <see cref="Life"/> end it.</summary>
    public ProbeEnd End { get; init; } = new(EndKind.Fin);

    /// <summary>Each connection ends at a random age between the two.</summary>
    public (TimeSpan From, TimeSpan To)? Random { get; init; }

    /// <summary>All connections end at this moment.</summary>
    public TimeSpan? Restart { get; init; }

    /// <summary>The server pings so often.</summary>
    public TimeSpan? Beat { get; init; }

    /// <summary>So many connections are let in, and further ones get 503.</summary>
    public int Most { get; init; } = int.MaxValue;

    /// <summary>Whether the server answers pings.</summary>
    public bool Answers { get; init; } = true;

    /// <summary>The share of pings that are lost.</summary>
    public double Loss { get; init; }

    /// <summary>The kernel on the other side sends a segment of its own after so much silence, and again.</summary>
    public TimeSpan? KeepAlive { get; init; }

    public TimeSpan RoundTrip { get; init; } = TimeSpan.FromMilliseconds(20);

    /// <summary>Stops the campaign at this moment.</summary>
    public TimeSpan? Interrupt { get; init; }

    /// <summary>The most connections that were open at once.</summary>
    public int Peak { get; private set; }

    /// <summary>When each attempt to connect began.</summary>
    public List<TimeSpan> Attempts { get; } = [];

    /// <summary>How long the campaign took.</summary>
    public TimeSpan Took => _now;

    public Campaign Campaign => _campaign;

    /// <summary>Runs a whole campaign.</summary>
    /// <param name="seconds"><c>--for</c>.</param>
    /// <param name="hasMessage">Whether <c>--send</c> is given.</param>
    public Verdict Run(double seconds = 300, bool hasMessage = false)
    {
        var first = new Watched(1, ProbeRole.Control);
        first.Open(TimeSpan.Zero);
        _campaign = new Campaign(first, TimeSpan.Zero, TimeSpan.FromSeconds(seconds), hasMessage, Answers);
        Begin(1);
        if (Restart is { } restart)
            At(restart, () => _connections.ForEach(each => Finish(each, End)));
        if (KeepAlive is not null)
            At(TimeSpan.FromSeconds(1), Look);
        for (int turns = 0; !_campaign.IsOver(_now) && !(Interrupt <= _now); turns++)
        {
            Assert.That(turns, Is.LessThan(1_000_000), "the campaign turns without an end");
            Do(_campaign.Advance(_now));
            TimeSpan next = _campaign.Next(_now);
            if (_events.TryPeek(out _, out (TimeSpan At, int Order) first1) && first1.At <= next)
            {
                Action action = _events.Dequeue();
                _now = first1.At;
                action();
            }
            else
            {
                _now = next;
            }
        }
        return Judgement.Of(_campaign, _now);
    }

    /// <summary>The verdict in words.</summary>
    public string Say(Verdict verdict) => VerdictText.Of(verdict, _campaign);

    private void Do(IEnumerable<ProbeStep> steps)
    {
        foreach (ProbeStep step in steps)
        {
            switch (step.Act)
            {
                case ProbeAct.Open:
                    Attempts.Add(_now);
                    At(_now + RoundTrip, () => Admit(step.Id));
                    break;
                case ProbeAct.Ping:
                    Pass(_connections.Single(each => each.Id == step.Id));
                    break;
                default:
                    _connections.Single(each => each.Id == step.Id).IsOver = true;
                    break;
            }
        }
    }

    private void Admit(int id)
    {
        if (_connections.Count(each => !each.IsOver) >= Most)
        {
            Do(_campaign.Refused(id, isBusy: true, retryAfter: null, _now));
            return;
        }
        _campaign.Opened(id, _now);
        Begin(id);
    }

    private void Begin(int id)
    {
        var connection = new Connection(id) { LastByte = _now };
        _connections.Add(connection);
        Peak = Math.Max(Peak, _connections.Count(each => !each.IsOver));
        if (Life is { } life)
            At(_now + life, () => Finish(connection, End));
        if (Random is { } random)
            At(_now + random.From + ((random.To - random.From) * _random.NextDouble()), () => Finish(connection, End));
        if (Beat is { } beat)
            At(_now + beat, () => Ping(connection, beat));
        WatchSilence(connection);
    }

    private void WatchSilence(Connection connection)
    {
        if (Idle is not { } idle)
            return;
        TimeSpan since = connection.LastByte;
        At(since + idle + (IdleSpread * _random.NextDouble()), () =>
        {
            if (connection.LastByte == since)
                Finish(connection, End);
        });
    }

    private void Ping(Connection connection, TimeSpan beat)
    {
        if (connection.IsOver)
            return;
        if (Touch(connection))
            _campaign.Heard(connection.Id, isPing: true, _now);
        At(_now + beat, () => Ping(connection, beat));
    }

    private void Pass(Connection connection)
    {
        bool isLost = _random.NextDouble() < Loss;
        if (!Touch(connection) || isLost || !Answers)
            return;
        At(_now + RoundTrip, () =>
        {
            if (!connection.IsOver && Touch(connection))
                Do(_campaign.Answered(connection.Id, _now));
        });
    }

    /// <summary>Sends a byte.</summary>
    /// <returns>Whether it passes.</returns>
    private bool Touch(Connection connection)
    {
        connection.IsForgotten |= Forgets is { } limit && _now - connection.LastByte > limit;
        if (connection.IsForgotten)
            return false;
        connection.LastByte = _now;
        WatchSilence(connection);
        return true;
    }

    private void Finish(Connection connection, ProbeEnd end)
    {
        connection.IsForgotten |= Forgets is { } limit && _now - connection.LastByte > limit;
        if (connection.IsOver || connection.IsForgotten)
            return;
        connection.IsOver = true;
        _campaign.Ended(connection.Id, end, _now);
    }

    private void Look()
    {
        foreach (Connection each in _connections.Where(each => !each.IsOver))
            _campaign.Counted(each.Id, 10 + (uint)((_now - each.LastByte) / KeepAlive!.Value), _now);
        At(_now + TimeSpan.FromSeconds(1), Look);
    }

    private void At(TimeSpan time, Action action) => _events.Enqueue(action, (time, _order++));

    private sealed class Connection(int id)
    {
        public int Id { get; } = id;
        public TimeSpan LastByte { get; set; }
        public bool IsForgotten { get; set; }
        public bool IsOver { get; set; }
    }
}
