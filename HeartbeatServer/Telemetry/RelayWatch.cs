using HeartbeatServer.Protocol;

namespace HeartbeatServer.Telemetry;

/// <summary>
/// Tells whoever operates a relay that it fails, which nobody else can mend: at once, then now and then with the count, and when it works again. The
/// application's own refusals are its answers, so they are no failure. Any thread may ask.
/// </summary>
/// <param name="time">The clock.</param>
/// <param name="log">Gets the lines.</param>
internal sealed class RelayWatch(TimeProvider time, ServerLog log)
{
    /// <summary>The least time between two lines about failures of one reason.</summary>
    public static readonly TimeSpan TellEvery = TimeSpan.FromSeconds(10);

    private readonly Lock _gate = new();
    private readonly Dictionary<RefusalReason, Throttle> _lines = [];
    private long _refused;
    private long _since;
    private long _last;
    private bool _isTold;

    /// <summary>A client was refused.</summary>
    public void OnRefused(in Refusal refusal)
    {
        if (!IsFailure(refusal.Reason))
            return;
        long count;
        lock (_gate)
        {
            _last = time.GetTimestamp();
            if (_refused++ == 0)
                _since = _last;
            if (!_lines.TryGetValue(refusal.Reason, out Throttle? line))
                _lines[refusal.Reason] = line = new Throttle(time, TellEvery);
            if (!line.TryPass(out count))
                return;
            _isTold = true;
        }
        log.RelayFails(count, refusal);
    }

    /// <summary>The application has answered a request.</summary>
    /// <param name="asked">The timestamp at which it was asked. What it was asked before the last failure says nothing about the time after it.</param>
    public void OnAnswered(long asked)
    {
        if (Interlocked.Read(ref _refused) == 0)
            return;
        long refused;
        TimeSpan length;
        lock (_gate)
        {
            if (_refused == 0 || asked < _last)
                return;
            (refused, length) = (_refused, time.GetElapsedTime(_since));
            _refused = 0;
            if (!_isTold)
                return;
            _isTold = false;
        }
        log.RelayWorks(refused, length);
    }

    private static bool IsFailure(RefusalReason reason) => reason is RefusalReason.UpstreamUnreachable
        or RefusalReason.UpstreamBadCertificate
        or RefusalReason.UpstreamBadAnswer
        or RefusalReason.UpstreamLoop
        or RefusalReason.UpstreamTimeout
        or RefusalReason.UpstreamQueue;
}
