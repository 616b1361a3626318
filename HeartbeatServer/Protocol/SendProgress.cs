namespace HeartbeatServer.Protocol;

/// <summary>What the silence after a ping means, according to the kernel.</summary>
internal enum Silence
{
    /// <summary>The peer could have answered, or its kernel is silent, too. This is a strike.</summary>
    Missed,
    /// <summary>The ping is still on its way, after other bytes that the peer takes. This is no strike.</summary>
    Queued,
}

/// <summary>
/// Finds out whether a peer takes the bytes that wait for it, from one look at <see cref="TcpInfo"/> to the next. Bytes count as taken when the
/// peer's kernel acknowledges them. That a write call has returned says little: our kernel takes megabytes at once that a slow line needs minutes
/// for.
/// </summary>
/// <remarks>The caller passes the time in. With a kernel that does not count unsent bytes (before Linux 4.6), nothing seems to be queued.</remarks>
internal sealed class SendProgress
{
    /// <summary>
    /// How many bytes a peer must take between two looks to count as reading. Fewer bytes may be only our pings, which the kernel of a frozen peer
    /// acknowledges as well.
    /// </summary>
    private const int MoreThanPings = 1024;

    // What the last look saw, and when it was. The time is null if there was no look, or if the last one is too old for a comparison.
    private ulong _acked;
    private uint _window;
    private bool _wasQueued;
    private TimeSpan? _lookedAt;

    // When a look last saw that the peer had read, and the longest time between two such moments. The peer reads in steps of up to that length.
    private TimeSpan _readAt;
    private TimeSpan _longestStep;

    /// <summary>When a look last saw that the peer's kernel had taken bytes; or when <see cref="Begin"/> was called, if that was later.</summary>
    public TimeSpan LastMove { get; private set; }

    /// <summary>Notes that a write begins to wait. From here on the peer has to make progress.</summary>
    public void Begin(TimeSpan now) => LastMove = now;

    /// <summary>Gives the peer as much more time as the server itself was stalled, because nobody looked meanwhile.</summary>
    public void Forgive(TimeSpan stall) => LastMove += stall;

    /// <summary>Looks whether the peer took anything since the last look.</summary>
    /// <returns>Whether bytes are still on their way to the peer's kernel.</returns>
    public bool Look(in TcpInfo tcp, TimeSpan now)
    {
        bool isPending = tcp.NotSent > 0 || tcp.Unacknowledged > 0;
        // Progress shows only in comparison with an earlier look. A peer with no bytes on their way to it need not make progress.
        if ((_lookedAt is not null && tcp.BytesAcked > _acked) || !isPending)
            LastMove = now;
        if (_lookedAt is null)
        {
            (_readAt, _longestStep) = (now, TimeSpan.Zero);
        }
        else if (tcp.BytesAcked > _acked + MoreThanPings || tcp.SendWindow > _window + MoreThanPings)
        {
            // Only while bytes were queued the time between two such moments is the peer's. Otherwise there was nothing to read.
            TimeSpan step = _wasQueued ? now - _readAt : TimeSpan.Zero;
            (_readAt, _longestStep) = (now, step > _longestStep ? step : _longestStep);
        }
        (_acked, _window, _wasQueued, _lookedAt) = (tcp.BytesAcked, tcp.SendWindow, tcp.NotSent > 0, now);
        return isPending;
    }

    /// <summary>Judges a ping whose deadline is over without any sign of life.</summary>
    /// <param name="tcp">The kernel's figures of this moment.</param>
    /// <param name="now">The present time.</param>
    /// <param name="beat">The time between two pings. A peer's kernel that acknowledges nothing for longer is silent.</param>
    public Silence Judge(in TcpInfo tcp, TimeSpan now, TimeSpan beat)
    {
        // An old look belongs to an earlier silence.
        if (now - _lookedAt > 2 * beat)
            _lookedAt = null;
        if (_lookedAt is null)
            LastMove = now;
        Look(tcp, now);
        // On a slow line an acknowledgement may take longer than a beat.
        if (tcp.IsSilent(beat > 2 * tcp.RoundTrip ? beat : 2 * tcp.RoundTrip))
            return Silence.Missed;
        if (tcp.NotSent > 0)
            return Silence.Queued;
        // All bytes have left. The peer may still have to read those before the ping. It reads in steps, and the next step may take up to twice
        // as long as the longest one.
        return _longestStep > TimeSpan.Zero && now - _readAt <= 2 * _longestStep ? Silence.Queued : Silence.Missed;
    }
}
