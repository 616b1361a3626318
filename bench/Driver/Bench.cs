using System.Globalization;
using System.Text.Json.Nodes;

namespace Driver;

/// <summary>One run: a fresh server, one load on it, and the figures of both.</summary>
internal sealed class Bench(string dist, TextWriter serverLog)
{
    private const int ServerCore = 0;
    private const int LoadCore = 1;
    private const int FirstPort = 20_000, Ports = 10_000;

    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan LoadTimeout = TimeSpan.FromSeconds(180);
    // JIT, tiering and the first collections of a start are not part of any figure.
    private static readonly TimeSpan AfterStart = TimeSpan.FromSeconds(0.7);
    // By then every server here has closed and freed what it is going to.
    private static readonly TimeSpan AfterLeaving = TimeSpan.FromSeconds(5);

    private int _port = FirstPort + Environment.ProcessId % Ports;

    public async Task<RunResult> RunAsync(Target target, Phase phase, int rep, CancellationToken cancel)
    {
        var result = new RunResult(target.Name, phase.Name, rep);
        int upstream = NextPort();
        using PinnedProcess? application = target.IsRelay ? Start(Target.Application, LoadCore, phase, upstream) : null;
        if (application is not null && !await application.ListensAsync(upstream, StartTimeout, cancel))
        {
            result.Problems.Add($"the application behind it {RunResult.DidNotStart}");
            return result;
        }
        int port = NextPort();
        using PinnedProcess server = Start(target, ServerCore, phase, port, upstream);
        if (!await server.ListensAsync(port, StartTimeout, cancel))
        {
            result.Problems.Add(RunResult.DidNotStart);
            return result;
        }
        await Task.Delay(AfterStart, cancel);

        long resident = ProcessFigures.ResidentBytes(server.Id);
        result.Values["rss_start_mb"] = resident / 1e6;
        var samples = new Dictionary<string, Sample>();
        var held = resident;
        result.Load = await LoadAsync(server.Id, application?.Id, $"{phase.Load} --port {port}", samples, mark => held = mark == "held" ? ProcessFigures.ResidentBytes(server.Id) : held, cancel);
        if (server.HasExited)
            result.Problems.Add("server died");
        else if (phase.Name == "storm")
        {
            await Task.Delay(AfterLeaving, cancel);
            result.Values["rss_left_mb"] = ProcessFigures.ResidentBytes(server.Id) / 1e6;
        }
        if (!samples.TryGetValue(phase.From, out Sample from) || !samples.TryGetValue(phase.To, out Sample to))
        {
            result.Problems.Add("load generator failed");
            return result;
        }
        result.Derive(to - from, held - resident);
        return result;
    }

    private PinnedProcess Start(Target target, int core, Phase phase, int port, int upstream = 0)
    {
        string command = target.Command.Replace("{dist}", dist, StringComparison.Ordinal)
            .Replace("{port}", $"{port}", StringComparison.Ordinal)
            .Replace("{upstream}", $"{upstream}", StringComparison.Ordinal)
            .Replace("{ping}", $"{phase.Ping}", StringComparison.Ordinal)
            .Replace("{timeout}", $"{phase.Timeout}", StringComparison.Ordinal);
        var process = new PinnedProcess(core, command);
        process.LogTo(serverLog);
        return process;
    }

    /// <summary>Runs the load generator and takes a sample at each of its marks.</summary>
    /// <returns>What it printed; null if it failed.</returns>
    private async Task<JsonNode?> LoadAsync(int server, int? application, string arguments, Dictionary<string, Sample> samples, Action<string> onMark, CancellationToken cancel)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        timeout.CancelAfter(LoadTimeout);
        using var load = new PinnedProcess(LoadCore, $"{dist}/load/LoadGenerator {arguments}");
        samples["start"] = Sample.Take(server, load.Id, application, 0);
        Task<string> output = load.Output.ReadToEndAsync(timeout.Token);
        try
        {
            while (await load.Errors.ReadLineAsync(timeout.Token) is { } line)
            {
                if (line.Split(' ') is not [['@', .. var mark], var operations])
                {
                    await serverLog.WriteLineAsync($"load: {line}");
                    continue;
                }
                samples[mark] = Sample.Take(server, load.Id, application, long.Parse(operations, CultureInfo.InvariantCulture));
                onMark(mark);
            }
            return JsonNode.Parse(await output);
        }
        catch (Exception e) when (e is System.Text.Json.JsonException or OperationCanceledException && !cancel.IsCancellationRequested)
        {
            return null;
        }
    }

    private int NextPort()
    {
        do
            _port = FirstPort + (_port + 1 - FirstPort) % Ports;
        while (PinnedProcess.IsListening(_port));
        return _port;
    }
}
