namespace HeartbeatServer.Protocol;

/// <summary>
/// A time by which a peer must have done something. If it falls into a stall of our own it is moved by as much: nobody was there to see whether the
/// peer did it. It is moved once, so that a machine that stalls all the time finds a dead peer all the same.
/// </summary>
/// <param name="due">The time; <see cref="Heartbeat.Never"/> for none.</param>
internal struct Deadline(TimeSpan due)
{
    private bool _isMoved;

    public TimeSpan Due { get; private set; } = due;

    /// <summary>Whether the time is over.</summary>
    /// <param name="now">The time.</param>
    /// <param name="stall">How late we ourselves are at asking; zero if on time.</param>
    public bool IsOver(TimeSpan now, TimeSpan stall)
    {
        if (!_isMoved && stall > TimeSpan.Zero && Due <= now && Due > now - stall)
            (Due, _isMoved) = (Due + stall, true);
        return Due <= now;
    }
}
