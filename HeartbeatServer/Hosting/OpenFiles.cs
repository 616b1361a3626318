using System.Globalization;
using System.Runtime.InteropServices;

namespace HeartbeatServer.Hosting;

/// <summary>How many more connections the limit of open files allows. Without a /proc file system: as many as you like.</summary>
internal sealed partial class OpenFiles
{
    /// <summary>With fewer the runtime itself stumbles, before there is a client.</summary>
    private const int Least = 64;

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

    /// <summary>Files kept free for everything that is not a connection, and for what comes in before we notice.</summary>
    private int Reserve => Math.Clamp(_limit / 10, 64, 512);

    /// <summary>The most connections; <see cref="int.MaxValue"/> if there is no limit.</summary>
    public int MaxConnections => _limit == int.MaxValue ? int.MaxValue : Math.Max(1, _limit - _own - Reserve);

    /// <summary>
    /// Raises the limit as far as this process may: the soft one to the hard one. The runtime does so by itself, but not under Native AOT; and
    /// many systems start services, pods and logins with a soft limit of 1,024.
    /// </summary>
    /// <returns>Null; or why it is too low to start, for a person.</returns>
    public static string? Raise()
    {
        if (OperatingSystem.IsWindows())
            return null;
        int resource = OperatingSystem.IsLinux() ? 7 : 8; // RLIMIT_NOFILE
        if (GetLimit(resource, out ResourceLimit limit) != 0)
            return null; // a sandbox that does not tell: then it is as it is
        ulong possible = OperatingSystem.IsMacOS() ? Math.Min(limit.Hard, 10_240 /* OPEN_MAX */) : limit.Hard;
        // Where it is forbidden, the limit that there is has to do: connections are counted against it.
        if (limit.Soft < possible && SetLimit(resource, new ResourceLimit { Soft = possible, Hard = limit.Hard }) == 0)
            limit.Soft = possible;
        return limit.Soft < Least ? $"The limit of open files (ulimit -n) is {limit.Soft}: at least {Least} are needed, and one for each connection." : null;
    }

    /// <summary>How many are open; 0 without a /proc file system.</summary>
    public int CountOpen()
    {
        if (OperatingSystem.IsWindows())
            return 0;
        // Not with .NET's enumeration, which asks the system what each link leads to: 0.2 s of CPU for 20,000.
        nint folder = OpenFolder(_descriptors);
        if (folder == 0)
            return 0;
        int count = -2; // . and ..
        while (ReadFolder(folder) != 0)
            count++;
        _ = CloseFolder(folder);
        return count;
    }

    [LibraryImport("libc", EntryPoint = "getrlimit")]
    private static partial int GetLimit(int resource, out ResourceLimit limit);

    [LibraryImport("libc", EntryPoint = "setrlimit")]
    private static partial int SetLimit(int resource, in ResourceLimit limit);

    [LibraryImport("libc", EntryPoint = "opendir", StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint OpenFolder(string path);

    [LibraryImport("libc", EntryPoint = "readdir")]
    private static partial nint ReadFolder(nint folder);

    [LibraryImport("libc", EntryPoint = "closedir")]
    private static partial int CloseFolder(nint folder);

    /// <summary><c>struct rlimit</c> of a 64-bit system.</summary>
    private struct ResourceLimit
    {
        public ulong Soft;
        public ulong Hard;
    }
}
