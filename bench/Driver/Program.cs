// Measures the server beside its peers; README.md in the folder above says how.
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Driver;

if (args is ["--help" or "-h"])
{
    Console.WriteLine(BenchOptions.Usage);
    return 0;
}

BenchOptions options;
Target[] targets;
Phase[] phases;
try
{
    options = BenchOptions.Parse(args);
    Phase[] all = [.. Phase.All(options.Seconds, options.IsQuick)];
    phases = [.. options.Phases.Select(name => Find(all, phase => phase.Name == name, name))];
    targets =
    [
        .. options.Servers.Select(name => Find(Target.All, target => target.Name == name, name)),
        .. options.Added.Select(added => new Target(added.Key, added.Key, added.Value)),
    ];
}
catch (ArgumentException e)
{
    Console.Error.WriteLine($"{e.Message}\n\n{BenchOptions.Usage}");
    return 2;
}
if (!OperatingSystem.IsLinux() || Environment.ProcessorCount < 2)
{
    Console.Error.WriteLine("The benchmark needs Linux and two cores: one for the server, one for the load.");
    return 1;
}

// Ctrl+C and SIGTERM end the run in progress, and with it the processes that it started; the tables show what there is by then.
using var stop = new CancellationTokenSource();
using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);

string root = RepositoryRoot();
string dist = Path.Combine(root, "bench", "dist");
string output = options.Out is null ? Path.Combine(dist, "results") : Path.GetFullPath(options.Out);
Directory.CreateDirectory(dist);
Directory.CreateDirectory(Path.GetDirectoryName(output)!);

foreach (Target target in targets)
{
    if (target.Missing() is { } reason)
        Console.WriteLine($"skipping {target.Name}: {reason}");
}
targets = [.. targets.Where(target => target.Missing() is null)];
if (targets.Length == 0)
{
    Console.Error.WriteLine("no server is left to measure");
    return 1;
}
IEnumerable<Target> needed = [Target.LoadGenerator, .. targets, .. targets.Any(target => target.IsRelay) ? [Target.Application] : Array.Empty<Target>()];
foreach (Target target in options.Builds ? needed.Where(target => target.Build is not null).DistinctBy(target => target.Build) : [])
{
    Console.WriteLine($"building {target.Name}");
    if (!await BuildAsync(target.Build!.Replace("{dist}", dist, StringComparison.Ordinal)))
        return 1;
}

IReadOnlyDictionary<string, string> machine = Machine.Describe(root);
List<RunResult> results = [];
using var serverLog = new StreamWriter(Path.Combine(dist, "servers.log")) { AutoFlush = true };
using var lines = new StreamWriter(output + ".jsonl") { AutoFlush = true };
lines.WriteLine(new JsonObject(machine.Select(pair => KeyValuePair.Create(pair.Key, (JsonNode?)pair.Value))).ToJsonString());
var bench = new Bench(dist, serverLog);
int total = options.Reps * phases.Length * targets.Length;
long started = Stopwatch.GetTimestamp();
try
{
    for (int rep = 0; rep < options.Reps; rep++)
    {
        foreach (Phase phase in phases)
        {
            // The servers take turns, and each is first once: what slows the machine down for a while hits them all.
            for (int turn = 0; turn < targets.Length; turn++)
            {
                RunResult result = await bench.RunAsync(targets[(turn + rep) % targets.Length], phase, rep, stop.Token);
                results.Add(result);
                lines.WriteLine(result.ToJson().ToJsonString());
                Console.WriteLine($"[{results.Count}/{total} {Stopwatch.GetElapsedTime(started):mm\\:ss}] {result.Summary}");
            }
        }
    }
}
catch (OperationCanceledException)
{
    Console.WriteLine("stopped");
}

var report = new Report(targets, machine, results);
File.WriteAllText(output + ".md", report.ToMarkdown());
Console.WriteLine($"\n{report.ToMarkdown()}\n{output}.md\n{output}.jsonl");
if (options.IntoDocs && !stop.IsCancellationRequested)
{
    string what = options.ComparesRelays ? "relay-benchmarks" : "benchmarks";
    report.WriteInto(Path.Combine(root, "docs", "benchmarks.md"), what);
    File.Copy(output + ".jsonl", Path.Combine(root, "docs", what + ".jsonl"), overwrite: true);
}
return results.Any(result => result.Problems.Contains(RunResult.DidNotStart)) ? 1 : 0;

void OnSignal(PosixSignalContext context)
{
    context.Cancel = true;
    stop.Cancel();
}

async Task<bool> BuildAsync(string command)
{
    string[] words = command.Split(' ');
    using Process build = Process.Start(new ProcessStartInfo(words[0], words[1..]) { WorkingDirectory = root, RedirectStandardOutput = true })!;
    string printed = await build.StandardOutput.ReadToEndAsync();
    await build.WaitForExitAsync();
    if (build.ExitCode != 0)
        Console.Error.WriteLine($"{command}\n{printed}");
    return build.ExitCode == 0;
}

static T Find<T>(IReadOnlyList<T> all, Func<T, bool> isIt, string name)
    where T : class =>
    all.FirstOrDefault(isIt) ?? throw new ArgumentException($"{name} is none of them");

static string RepositoryRoot()
{
    DirectoryInfo? folder = new(AppContext.BaseDirectory);
    while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "HeartbeatServer.sln")))
        folder = folder.Parent;
    return folder?.FullName ?? throw new DirectoryNotFoundException("not inside the repository");
}
