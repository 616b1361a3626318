using System.Net;
using HeartbeatServer.Connections;
using HeartbeatServer.Hosting;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer;

internal static class Program
{
    private const int Stopped = 0;
    private const int Failed = 1;
    private const string SocketThreads = "DOTNET_SYSTEM_NET_SOCKETS_THREAD_COUNT";

    private static Task<int> Main(string[] arguments)
    {
        // Connections are served on the threads that see them ready (docs/decisions/0005): one for each processor. Read with the first socket.
        if (Environment.GetEnvironmentVariable(SocketThreads) is null)
            Environment.SetEnvironmentVariable(SocketThreads, $"{Environment.ProcessorCount}");
        return new CommandLine(Environment.GetEnvironmentVariable).RunAsync(arguments, Console.Out, Console.Error, ServeAsync);
    }

    private static async Task<int> ServeAsync(ServerOptions options)
    {
        await using var output = new LogSetup(options.LogLevel, options.LogFormat == LogFormat.Json);
        var log = new ServerLog(output.Logger);
        var time = TimeProvider.System;
        using var metrics = new ServerMetrics();
        var table = new ConnectionTable();
        var watch = new BeatWatch(options.Timeout, time, metrics, log);
        using var wheel = new TimingWheel(time, options.Ping, watch.OnTick);
        using PrometheusPage? page = options.Admin is null ? null : new PrometheusPage(metrics.Meter, new OpenFiles("/proc/self"));
        // Closed last: /readyz says that the server drains, and the last ends are seen.
        await using var admin = options.Admin is { } address ? new AdminListener(address, time, log) : null;
        var ends = new EndLog(time);
        var history = new History(metrics, table, time);
        await using var server = new Server(options, time, wheel, table, metrics, log, admin is null ? null : ends.Add);
        var status = new Status(options, time, wheel, table, metrics, ends, () => server.State);
        Instruments.Create(metrics, table, options.MaxConnections, () => server.State);
        using var signals = new ShutdownSignals();
        try
        {
            HttpTakeover.CheckRuntime();
            wheel.Start();
            admin?.Start(new AdminRoutes(status, history, page!, new DashboardFiles(typeof(Program).Assembly), () => server.State));
            server.Start();
        }
        catch (PlatformNotSupportedException e)
        {
            await Console.Error.WriteLineAsync(e.Message);
            return Failed;
        }
        catch (HttpListenerException e) when (admin is { IsOpen: false })
        {
            await Console.Error.WriteLineAsync(BindError.Describe(options.Admin!, e));
            return Failed;
        }
        catch (HttpListenerException e)
        {
            await Console.Error.WriteLineAsync(BindError.Describe(options.Host, options.Port, e));
            return Failed;
        }

        TimeSpan started = wheel.Now;
        var trim = new HeapTrim(metrics, () => GC.GetTotalMemory(forceFullCollection: false), HeapTrim.CollectAll);
        await using (new Periodic(HeapTrim.Quiet, time, log, trim.Look))
        await using (new Periodic(admin is null ? TimeSpan.Zero : History.Interval, time, log, history.Take))
        await using (new Periodic(options.Summary, time, log, Summarize))
        {
            string signal = await signals.First;
            await server.DrainAsync(signal, signals.Second);
        }
        Summarize();
        log.Stopped();
        return Stopped;

        void Summarize()
        {
            log.Summary(metrics, table.Count, wheel.Now - started);
            if (output.Dropped > 0)
                log.LinesDropped(output.Dropped);
        }
    }
}
