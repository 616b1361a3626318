using HeartbeatServer.Telemetry;


namespace HeartbeatServer.Hosting;

/// <summary>Does something every so often, until it is disposed of. What goes wrong is logged, and the next turn comes all the same.</summary>
internal sealed class Periodic : IAsyncDisposable
{
    private readonly PeriodicTimer? _timer;
    private readonly Task _running;

    /// <param name="interval">Between two turns; zero for never.</param>
    /// <param name="time">The clock.</param>
    /// <param name="log">For what the action throws.</param>
    /// <param name="action">One turn.</param>
    public Periodic(TimeSpan interval, TimeProvider time, ServerLog log, Action action)
    {
        _timer = interval == TimeSpan.Zero ? null : new PeriodicTimer(interval, time);
        _running = _timer is null ? Task.CompletedTask : RunAsync(_timer, log, action);
    }

    /// <summary>Waits for the turn in progress.</summary>
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
