using System.Net;
using HeartbeatServer.Admin;
using HeartbeatServer.Connections;
using HeartbeatServer.Engine;
using HeartbeatServer.Hosting;
using HeartbeatServer.Http;
using HeartbeatServer.Options;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer;

internal static class Program
{
    private const int Stopped = 0;
    private const int Failed = 1;

    /// <summary>Never disposed of: a signal that comes at the very end must neither cut the log short nor change the exit code.</summary>
    private static ShutdownSignals? _signals;

    private static Task<int> Main(string[] arguments) =>
        new CommandLine(Environment.GetEnvironmentVariable).RunAsync(
            arguments, Console.Out, Console.Error, ServeAsync, address => HealthCheck.RunAsync(address, Console.Out));

    private static async Task<int> ServeAsync(ServerOptions options)
    {
        if (OpenFiles.Raise() is { } tooLow)
        {
            await Console.Error.WriteLineAsync(tooLow);
            return Failed;
        }
        ShutdownSignals signals = _signals = new ShutdownSignals();
        await using var output = new LogSetup(options.LogLevel, options.LogFormat == LogFormat.Json);
        var log = new ServerLog(output.Logger);
        var time = TimeProvider.System;
        using var metrics = new ServerMetrics();
        var table = new ConnectionTable();
        var lateBeats = new Throttle(time, BeatWatch.WarnEvery);
        const bool plain = false; // options.PlainRequests
        if (HttpListenerInternals.OfThisRuntime().Choose(plain, log, out bool epoll) is { } changed)
        {
            await Console.Error.WriteLineAsync(changed);
            return Failed;
        }
        using var loops = new EventLoops(
            () => new TimingWheel(time, options.Ping, new BeatWatch(options.Timeout, lateBeats, metrics, log).OnTick), epoll: epoll);
        using PrometheusPage? page = options.Admin is null ? null : new PrometheusPage(metrics.Meter, new OpenFiles("/proc/self"));
        // Closed last: /readyz says that the server drains, and the last ends are seen.
        using var admin = options.Admin is { } address ? new AdminListener(address, time, log, epoll) : null;
        var ends = new EndLog(time);
        var history = new History(metrics, table, time);
        await using var server = new Server(options, time, loops, table, metrics, log, admin is null ? null : ends.Add);
        var status = new Status(options, time, loops, table, metrics, ends, () => server.State);
        Instruments.Create(metrics, table, options.MaxConnections, () => server.State);
        try
        {
            loops.Start();
            admin?.Start(new AdminRoutes(status, history, page!, new DashboardFiles(typeof(Program).Assembly), () => server.State));
            server.Start();
        }
        catch (HttpListenerException e) when (admin is { IsOpen: false })
        {
            await Console.Error.WriteLineAsync(BindError.Describe(options.Admin!, isAdmin: true, e));
            return Failed;
        }
        catch (HttpListenerException e)
        {
            await Console.Error.WriteLineAsync(BindError.Describe(options.Address, isAdmin: false, e));
            return Failed;
        }

        TimeSpan started = loops.Now;
        var trim = new HeapTrim(metrics, () => GC.GetTotalMemory(forceFullCollection: false), HeapTrim.CollectAll);
        await using (new PeriodicTask(HeapTrim.Quiet, time, log, trim.Look))
        await using (new PeriodicTask(admin is null ? TimeSpan.Zero : History.Interval, time, log, history.Take))
        await using (new PeriodicTask(options.Summary, time, log, Summarize))
        {
            string signal = await signals.First;
            await server.DrainAsync(signal, signals.Second);
        }
        Summarize();
        log.Stopped();
        return Stopped;

        void Summarize()
        {
            log.Summary(metrics, table.Count, loops.Now - started);
            if (output.Dropped > 0)
                log.LinesDropped(output.Dropped);
        }
    }
}
