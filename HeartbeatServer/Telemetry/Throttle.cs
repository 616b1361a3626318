namespace HeartbeatServer.Telemetry;

/// <summary>
/// Lets an event pass and holds the next ones back for a while, so that a flood of events is only a line in the log now and then. Any thread may ask.
/// </summary>
/// <param name="time">The clock.</param>
/// <param name="every">The least time between two events that pass.</param>
internal sealed class Throttle(TimeProvider time, TimeSpan every)
{
    private readonly Lock _gate = new();
    private long? _passedAt;
    private long _count;

    /// <summary>Counts one event.</summary>
    /// <param name="count">The events since the last one that passed, this one included.</param>
    /// <returns>Whether the event passes. The first one does.</returns>
    public bool TryPass(out long count)
    {
        lock (_gate)
        {
            count = ++_count;
            if (_passedAt is { } before && time.GetElapsedTime(before) < every)
                return false;
            _passedAt = time.GetTimestamp();
            _count = 0;
            return true;
        }
    }
}
