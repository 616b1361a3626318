namespace HeartbeatServer.Telemetry;

/// <summary>Measures how late the ticks of one timing wheel are, and warns when one is so late that the heartbeat suffers.</summary>
internal sealed class BeatWatch
{
    /// <summary>All wheels together warn at most this often.</summary>
    public static readonly TimeSpan WarnEvery = TimeSpan.FromMinutes(1);

    private readonly TimeSpan _tolerance;
    private readonly Throttle _warnings;
    private readonly ServerMetrics _metrics;
    private readonly ServerLog _log;
    private readonly Func<TimeSpan> _cpuTime;
    private TimeSpan _pausesBefore = GC.GetTotalPauseDuration();

    /// <summary>Null before the first tick: only the wheel's thread can ask for its own time.</summary>
    private TimeSpan? _cpuTimeBefore;

    /// <param name="timeout"><c>--timeout</c>. A tick that is late by more than a quarter of it is worth a warning; if it is zero, no tick is.</param>
    /// <param name="warnings">All wheels share it. It lets one warning through every <see cref="WarnEvery"/>.</param>
    /// <param name="metrics">Counts each tick.</param>
    /// <param name="log">Gets the warning.</param>
    /// <param name="cpuTime">What the calling thread has used of a processor so far; always zero where that is not known.</param>
    public BeatWatch(TimeSpan timeout, Throttle warnings, ServerMetrics metrics, ServerLog log, Func<TimeSpan> cpuTime)
    {
        _tolerance = timeout == TimeSpan.Zero ? TimeSpan.MaxValue : timeout / 4;
        (_warnings, _metrics, _log, _cpuTime) = (warnings, metrics, log, cpuTime);
    }

    /// <summary>The wheel calls this once a tick, on its own thread.</summary>
    public void OnTick(TimeSpan lateness)
    {
        _metrics.CountTick(lateness);
        TimeSpan pauses = GC.GetTotalPauseDuration();
        TimeSpan cpuTime = _cpuTime();
        if (lateness > _tolerance && _warnings.TryPass(out _))
            _log.BeatLate(lateness, pauses - _pausesBefore, cpuTime - (_cpuTimeBefore ?? cpuTime), ThreadPool.PendingWorkItemCount);
        (_pausesBefore, _cpuTimeBefore) = (pauses, cpuTime);
    }
}
