namespace HeartbeatServer.Protocol;

/// <summary>
/// A time by which a peer must have done something. A deadline that falls into a stall of the server moves by the length of the stall, because
/// the server could not see whether the peer was in time. A deadline moves only once, so a server that stalls all the time still finds a dead
/// peer.
/// </summary>
/// <param name="due">The time on a monotonic clock; <see cref="Heartbeat.Never"/> for no deadline.</param>
internal struct Deadline(TimeSpan due)
{
    private bool _isMoved;

    public TimeSpan Due { get; private set; } = due;

    /// <summary>Whether the deadline is over. May move the deadline first.</summary>
    /// <param name="now">The present time, on the same clock.</param>
    /// <param name="stall">How late the server is with this question; zero if it is on time.</param>
    public bool IsOver(TimeSpan now, TimeSpan stall)
    {
        if (!_isMoved && stall > TimeSpan.Zero && Due <= now && Due > now - stall)
            (Due, _isMoved) = (Due + stall, true);
        return Due <= now;
    }
}
