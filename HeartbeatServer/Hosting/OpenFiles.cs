using System.Globalization;
using System.Runtime.InteropServices;

namespace HeartbeatServer.Hosting;

/// <summary>
/// The limit of open files of this process (<c>ulimit -n</c>), and how many connections it has room for, since each is a file. Where there is no /proc
/// file system the limit is not known, and taken for none.
/// </summary>
internal sealed partial class OpenFiles
{
    /// <summary>With fewer files there is no place for a client: the program itself has some 20 open, and keeps a reserve of 64.</summary>
    private const int Least = 96;

    private const string LimitName = "Max open files";

    private readonly int _limit = int.MaxValue;
    private readonly int _own;
    private readonly string _descriptors;

    /// <param name="proc">The folder in which Linux describes this process; a test gives another one.</param>
    public OpenFiles(string proc = "/proc/self")
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

    /// <summary>Null if there is no limit.</summary>
    public int? Limit => _limit == int.MaxValue ? null : _limit;

    /// <summary>Files that connections leave free. One half is <see cref="Spare"/>, and the other for everything else, such as the admin listener.</summary>
    private int Reserve => Math.Clamp(_limit / 10, 64, 512);

    /// <summary>How many connections there is room for, at least 1; <see cref="int.MaxValue"/> if there is no limit.</summary>
    public int MaxConnections => _limit == int.MaxValue ? int.MaxValue : Math.Max(1, _limit - _own - Reserve);

    /// <summary>How many files beyond <see cref="MaxConnections"/> a burst of clients may take, until their requests are read.</summary>
    public int Spare => Reserve / 2;

    /// <summary>
    /// Raises the soft limit to the hard one, which any process may do. The runtime does so by itself, but not under Native AOT. Many systems start
    /// services, pods and logins with a soft limit of 1,024.
    /// </summary>
    /// <exception cref="StartupException">Even the raised limit is too low to start.</exception>
    public static void Raise()
    {
        if (OperatingSystem.IsWindows())
            return;
        int resource = OperatingSystem.IsLinux() ? 7 : 8; // RLIMIT_NOFILE
        if (GetLimit(resource, out ResourceLimit limit) != 0)
            return; // a sandbox may forbid the question
        ulong possible = OperatingSystem.IsMacOS() ? Math.Min(limit.Hard, 10_240 /* OPEN_MAX */) : limit.Hard;
        // Where raising it is forbidden, the limit stays as it is, and connections are counted against that.
        if (limit.Soft < possible && SetLimit(resource, new ResourceLimit { Soft = possible, Hard = limit.Hard }) == 0)
            limit.Soft = possible;
        if (limit.Soft < Least)
            throw new StartupException($"The limit of open files (ulimit -n) is {limit.Soft}. The server itself needs {Least}, and one more for each connection.");
    }

    /// <summary>
    /// Makes it safe to write to standard output and error where the parent has closed some of the three standard descriptors. To be called before anything
    /// else: the console cannot be used without them, and a file or socket that gets their number would get the log.
    /// </summary>
    public static void OpenStandard()
    {
        if (OperatingSystem.IsWindows())
            return;
        const int getFlags = 1; // F_GETFD
        const int closeOnExec = 1; // FD_CLOEXEC
        const int readAndWrite = 2; // O_RDWR
        for (int standard = 0; standard <= 2; standard++)
        {
            int flags = Control(standard, getFlags);
            // A new descriptor is the lowest that is free: this one, since those below it are open.
            if (flags < 0)
                _ = Open("/dev/null", readAndWrite);
            // It did not come from the parent, so the runtime has opened it for something of its own, before this program began.
            else if ((flags & closeOnExec) != 0 && standard == 1)
                Console.SetOut(TextWriter.Null);
            else if ((flags & closeOnExec) != 0 && standard == 2)
                Console.SetError(TextWriter.Null);
        }
    }

    /// <summary>How many files this process has open; 0 without a /proc file system.</summary>
    public int CountOpen()
    {
        if (OperatingSystem.IsWindows())
            return 0;
        // .NET's enumeration also asks the system what each link leads to, which takes 0.2 s of CPU for 20,000 files.
        nint folder = OpenFolder(_descriptors);
        if (folder == 0)
            return 0;
        int count = -2; // . and ..
        while (ReadFolder(folder) != 0)
            count++;
        _ = CloseFolder(folder);
        return count;
    }

    [LibraryImport("libc", EntryPoint = "fcntl")]
    private static partial int Control(int descriptor, int command);

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

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

    /// <summary><c>struct rlimit</c> on a 64-bit system.</summary>
    private struct ResourceLimit
    {
        public ulong Soft;
        public ulong Hard;
    }
}
