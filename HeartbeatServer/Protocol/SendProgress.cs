namespace HeartbeatServer.Protocol;

/// <summary>What the silence after a ping means, as far as the kernel knows.</summary>
internal enum Silence
{
    /// <summary>The peer could have answered, or its kernel is silent too: a strike.</summary>
    Missed,
    /// <summary>The ping is on its way behind other bytes that the peer takes: no strike.</summary>
    Queued,
}

/// <summary>
/// Whether a peer takes what we send, from one look at <see cref="TcpInfo"/> to the next. What counts is what its kernel acknowledges, not whether a
/// write call returned: the kernel takes megabytes at once that a slow line needs minutes for.
/// </summary>
/// <remarks>Time is passed in. A kernel that does not tell of bytes (before Linux 4.6) looks as if nothing were queued.</remarks>
internal sealed class SendProgress
{
    /// <summary>In bytes, between two looks. Fewer may be nothing but our own pings, which a frozen peer's kernel acknowledges as well.</summary>
    private const int MoreThanPings = 1024;

    // What the last look saw; and when it was, if it was not too long ago to compare with.
    private ulong _acked;
    private uint _window;
    private TimeSpan? _lookedAt;

    // When the peer was seen to read last, and the longest time between two such moments: it reads in steps as long as that.
    private TimeSpan _readAt;
    private TimeSpan _longestStep;

    /// <summary>When the peer's kernel is known to have taken bytes last; or when <see cref="Begin"/> was called.</summary>
    public TimeSpan LastMove { get; private set; }

    /// <summary>A write begins to wait: from here on the peer owes progress.</summary>
    public void Begin(TimeSpan now) => LastMove = now;

    /// <summary>Our own stall is not the peer's: nobody looked meanwhile.</summary>
    public void Forgive(TimeSpan stall) => LastMove += stall;

    /// <summary>Looks whether the peer took anything since the last look.</summary>
    /// <returns>Whether bytes are still on their way to its kernel.</returns>
    public bool Look(in TcpInfo tcp, TimeSpan now)
    {
        bool isPending = tcp.NotSent > 0 || tcp.Unacknowledged > 0;
        // Without an earlier look nothing is known of progress; and without bytes on their way none is owed.
        if ((_lookedAt is not null && tcp.BytesAcked > _acked) || !isPending)
            LastMove = now;
        if (_lookedAt is null)
        {
            (_readAt, _longestStep) = (now, TimeSpan.Zero);
        }
        else if (tcp.BytesAcked > _acked + MoreThanPings || tcp.SendWindow > _window + MoreThanPings)
        {
            TimeSpan step = now - _readAt;
            (_readAt, _longestStep) = (now, step > _longestStep ? step : _longestStep);
        }
        (_acked, _window, _lookedAt) = (tcp.BytesAcked, tcp.SendWindow, now);
        return isPending;
    }

    /// <summary>Judges a ping whose deadline is over and that no sign of life has answered.</summary>
    /// <param name="tcp">What the kernel knows now.</param>
    /// <param name="now">The time.</param>
    /// <param name="beat">Time between two pings: a peer's kernel that acknowledges nothing for longer is silent.</param>
    public Silence Judge(in TcpInfo tcp, TimeSpan now, TimeSpan beat)
    {
        // The last look was about another silence.
        if (now - _lookedAt > 2 * beat)
            _lookedAt = null;
        if (_lookedAt is null)
            LastMove = now;
        Look(tcp, now);
        if (tcp.IsSilent(beat))
            return Silence.Missed;
        if (tcp.NotSent > 0)
            return Silence.Queued;
        // All of it has left. The peer may still have to read what came before the ping: in steps, and the next may take twice as long as the longest.
        return _longestStep > TimeSpan.Zero && now - _readAt <= 2 * _longestStep ? Silence.Queued : Silence.Missed;
    }
}
