using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace HeartbeatServer.Protocol;

/// <summary>What the heartbeat wants the connection to do.</summary>
internal enum HeartbeatStep
{
    /// <summary>There is nothing to do before <see cref="Heartbeat.NextDue"/>.</summary>
    None,
    /// <summary>
    /// A ping is due. The connection writes it, and then calls <see cref="Heartbeat.PingWritten"/>; or holds it back, and calls
    /// <see cref="Heartbeat.PingHeld"/>.
    /// </summary>
    Ping,
    /// <summary>
    /// No sign of life came in time after a ping. The connection calls <see cref="Heartbeat.Strike"/>, unless the server could not have read an
    /// answer.
    /// </summary>
    Overdue,
}

/// <summary>
/// Decides when to ping, when a pong is missing and when the peer is dead. The caller passes the time in, from any monotonic clock.
/// </summary>
/// <remarks>
/// <code>
///   ping 1      ping 2      ping 3
///   |---timeout |---timeout |---timeout
///   |    strike 1    strike 2    strike 3: dead (max-missed 3)
/// </code>
/// Any byte between a ping and its deadline is a sign of life, and prevents the strike. Any byte at any time clears the strikes.
/// </remarks>
internal sealed class Heartbeat
{
    private readonly HeartbeatTimings _timings;
    private TimeSpan _nextBeat;
    private TimeSpan _deadline = Never;

    // The deadline of the last ping while the ping before it is not judged yet. That happens when the timeout is as long as the time between two
    // pings, or when the ping before was written late.
    private TimeSpan _deadlineAfter = Never;

    // When the last pings were written, by number. So a pong that comes after the next ping still gives its true round trip.
    private SentTimes _sent;
    private RoundTrips _roundTrips;

    // Whether any byte came since the last ping was written or held back, and whether a stall has moved its deadline.
    private bool _alive;
    private bool _forgiven;

    // Whether the last ping was held back, so that the deadline is not that of the ping with the last number.
    private bool _isHeld;

    /// <param name="timings">The timings that the user has set.</param>
    /// <param name="now">When the connection opened.</param>
    /// <param name="firstPing">When the first ping is due: <see cref="HeartbeatTimings.FirstPing"/>.</param>
    public Heartbeat(HeartbeatTimings timings, TimeSpan now, TimeSpan firstPing)
    {
        _timings = timings;
        _nextBeat = firstPing;
        LastReceived = now;
        _sent.Forget();
    }

    /// <summary>The time that never comes.</summary>
    public static TimeSpan Never => TimeSpan.MaxValue;

    /// <summary>When <see cref="Advance"/> has something to do next, if nothing else happens before.</summary>
    public TimeSpan NextDue => _deadline < _nextBeat ? _deadline : _nextBeat;

    /// <summary>The number of the last ping that was written; the first one is 1.</summary>
    public ulong Pings { get; private set; }

    /// <summary>How many pongs carried the number of a ping, including late ones.</summary>
    public int Pongs => _roundTrips.Count;

    /// <summary>The strikes in a row at this moment.</summary>
    public int Strikes { get; private set; }

    /// <summary>All strikes in the life of the connection.</summary>
    public int Missed { get; private set; }

    /// <summary>How many pongs came after their deadline.</summary>
    public int Late { get; private set; }

    /// <summary>
    /// How many pongs had a payload that is not that of one of our pings. Either nobody asked for them, which is legal, or the client does not
    /// copy the payload of a ping.
    /// </summary>
    public int OtherPongs { get; private set; }

    /// <summary>Whether the last pong came after its deadline.</summary>
    public bool LastPongLate { get; private set; }

    public TimeSpan LastReceived { get; private set; }

    public RoundTrips RoundTrips => _roundTrips;

    public bool IsDead => Strikes >= _timings.MaxMissed;

    /// <summary>Returns the next thing to do at this time. The caller repeats the call until it returns <see cref="HeartbeatStep.None"/>.</summary>
    /// <param name="now">The present time.</param>
    /// <param name="stall">
    /// How late the caller is; zero if it is on time. A deadline that fell into the stall moves by the length of the stall, because the server
    /// could not see the pong.
    /// </param>
    public HeartbeatStep Advance(TimeSpan now, TimeSpan stall)
    {
        // A deadline moves only once for each ping. So a machine that stalls all the time still finds a dead client.
        if (stall > TimeSpan.Zero && !_forgiven)
        {
            _forgiven = _deadline <= now;
            _deadline = Moved(_deadline, now, stall);
            _deadlineAfter = Moved(_deadlineAfter, now, stall);
        }

        // A deadline is judged before the next ping. If the timeout is as long as the time between two pings, both are due at once.
        while (_deadline <= now)
        {
            (_deadline, _deadlineAfter) = (_deadlineAfter, Never);
            if (!_alive)
                return HeartbeatStep.Overdue;
        }
        if (_nextBeat <= now)
        {
            // The times of the pings are fixed. Pings that a stall has prevented are skipped, so there is no burst of pings after it.
            do
                _nextBeat += _timings.Ping;
            while (_nextBeat <= now);
            return HeartbeatStep.Ping;
        }
        return HeartbeatStep.None;
    }

    /// <summary>Notes that the ping with the number <see cref="Pings"/> + 1 was given to the socket.</summary>
    public void PingWritten(TimeSpan now)
    {
        Pings++;
        _sent[(int)(Pings % SentTimes.Length)] = now;
        _isHeld = false;
        Expect(now);
    }

    /// <summary>
    /// Notes that a ping was due and does not leave, because a ping of somebody else is unanswered (<see cref="ForeignPings"/>). The peer is judged on
    /// that one: it has as much time for a sign of life as if our ping had left.
    /// </summary>
    public void PingHeld(TimeSpan now)
    {
        _isHeld = true;
        Expect(now);
    }

    /// <summary>Counts the strike of an overdue ping.</summary>
    /// <returns>The strikes in a row, including this one.</returns>
    public int Strike()
    {
        Missed++;
        return ++Strikes;
    }

    /// <summary>Notes that bytes came. Any bytes are a sign of life.</summary>
    /// <returns>How many strikes this sign of life clears.</returns>
    public int BytesReceived(TimeSpan now)
    {
        LastReceived = now;
        _alive = true;
        int cleared = Strikes;
        Strikes = 0;
        return cleared;
    }

    /// <summary>Notes that a Pong frame came.</summary>
    /// <param name="payload">
    /// The payload of the frame, which must be that of the ping (RFC 6455 section 5.5.3). Our pings carry their number: 8 bytes, big-endian.
    /// </param>
    /// <param name="now">When the server read the pong.</param>
    /// <param name="stall">How long the server was just held up. This time does not make the pong late.</param>
    /// <param name="isLate">Whether the pong came after its deadline.</param>
    /// <returns>The round trip; null for a pong that answers no ping, or one whose ping is too old. Such pongs are legal and mean nothing.</returns>
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

        // A client can guess the number and answer before the ping has left.
        TimeSpan roundTrip = now > sent ? now - sent : TimeSpan.Zero;
        sent = Never;
        isLate = _timings.Timeout > TimeSpan.Zero && roundTrip - stall > _timings.Timeout;
        if (number == Pings && !_isHeld)
        {
            // If a stall has moved the deadline, the server itself has caused the long round trip.
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

    /// <summary>From now on the peer has to give a sign of life.</summary>
    private void Expect(TimeSpan now)
    {
        TimeSpan deadline = _timings.Timeout == TimeSpan.Zero ? Never : now + _timings.Timeout;
        // If the client has been silent since the ping before, that ping keeps its deadline and is judged first.
        if (_deadline != Never && !_alive)
            _deadlineAfter = deadline;
        else
            _deadline = deadline;
        _alive = _forgiven = false;
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
