namespace HeartbeatServer.Telemetry;

/// <summary>Watches the watchmaker: how late the wheel's own ticks are, with a word in the log when it matters.</summary>
internal sealed class BeatWatch
{
    private static readonly TimeSpan WarnEvery = TimeSpan.FromMinutes(1);

    private readonly TimeSpan _tolerance;
    private readonly TimeProvider _time;
    private readonly ServerMetrics _metrics;
    private readonly ServerLog _log;
    private TimeSpan _pausesBefore = GC.GetTotalPauseDuration();
    private TimeSpan? _warned;

    /// <param name="timeout">Of the heartbeat: a beat that is late by more than a quarter of it is worth a warning. Zero for never.</param>
    /// <param name="time">The clock.</param>
    /// <param name="metrics">Where the histogram is.</param>
    /// <param name="log">Where the warning goes.</param>
    public BeatWatch(TimeSpan timeout, TimeProvider time, ServerMetrics metrics, ServerLog log) =>
        (_tolerance, _time, _metrics, _log) = (timeout == TimeSpan.Zero ? TimeSpan.MaxValue : timeout / 4, time, metrics, log);

    /// <summary>Called once a tick, on the wheel's thread.</summary>
    public void OnTick(TimeSpan lateness)
    {
        _metrics.CountTick(lateness);
        TimeSpan pauses = GC.GetTotalPauseDuration();
        if (lateness > _tolerance)
        {
            TimeSpan now = _time.GetElapsedTime(0);
            if (_warned is null || now - _warned >= WarnEvery)
            {
                _warned = now;
                _log.BeatLate(lateness, pauses - _pausesBefore, ThreadPool.PendingWorkItemCount);
            }
        }
        _pausesBefore = pauses;
    }
}
