namespace HeartbeatServer.Probe;

/// <summary>What the campaign wants done now.</summary>
internal enum ProbeAct
{
    /// <summary>Open a connection with this number.</summary>
    Open,
    /// <summary>Send a ping on it.</summary>
    Ping,
    /// <summary>End it: it can say nothing new.</summary>
    Drop,
}

internal readonly record struct ProbeStep(ProbeAct Act, int Id);

/// <summary>
/// Decides which connections are opened, and when each of them pings, so that one silence, one age and one moment on the clock can be told apart. It is
/// given the time and what the connections see, and does nothing itself. Pure.
/// </summary>
internal sealed class Campaign
{
    /// <summary>The most connections at one time.</summary>
    public const int MostConnections = 24;

    /// <summary>The most connections in the whole run.</summary>
    private const int MostInAll = 72;

    private const int Silents = 3;
    private const int Controls = 2;
    private const int MostFailures = 3;

    /// <summary>When the silent connections begin: never together, so that a moment on the clock shows as three different silences.</summary>
    private static readonly TimeSpan[] SilentAt = [TimeSpan.Zero, TimeSpan.FromSeconds(3), TimeSpan.FromSeconds(7)];

    /// <summary>Between two connects.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(250);

    /// <summary>Before the next connect, if the server says that it is too busy and not for how long.</summary>
    private static readonly TimeSpan LongPause = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan ControlBeat = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan ControlPatience = TimeSpan.FromSeconds(10);

    /// <summary>Behind the last end, for others that belong to it.</summary>
    private static readonly TimeSpan Aftermath = TimeSpan.FromSeconds(1);

    /// <summary>How long a server that speaks by itself is listened to at least, and how often on each silent connection.</summary>
    private static readonly TimeSpan LongEnough = TimeSpan.FromSeconds(35);
    private const int OftenEnough = 4;

    private readonly List<Watched> _all;
    private readonly TimeSpan _start;
    private readonly TimeSpan _end;
    private readonly bool _answersPings;
    private int _lastId;
    private int _most = MostConnections;
    private int _failures;
    private TimeSpan _nextOpen;

    /// <param name="first">A connection that is open. It becomes a control.</param>
    /// <param name="start">The present time.</param>
    /// <param name="end">When it has to be over.</param>
    /// <param name="hasMessage">Whether each connection sends a message.</param>
    /// <param name="answersPings">Whether the server answers pings. The ladder has no use if it does not.</param>
    public Campaign(Watched first, TimeSpan start, TimeSpan end, bool hasMessage, bool answersPings)
    {
        _all = [first];
        _lastId = first.Id;
        (_start, _end, _nextOpen, _answersPings) = (start, end, start, answersPings);
        HasMessage = hasMessage;
    }

    /// <summary>The connections, those that ended included. One that was refused is not among them.</summary>
    public IReadOnlyList<Watched> All => _all;

    public Ladder Ladder { get; } = new();

    /// <summary>Whether each connection sends a message.</summary>
    public bool HasMessage { get; }

    /// <summary>Whether the server answers pings.</summary>
    public bool AnswersPings => _answersPings;

    /// <summary>When it began.</summary>
    public TimeSpan Start => _start;

    /// <summary>How many attempts to connect the server refused because it was too busy (429 or 503).</summary>
    public int Busy { get; private set; }

    /// <summary>How many attempts to connect failed for another reason.</summary>
    public int Failed { get; private set; }

    private bool CanOpen => _failures < MostFailures && _lastId < MostInAll && _all.Count(each => each.End is null) < _most;

    /// <summary>What is to be done now.</summary>
    public IReadOnlyList<ProbeStep> Advance(TimeSpan now)
    {
        List<ProbeStep> steps = [];
        foreach (Watched each in _all.Where(each => each.IsOpen && now >= DueOf(each)).ToArray())
        {
            if (IsLost(each, now))
                steps.Add(Lose(each, now));
            else if (each.Role == ProbeRole.Control || each.Pinged is null)
                steps.Add(Ping(each, now));
        }
        if (now >= _nextOpen && Wanted(now) is { } role)
        {
            var opened = new Watched(++_lastId, role);
            if (role == ProbeRole.Ladder)
                opened.Target = Ladder.Next(TimeSpan.Zero, _end - now, Taken())!.Value;
            _all.Add(opened);
            _nextOpen = now + Pause;
            steps.Add(new ProbeStep(ProbeAct.Open, opened.Id));
        }
        return steps;
    }

    /// <summary>When there is something to do again, if nothing happens until then.</summary>
    public TimeSpan Next(TimeSpan now)
    {
        IEnumerable<TimeSpan> due = _all.Where(each => each.IsOpen).Select(DueOf).Append(_end);
        if (Wanted(_nextOpen) is not null)
            due = due.Append(_nextOpen);
        if (Started(ProbeRole.Silent) is < Silents and var begun && CanOpen)
            due = due.Append(Later(_start + SilentAt[begun], _nextOpen));
        // Of what may be over, the campaign is asked then.
        TimeSpan afterEnds = _all.Max(each => each.Ended) + Aftermath;
        return (afterEnds > now ? due.Append(afterEnds) : due).Min();
    }

    public void Opened(int id, TimeSpan now)
    {
        _failures = 0;
        Of(id).Open(now);
    }

    /// <summary>A connection could not be made.</summary>
    /// <param name="id">Its number.</param>
    /// <param name="isBusy">Whether the server answered that it is too busy.</param>
    /// <param name="retryAfter">For how long, if it said so.</param>
    /// <param name="now">The present time.</param>
    /// <returns>What is to be done now.</returns>
    public IReadOnlyList<ProbeStep> Refused(int id, bool isBusy, TimeSpan? retryAfter, TimeSpan now)
    {
        Watched refused = Of(id);
        _all.Remove(refused);
        if (!isBusy)
        {
            Failed++;
            _failures++;
            _nextOpen = Later(_nextOpen, now + LongPause);
            BeSilentAlone();
            return [];
        }
        Busy++;
        _most = Math.Min(_most, _all.Count(each => each.End is null));
        _nextOpen = Later(_nextOpen, now + (retryAfter ?? LongPause));
        return MakeRoom(now);
    }

    /// <summary>A message of ours has left.</summary>
    public void Sent(int id, TimeSpan now) => Of(id).Sent(now);

    /// <summary>A ping was answered.</summary>
    /// <returns>What is to be done now.</returns>
    public IReadOnlyList<ProbeStep> Answered(int id, TimeSpan now)
    {
        Watched answered = Of(id);
        if (answered.End is not null)
            return [];
        bool isOfLadder = answered is { Role: ProbeRole.Ladder, Pinged: not null };
        TimeSpan silence = answered.Silence(now);
        answered.Answer(now);
        if (!isOfLadder)
            return [];
        Ladder.Pass(silence);
        // It begins its next silence at once. If no silence is left that fits in, it stays until the end, or until a limit shows that it can help to narrow.
        TimeSpan? next = Ladder.Next(TimeSpan.Zero, _end - now, Taken());
        if (next is null && Ladder.Upper is not null)
            return [Drop(answered, EndKind.Done, now)];
        answered.Target = next ?? Later(_end - now - Ladder.Patience, TimeSpan.FromSeconds(1));
        return [];
    }

    /// <summary>Bytes have come that are no answer to a ping. If they came into a silence, they show that it was no obstacle.</summary>
    public void Heard(int id, bool isPing, TimeSpan now)
    {
        Watched heard = Of(id);
        if (heard.End is not null)
            return;
        int before = heard.Heard;
        TimeSpan silence = heard.Silence(now);
        bool wasPinged = heard.Pinged is not null;
        heard.Hear(isPing, now);
        if (heard.Role != ProbeRole.Control && !wasPinged && heard.Heard > before)
            Ladder.Pass(silence);
    }

    /// <summary>A connection has ended by itself.</summary>
    public void Ended(int id, ProbeEnd end, TimeSpan now)
    {
        Watched ended = Of(id);
        if (ended.End is not null)
            return;
        ended.Finish(end, now);
        // It took the silence, and ended upon the first byte after it, as a NAT does whose entry is gone.
        if (ended is { Role: ProbeRole.Ladder, EndedInSilence: false })
            LoseSilence(ended, now);
    }

    /// <summary>The kernel's count of the segments that have come on a connection.</summary>
    public void Counted(int id, uint segments, TimeSpan now)
    {
        if (Of(id) is { IsOpen: true, Role: not ProbeRole.Control } counted)
            counted.Count(segments, now);
    }

    /// <summary>Whether nothing more can come out.</summary>
    public bool IsOver(TimeSpan now)
    {
        if (now >= _end)
            return true;
        Watched[] silents = [.. _all.Where(each => each.Role == ProbeRole.Silent)];
        bool isEverySilentBegun = silents.Length == Silents || !CanOpen;
        // The last silent one began 7 s after the first. Whatever a silence or an age brings about has happened to all of them.
        if (isEverySilentBegun && !Array.Exists(silents, each => each.End is null) && now - _all.Max(each => each.Ended) >= Aftermath)
            return true;
        return IsNarrowed(now) || IsAlwaysBroken(now, silents);
    }

    /// <summary>Gives the places of the ladder's longest silences, which have begun last, to the silents and controls that have not begun.</summary>
    private List<ProbeStep> MakeRoom(TimeSpan now)
    {
        int missing = Silents + Controls - Started(ProbeRole.Silent) - Started(ProbeRole.Control);
        List<ProbeStep> steps =
        [
            .. _all.Where(each => each is { Role: ProbeRole.Ladder, IsOpen: true }).OrderByDescending(each => each.Target).Take(missing).ToArray()
                .Select(each => Drop(each, EndKind.Done, now)),
        ];
        BeSilentAlone();
        return steps;
    }

    /// <summary>If there is to be no other connection, the one that there is says more when it is silent.</summary>
    private void BeSilentAlone()
    {
        if (!CanOpen && _all is [{ IsOpen: true } only])
            only.Role = ProbeRole.Silent;
    }

    /// <summary>Whether silences that end without a word are known as exactly as they can be.</summary>
    private bool IsNarrowed(TimeSpan now)
    {
        if (Ladder.Upper is not { } upper || Ladder.Lost < 2)
            return false;
        bool isUnderWay = _all.Exists(each => each.Role == ProbeRole.Ladder && each.End is null && each.Target < upper);
        bool isOutlived = _all.TrueForAll(each => each.Role != ProbeRole.Control || each.Age(now) > upper);
        return Ladder.IsNarrow && !isUnderWay && isOutlived;
    }

    /// <summary>Whether the server speaks so often that no silence comes about.</summary>
    private bool IsAlwaysBroken(TimeSpan now, Watched[] silents) =>
        now - _start >= LongEnough && Ladder.Upper is null && silents.Length > 0
        && Array.TrueForAll(silents, each => each.End is null && each.Heard >= OftenEnough);

    /// <summary>Which kind of connection is to be opened; null for none.</summary>
    private ProbeRole? Wanted(TimeSpan now)
    {
        if (!CanOpen || now >= _end)
            return null;
        int silents = Started(ProbeRole.Silent);
        if (silents < Silents && now >= _start + SilentAt[silents])
            return ProbeRole.Silent;
        if (silents > 0 && Started(ProbeRole.Control) < Controls)
            return ProbeRole.Control;
        // Where silence ends a connection with a word, the ladder has nothing to find.
        bool isTold = _all.Exists(each => each.Role != ProbeRole.Control && each.EndedInSilence);
        bool hasRoom = _all.Count(each => each.End is null) < _most - (Silents - silents);
        return silents > 0 && _answersPings && !isTold && hasRoom && Ladder.Next(TimeSpan.Zero, _end - now, Taken()) is not null ? ProbeRole.Ladder : null;
    }

    private int Started(ProbeRole role) => _all.Count(each => each.Role == role);

    private TimeSpan DueOf(Watched each) => each.Role switch
    {
        ProbeRole.Control when _answersPings && each.Pinged is { } ping => Earlier(each.LastPing + ControlBeat, ping + ControlPatience),
        ProbeRole.Control => each.LastPing + ControlBeat,
        ProbeRole.Ladder => each.Pinged is { } ping ? ping + Ladder.Patience : each.LastByte + each.Target,
        _ => TimeSpan.MaxValue,
    };

    private bool IsLost(Watched each, TimeSpan now) =>
        _answersPings && each.Pinged is { } ping && now - ping >= (each.Role == ProbeRole.Control ? ControlPatience : Ladder.Patience);

    private static ProbeStep Ping(Watched each, TimeSpan now)
    {
        each.Ping(now);
        return new ProbeStep(ProbeAct.Ping, each.Id);
    }

    private ProbeStep Lose(Watched each, TimeSpan now)
    {
        ProbeStep step = Drop(each, EndKind.Lost, now);
        if (each.Role == ProbeRole.Ladder)
            LoseSilence(each, now);
        return step;
    }

    private static ProbeStep Drop(Watched each, EndKind kind, TimeSpan now)
    {
        each.Finish(new ProbeEnd(kind), now);
        return new ProbeStep(ProbeAct.Drop, each.Id);
    }

    /// <summary>Sends those that are silent for longer than any of use into the gap, or lets them confirm it.</summary>
    private void LoseSilence(Watched lost, TimeSpan now)
    {
        Ladder.Lose(lost.Silence(now));
        if (Ladder.Upper is not { } upper)
            return;
        foreach (Watched each in _all.Where(each => each.Role == ProbeRole.Ladder && each is { IsOpen: true, Pinged: null } && each.Target >= upper)
            .OrderByDescending(each => each.Silence(now)).ToArray())
        {
            TimeSpan silence = each.Silence(now);
            each.Target = silence >= upper ? silence : Ladder.Next(silence, _end - now, Taken()) ?? upper;
        }
    }

    /// <summary>The silences that connections of the ladder are on their way to.</summary>
    private TimeSpan[] Taken() => [.. _all.Where(each => each is { Role: ProbeRole.Ladder, End: null }).Select(each => each.Target)];

    private Watched Of(int id) => _all.Find(each => each.Id == id)!;

    private static TimeSpan Later(TimeSpan one, TimeSpan other) => one > other ? one : other;

    private static TimeSpan Earlier(TimeSpan one, TimeSpan other) => one < other ? one : other;
}
