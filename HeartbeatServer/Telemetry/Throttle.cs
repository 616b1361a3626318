namespace HeartbeatServer.Telemetry;

/// <summary>Lets one of many events through every so often, so that a flood of them is a line now and then. Any thread may ask.</summary>
/// <param name="time">The clock.</param>
/// <param name="every">Between two that pass.</param>
internal sealed class Throttle(TimeProvider time, TimeSpan every)
{
    private readonly Lock _gate = new();
    private long? _passedAt;
    private long _count;

    /// <summary>Counts one event.</summary>
    /// <param name="count">The events since the last one that passed, with this one.</param>
    /// <returns>Whether it passes: the first does.</returns>
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
