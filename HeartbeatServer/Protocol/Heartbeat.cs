using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace HeartbeatServer.Protocol;

/// <summary>What a heartbeat wants done.</summary>
internal enum HeartbeatStep
{
    /// <summary>Nothing before <see cref="Heartbeat.NextDue"/>.</summary>
    None,
    /// <summary>A ping is due: write it, then call <see cref="Heartbeat.PingWritten"/>.</summary>
    Ping,
    /// <summary>The last ping was not answered in time: call <see cref="Heartbeat.Strike"/>, unless the client could not be heard.</summary>
    Overdue,
}

/// <summary>When to ping, when a pong is missing, when the peer is dead. Time is passed in: any monotonic clock.</summary>
/// <remarks>
/// <code>
///   ping 1      ping 2      ping 3
///   |---timeout |---timeout |---timeout
///   |    strike 1    strike 2    strike 3: dead (max-missed 3)
/// </code>
/// Any byte between a ping and its deadline is a sign of life: no strike. Any byte at all clears the strikes.
/// </remarks>
internal sealed class Heartbeat
{
    private readonly HeartbeatTimings _timings;
    private TimeSpan _nextBeat;
    private TimeSpan _deadline = Never;

    // That of the last ping, while the ping before is not judged yet: with a timeout as long as the beat, or if that one was written late.
    private TimeSpan _deadlineAfter = Never;

    // When the last pings were written, by number: a pong may come after the next ping and still yields its true round trip.
    private SentTimes _sent;
    private RoundTrips _roundTrips;

    // Life since the last ping was written; and whether its deadline was moved.
    private bool _alive;
    private bool _forgiven;

    /// <param name="timings">As the user set them.</param>
    /// <param name="now">When the connection opened.</param>
    /// <param name="phase">
    /// 0 to 1: the part of a beat before the first ping. Random, so that a crowd that connected together does not beat together.
    /// </param>
    public Heartbeat(HeartbeatTimings timings, TimeSpan now, double phase)
    {
        _timings = timings;
        _nextBeat = timings.Ping == TimeSpan.Zero ? Never : now + timings.Ping * phase;
        LastReceived = now;
        _sent.Forget();
    }

    /// <summary>No time at all.</summary>
    public static TimeSpan Never => TimeSpan.MaxValue;

    /// <summary>When <see cref="Advance"/> has something to do if nothing else happens.</summary>
    public TimeSpan NextDue => _deadline < _nextBeat ? _deadline : _nextBeat;

    /// <summary>Number of the last ping that was written, from 1.</summary>
    public ulong Pings { get; private set; }

    /// <summary>Pongs that carried the number of a ping, late ones included.</summary>
    public int Pongs => _roundTrips.Count;

    /// <summary>Strikes in a row, now.</summary>
    public int Strikes { get; private set; }

    /// <summary>Strikes in all.</summary>
    public int Missed { get; private set; }

    /// <summary>Pongs that came after their deadline.</summary>
    public int Late { get; private set; }

    /// <summary>Pongs with another payload than one of our pings has: unsolicited, which is legal, or the answers of a client that does not copy the payload.</summary>
    public int OtherPongs { get; private set; }

    /// <summary>Whether the last pong came after its deadline.</summary>
    public bool LastPongLate { get; private set; }

    public TimeSpan LastReceived { get; private set; }

    public RoundTrips RoundTrips => _roundTrips;

    public bool IsDead => Strikes >= _timings.MaxMissed;

    /// <summary>The next thing to do at this time. Call it until it says <see cref="HeartbeatStep.None"/>.</summary>
    /// <param name="now">The time.</param>
    /// <param name="stall">
    /// How late we ourselves are at calling, zero if on time. A deadline that fell into the stall is moved by as much: nobody was there to
    /// see the pong.
    /// </param>
    public HeartbeatStep Advance(TimeSpan now, TimeSpan stall)
    {
        // Once for each ping: with a machine that stalls all the time, a dead client has to be found all the same.
        if (stall > TimeSpan.Zero && !_forgiven)
        {
            _forgiven = _deadline <= now;
            _deadline = Moved(_deadline, now, stall);
            _deadlineAfter = Moved(_deadlineAfter, now, stall);
        }

        // Judged before the next ping: with a timeout as long as the beat, both are due at once.
        while (_deadline <= now)
        {
            (_deadline, _deadlineAfter) = (_deadlineAfter, Never);
            if (!_alive)
                return HeartbeatStep.Overdue;
        }
        if (_nextBeat <= now)
        {
            // The beat is fixed. Beats that a stall swallowed are skipped, not made up for in a burst.
            do
                _nextBeat += _timings.Ping;
            while (_nextBeat <= now);
            return HeartbeatStep.Ping;
        }
        return HeartbeatStep.None;
    }

    /// <summary>A ping with the number <see cref="Pings"/> + 1 was handed to the socket.</summary>
    public void PingWritten(TimeSpan now)
    {
        Pings++;
        _sent[(int)(Pings % SentTimes.Length)] = now;
        TimeSpan deadline = _timings.Timeout == TimeSpan.Zero ? Never : now + _timings.Timeout;
        // Silence since the ping before is still to be judged; life has answered it.
        if (_deadline != Never && !_alive)
            _deadlineAfter = deadline;
        else
            _deadline = deadline;
        _alive = _forgiven = false;
    }

    /// <summary>Counts the strike of an overdue ping.</summary>
    /// <returns>The strikes in a row.</returns>
    public int Strike()
    {
        Missed++;
        return ++Strikes;
    }

    /// <summary>Bytes came, whatever they are.</summary>
    /// <returns>The strikes that this sign of life clears.</returns>
    public int BytesReceived(TimeSpan now)
    {
        LastReceived = now;
        _alive = true;
        int cleared = Strikes;
        Strikes = 0;
        return cleared;
    }

    /// <summary>A Pong frame came.</summary>
    /// <param name="payload">What it carries; ours are 8 bytes, big-endian (RFC 6455 section 5.5.3: the same as the ping's).</param>
    /// <param name="now">The time.</param>
    /// <param name="stall">How long we ourselves were away just now: a pong that waited for us is not late for that.</param>
    /// <param name="isLate">Whether it came after its deadline.</param>
    /// <returns>The round trip, or null for an unsolicited pong, which is legal and means nothing.</returns>
    public TimeSpan? PongReceived(ReadOnlySpan<byte> payload, TimeSpan now, TimeSpan stall, out bool isLate)
    {
        isLate = false;
        ulong number = payload.Length == sizeof(ulong) ? BinaryPrimitives.ReadUInt64BigEndian(payload) : 0;
        if (number == 0 || number > Pings)
        {
            OtherPongs++;
            return null;
        }
        if (Pings - number >= SentTimes.Length)
            return null;
        ref TimeSpan sent = ref _sent[(int)(number % SentTimes.Length)];
        if (sent == Never)
            return null;

        // A client can guess the number and answer before it was asked.
        TimeSpan roundTrip = now > sent ? now - sent : TimeSpan.Zero;
        sent = Never;
        isLate = _timings.Timeout > TimeSpan.Zero && roundTrip - stall > _timings.Timeout;
        if (number == Pings)
        {
            // A stall may have moved the deadline: then a long round trip is our fault.
            TimeSpan deadline = _deadlineAfter == Never ? _deadline : _deadlineAfter;
            isLate &= deadline == Never || now > deadline;
            _deadline = _deadlineAfter = Never;
        }
        LastPongLate = isLate;
        if (isLate)
            Late++;
        _roundTrips.Add(roundTrip);
        return roundTrip;
    }

    private static TimeSpan Moved(TimeSpan deadline, TimeSpan now, TimeSpan stall) =>
        deadline <= now && deadline > now - stall ? deadline + stall : deadline;

    [InlineArray(Length)]
    private struct SentTimes
    {
        public const int Length = 8;
        private TimeSpan _first;

        public void Forget() => ((Span<TimeSpan>)this).Fill(Never);
    }
}
