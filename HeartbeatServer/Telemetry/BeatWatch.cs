namespace HeartbeatServer.Telemetry;

/// <summary>Watches the watchmaker: how late the ticks of one wheel are, with a word in the log when it matters.</summary>
internal sealed class BeatWatch
{
    /// <summary>How often a late beat is worth a warning, whichever wheel it was.</summary>
    public static readonly TimeSpan WarnEvery = TimeSpan.FromMinutes(1);

    private readonly TimeSpan _tolerance;
    private readonly Throttle _warnings;
    private readonly ServerMetrics _metrics;
    private readonly ServerLog _log;
    private TimeSpan _pausesBefore = GC.GetTotalPauseDuration();

    /// <param name="timeout">Of the heartbeat: a beat that is late by more than a quarter of it is worth a warning. Zero for never.</param>
    /// <param name="warnings">One for all wheels, of <see cref="WarnEvery"/>.</param>
    /// <param name="metrics">Where the histogram is.</param>
    /// <param name="log">Where the warning goes.</param>
    public BeatWatch(TimeSpan timeout, Throttle warnings, ServerMetrics metrics, ServerLog log) =>
        (_tolerance, _warnings, _metrics, _log) = (timeout == TimeSpan.Zero ? TimeSpan.MaxValue : timeout / 4, warnings, metrics, log);

    /// <summary>Called once a tick, on the wheel's thread.</summary>
    public void OnTick(TimeSpan lateness)
    {
        _metrics.CountTick(lateness);
        TimeSpan pauses = GC.GetTotalPauseDuration();
        if (lateness > _tolerance && _warnings.TryPass(out _))
            _log.BeatLate(lateness, pauses - _pausesBefore, ThreadPool.PendingWorkItemCount);
        _pausesBefore = pauses;
    }
}
