using System.Net;
using HeartbeatServer.Hosting;
using HeartbeatServer.Http;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Admin;

/// <summary>
/// All that <c>--admin</c> adds to the server: the listener with its pages, and the memory behind them (the last hour). With
/// <c>--admin off</c> it makes none of it.
/// </summary>
internal sealed class AdminSite(ServerContext context, WhyWatch why) : IAsyncDisposable
{
    // Null with --admin off, and until the start.
    private PrometheusPage? _metricsPage;
    private AdminListener? _listener;
    private PeriodicTask? _sampling;

    /// <summary>Begins to remember and to answer.</summary>
    /// <param name="state">Asks the server for its state.</param>
    /// <exception cref="StartupException">The port could not be bound.</exception>
    public void Start(Func<ServerState> state)
    {
        var (options, time, loops, table, metrics, _, log) = context;
        if (options.Admin is not { } address)
            return;
        _metricsPage = new PrometheusPage(metrics.Meter, new OpenFiles());
        var history = new History(metrics, table, time);
        var status = new Status(context, why, state);
        _listener = new AdminListener(address, new AdminRoutes(status, history, _metricsPage, new DashboardFiles(), state), time, log, loops.HasEpoll);
        try
        {
            _listener.Start();
        }
        catch (HttpListenerException e)
        {
            throw new StartupException(BindError.Describe(address, isAdmin: true, e), e);
        }
        _sampling = new PeriodicTask(History.Interval, time, log, history.Take);
    }

    public async ValueTask DisposeAsync()
    {
        if (_sampling is not null)
            await _sampling.DisposeAsync();
        _listener?.Dispose();
        _metricsPage?.Dispose();
    }
}
