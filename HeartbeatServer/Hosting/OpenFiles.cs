using System.Globalization;
using System.IO.Enumeration;

namespace HeartbeatServer.Hosting;

/// <summary>How many more connections the limit of open files allows. Without a /proc file system: as many as you like.</summary>
internal sealed class OpenFiles
{
    private const string LimitName = "Max open files";

    private readonly int _limit = int.MaxValue;
    private readonly int _own;
    private readonly string _descriptors;

    /// <param name="proc"><c>/proc/self</c>, or what stands for it.</param>
    public OpenFiles(string proc)
    {
        _descriptors = Path.Combine(proc, "fd");
        string limits = Path.Combine(proc, "limits");
        if (!File.Exists(limits))
            return;
        string? line = File.ReadLines(limits).FirstOrDefault(line => line.StartsWith(LimitName, StringComparison.Ordinal));
        if (line is null || !int.TryParse(line[LimitName.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries)[0], CultureInfo.InvariantCulture, out int limit))
            return; // "unlimited"
        _limit = limit;
        _own = CountOpen();
    }

    /// <summary>Null if there is none.</summary>
    public int? Limit => _limit == int.MaxValue ? null : _limit;

    /// <summary>How many are open; 0 without a /proc file system.</summary>
    public int CountOpen() =>
        Directory.Exists(_descriptors) ? new FileSystemEnumerable<bool>(_descriptors, (ref FileSystemEntry _) => true).Count() : 0;

    /// <summary>Files kept free for everything that is not a connection, and for what comes in before we notice.</summary>
    private int Reserve => Math.Clamp(_limit / 10, 64, 512);

    /// <summary>The most connections; <see cref="int.MaxValue"/> if there is no limit.</summary>
    public int MaxConnections => _limit == int.MaxValue ? int.MaxValue : Math.Max(1, _limit - _own - Reserve);
}
