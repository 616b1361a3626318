using System.Collections;
using System.Runtime.ExceptionServices;
using HeartbeatServer.Admin;
using HeartbeatServer.Connections;
using HeartbeatServer.Engine;
using HeartbeatServer.Hosting;
using HeartbeatServer.Http;
using HeartbeatServer.Options;
using HeartbeatServer.Probe;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer;

/// <summary>Builds the server by hand: the constructor calls are the diagram of the program.</summary>
internal static class Program
{
    private const int Stopped = 0;
    private const int Failed = 1;

    /// <summary>Never disposed of: a signal that comes at the very end must neither cut the log short nor change the exit code.</summary>
    private static ShutdownSignals? _signals;

    private static async Task<int> Main(string[] arguments)
    {
        OpenFiles.OpenStandard();
        var variables = new Variables(Environment.GetEnvironmentVariables().Cast<DictionaryEntry>().ToDictionary(each => (string)each.Key, each => (string)each.Value!));
        await using var output = new CheckedOutput(Console.Out);
        try
        {
            return await new CommandLine(variables).RunAsync(
                arguments, output, Console.Error, ServeAsync, (url, isOwn) => HealthCheck.RunAsync(url, isOwn, output), options => ProbeAsync(options, output));
        }
#pragma warning disable CA1031 // An exception that leaves Main ends the process with SIGABRT, and 1 is the code of what has failed.
        catch (Exception e)
#pragma warning restore CA1031
        {
            // What the user can mend is a sentence. Anything else is a bug, and is shown with its place.
            await CommandLine.TellAsync(Console.Error, e is StartupException or OutputException ? e.Message : $"A bug: {e}");
            return Failed;
        }
    }

    /// <returns>The exit code.</returns>
    private static async Task<int> ProbeAsync(ProbeOptions options, CheckedOutput standard)
    {
        ShutdownSignals signals = _signals = new ShutdownSignals();
        using var interrupted = new CancellationTokenSource();
        _ = signals.First.ContinueWith(_ => interrupted.Cancel(), TaskScheduler.Default);
        await using var error = new CheckedOutput(Console.Error);
        // With --json the words are for a person who looks on.
        (TextWriter output, bool isTerminal) = options.IsJson ? (error, !Console.IsErrorRedirected) : (standard, !Console.IsOutputRedirected);
        var display = new ProbeDisplay(
            options.IsJson && !isTerminal ? TextWriter.Null : output,
            isTerminal && Environment.GetEnvironmentVariable("TERM") is not "dumb",
            () => Console.WindowWidth);
        var context = new ProbeContext(BuildVersion.Number, TimeProvider.System, Environment.GetEnvironmentVariable, display, standard);
        return await new SilenceProbe(options, context).RunAsync(interrupted.Token);
    }

    /// <returns>The exit code.</returns>
    private static async Task<int> ServeAsync(ServerOptions options, StrayVariables stray)
    {
        await RunAsync(options, stray);
        return Stopped;
    }

    private static async Task RunAsync(ServerOptions options, StrayVariables stray)
    {
        OpenSsl.Check();
        OpenFiles.Raise();
        ShutdownSignals signals = _signals = new ShutdownSignals();

        var time = TimeProvider.System;
        await using var output = new LogSetup(options.LogLevel, options.LogFormat == LogFormat.Json, Environment.GetEnvironmentVariable("NO_COLOR"));
        var log = new ServerLog(output.Logger, time, keepsEnds: output.IsJson);
        foreach ((string name, string? meant) in stray.Unknown)
            log.UnknownVariable(name, meant);
        if (stray.ServiceLinks.Count > 0)
            log.ServiceLinks(stray.ServiceLinks);
        // The loops catch what goes wrong on them. What the framework's own threads throw, for lack of memory say, is no reason to cut everybody either.
        ExceptionHandling.SetUnhandledExceptionHandler(log.Survived);
        using var metrics = new ServerMetrics { LinesDropped = () => output.Dropped };
        var table = new ConnectionTable(options.MaxBuffered == 0 ? BufferBudget.DefaultLimit : options.MaxBuffered);
        var lateBeats = new Throttle(time, BeatWatch.WarnEvery);
        if (HttpListenerInternals.OfThisRuntime().Choose(options.PlainRequests, log, out bool epoll) is { } gone)
            throw new StartupException(gone);
        if (!epoll)
            CheckWithoutEpoll(options);
        CertificateStore? certificate = options.HasTls ? new CertificateStore(options.TlsCert!, options.TlsKey!, time, log) : null;
        using var loops = new EventLoops(
            () => new TimingWheel(time, options.Ping, new BeatWatch(options.Timeout, lateBeats, metrics, log, () => ThreadClock.CpuTime).OnTick),
            epoll: epoll,
            failed: log.LoopFailed);
        var context = new ServerContext(options, time, loops, table, metrics, new EndLog(time), log) { Certificate = certificate };
        var why = new WhyWatch(context.Ends, metrics.Suspects, options.Ping, time, log);
        // Disposed of last: /readyz says that the server drains, and the last ends are seen.
        await using var admin = new AdminSite(context, why);
        var drain = new Drain(table, options.Drain, time, log);
        await using var server = new Server(context, drain);
        Instruments.Create(context, () => server.State);

        metrics.Churned = new HeapTrim(loops.First.Wheel, metrics, table.Buffers).OnChurn;
        loops.Start();
        admin.Start(() => server.State);
        server.Start();

        TimeSpan started = loops.Now;
        long droppedTold = 0;
        await using (new PeriodicTask(WhyWatch.Every, time, log, why.Look))
        await using (new PeriodicTask(certificate is null ? TimeSpan.Zero : CertificateStore.Every, time, log, () => certificate!.Look()))
        await using (new PeriodicTask(options.Summary, time, log, Summarize))
        await using (new PeriodicTask(LogSetup.TellEvery, time, log, TellDropped))
        {
            string signal = await signals.First;
            await drain.RunAsync(signal, signals.Second);
        }
        log.Flush();
        Summarize();
        log.Stopped();

        void Summarize()
        {
            log.Summary(metrics, table.Count, loops.Now - started, why.Findings());
            TellDropped();
        }

        void TellDropped()
        {
            if (output.Dropped is var dropped && dropped > droppedTold)
                log.LinesDropped(droppedTold = dropped);
        }
    }

    /// <exception cref="StartupException">An option needs epoll.</exception>
    private static void CheckWithoutEpoll(ServerOptions options)
    {
        if (options.Upstream is not null)
        {
            throw new StartupException(
                "--upstream needs epoll, and --plain-requests or this system is without it: the relay runs on Linux. Install the file for linux-x64 or linux-arm64 there.");
        }
        if (options.HasTls)
            throw new StartupException("--tls-cert needs epoll, and --plain-requests or this system is without it: TLS is spoken on Linux only.");
    }
}
