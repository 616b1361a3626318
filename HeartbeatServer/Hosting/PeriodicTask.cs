using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Hosting;

/// <summary>Runs an action at a fixed interval until it is disposed of. When the action throws, the log has the exception and the next turn comes.</summary>
internal sealed class PeriodicTask : IAsyncDisposable
{
    private readonly PeriodicTimer? _timer;
    private readonly Task _running;

    /// <param name="interval">The time between two turns; zero for no turn at all.</param>
    /// <param name="time">The clock that the interval is measured with.</param>
    /// <param name="log">Gets what the action throws.</param>
    /// <param name="action">One turn.</param>
    public PeriodicTask(TimeSpan interval, TimeProvider time, ServerLog log, Action action)
    {
        _timer = interval == TimeSpan.Zero ? null : new PeriodicTimer(interval, time);
        _running = _timer is null ? Task.CompletedTask : RunAsync(_timer, log, action);
    }

    /// <summary>Waits for the turn in progress. No other comes after it.</summary>
    public async ValueTask DisposeAsync()
    {
        _timer?.Dispose();
        await _running;
    }

    private static async Task RunAsync(PeriodicTimer timer, ServerLog log, Action action)
    {
        while (await timer.WaitForNextTickAsync())
        {
            try
            {
                action();
            }
#pragma warning disable CA1031 // The next turn must come.
            catch (Exception e)
#pragma warning restore CA1031
            {
                log.ChoreFailed(e);
            }
        }
    }
}
