using System.Globalization;

namespace LoadGenerator;

/// <summary>The command line: a mode and <c>--name value</c> pairs. Times are in seconds.</summary>
internal sealed class LoadOptions
{
    public const string Usage = """
        LoadGenerator MODE --port PORT [--name value ...]      prints one line of JSON; '@' marks for the driver go to stderr

          idle        --connections N --rate PER_SECOND --seconds S --settle S --ping S      hold, answer pings
          mute        the same and --mute K --seconds S (at most) --at-least S               K never answer a ping
          storm       --connections N --in-flight N --seconds S                              connect as fast as they come, hold
          echo        --connections N --size BYTES --depth N --binary 0|1 --warm-up S --seconds S
          handshake   --connections N (in flight) --warm-up S --seconds S                    upgrade, Close frame, again
          flood       --connections N --size BYTES --watchers N --ping S --warm-up S --seconds S
                      send without pause; beside them, watchers answer pings and newcomers want one echo each
          tail        --connections N --size BYTES --rate PER_SECOND --watchers N --comers N --warm-up S --seconds S
                      echoes at a fixed rate; beside them, watchers answer pings, and a group of comers comes and leaves every few seconds
        """;

    private readonly Dictionary<string, string> _values = [];

    private LoadOptions(string mode) => Mode = mode;

    public string Mode { get; }
    public int Port => (int)Number("port", 0);
    public string Path => _values.GetValueOrDefault("path", "/ws");
    public int Connections => (int)Number("connections", 64);
    public double Rate => Number("rate", 5000);
    public int InFlight => (int)Number("in-flight", 256);
    public double Seconds => Number("seconds", 10);
    public double WarmUp => Number("warm-up", 1);
    public double Settle => Number("settle", 0);
    public double AtLeast => Number("at-least", 0);
    public double Ping => Number("ping", 10);
    public int Watchers => (int)Number("watchers", 100);
    public int Comers => (int)Number("comers", 120);
    public int Mute => (int)Number("mute", 0);
    public int Size => (int)Number("size", 64);
    public int Depth => (int)Number("depth", 1);
    public bool IsBinary => Number("binary", 0) != 0;

    /// <returns>Null if the arguments make no sense.</returns>
    public static LoadOptions? Parse(string[] arguments)
    {
        if (arguments.Length % 2 == 0)
            return null;
        var options = new LoadOptions(arguments[0]);
        for (int i = 1; i < arguments.Length; i += 2)
            options._values[arguments[i].TrimStart('-')] = arguments[i + 1];
        bool sane = options is { Port: > 0 and < 65536, Connections: > 0 and <= 1_000_000, Seconds: > 0 and <= 600, Size: > 0 and <= 1 << 24, Depth: > 0 and <= 4096 };
        return sane ? options : null;
    }

    private double Number(string name, double otherwise) =>
        _values.TryGetValue(name, out string? text) ? double.Parse(text, CultureInfo.InvariantCulture) : otherwise;
}
