using System.Globalization;

namespace Driver;

/// <summary>The command line.</summary>
internal sealed class BenchOptions
{
    public const string Usage = """
        Usage: build.sh bench [options]      measure the server beside its peers; about 15 minutes

          --servers A,B     of ours, ours-jit, gorilla, kestrel, httplistener (default: all but ours-jit), or of relay, nginx, haproxy
          --relays          the relay beside nginx and HAProxy, an echo server behind each, in the phases that are for relays
          --add NAME=CMD    one more server, repeatable; {port}, {ping} and {timeout} (in ms) are filled in; a relay gets {upstream}
          --phases A,B      of idle, mute, echo64, echo64d16, echo64k, echo1000, handshake, tail, flood, flood1000, storm (default: all), pairs
          --reps N          runs of each server in each phase, interleaved (default 3)
          --seconds S       measured seconds of an echo or handshake run (default 2)
          --quick           one short run of each: about 3 minutes, for a first look only
          --out PATH        writes PATH.md and PATH.jsonl (default bench/dist/results)
          --docs            also puts the tables into docs/benchmarks.md, and the runs beside it
          --no-build        use what the last run built

        build.sh bench micro wheel            the timing wheel with up to 1,000,000 heartbeats
        build.sh bench micro [options]        micro-benchmarks; the options are BenchmarkDotNet's
        """;

    private double? _seconds;
    private int? _reps;
    private string[]? _servers, _phases;

    public IReadOnlyList<string> Servers => _servers ?? (ComparesRelays ? ["relay", "nginx", "haproxy"] : ["ours", "gorilla", "kestrel", "httplistener"]);
    public IReadOnlyList<string> Phases => _phases ?? (ComparesRelays ? Phase.OfRelays : Phase.OfServers);
    public Dictionary<string, string> Added { get; } = [];
    public int Reps => _reps ?? (IsQuick ? 1 : 3);
    public double Seconds => _seconds ?? (IsQuick ? 1 : 2);
    public bool IsQuick { get; private set; }
    public bool ComparesRelays { get; private set; }
    public string? Out { get; private set; }
    public bool IntoDocs { get; private set; }
    public bool Builds { get; private set; } = true;

    /// <exception cref="ArgumentException">With what is wrong.</exception>
    public static BenchOptions Parse(string[] arguments)
    {
        var options = new BenchOptions();
        for (int i = 0; i < arguments.Length; i++)
        {
            string name = arguments[i];
            string Value() => ++i < arguments.Length ? arguments[i] : throw new ArgumentException($"{name} needs a value");
            switch (name)
            {
                case "--servers": options._servers = Split(Value()); break;
                case "--phases": options._phases = Split(Value()); break;
                case "--reps": options._reps = (int)Number(name, Value(), 1, 50); break;
                case "--seconds": options._seconds = Number(name, Value(), 0.5, 60); break;
                case "--out": options.Out = Value(); break;
                case "--relays": options.ComparesRelays = true; break;
                case "--quick": options.IsQuick = true; break;
                case "--docs": options.IntoDocs = true; break;
                case "--no-build": options.Builds = false; break;
                case "--add":
                    string[] pair = Value().Split('=', 2);
                    if (pair.Length < 2)
                        throw new ArgumentException("--add takes NAME=COMMAND");
                    options.Added[pair[0]] = pair[1];
                    break;
                default: throw new ArgumentException($"unknown option {name}");
            }
        }
        return options;
    }

    private static string[] Split(string list) => list.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    private static double Number(string name, string text, double low, double high) =>
        double.TryParse(text, CultureInfo.InvariantCulture, out double number) && number >= low && number <= high
            ? number
            : throw new ArgumentException($"{name}: {text} is not a number from {low} to {high}");
}
