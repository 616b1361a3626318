using System.Globalization;
using System.Runtime.InteropServices;

namespace Driver;

/// <summary>What the kernel knows of another process.</summary>
internal static unsafe partial class ProcessFigures
{
    /// <summary>CPU seconds, user and system, of all its threads, dead ones too. 0 if it is gone.</summary>
    public static double Cpu(int process)
    {
        // The clock's number is made as in clock_getcpuclockid(3). Ticks of /proc/PID/stat would be a hundredth of a second coarse.
        const int schedulerClock = 2;
        long* time = stackalloc long[2];
        return clock_gettime((~process << 3) | schedulerClock, time) == 0 ? time[0] + time[1] / 1e9 : 0;
    }

    /// <summary>Resident bytes, counted page by page now; the figure in /proc/PID/status may be off by the batches of its counters.</summary>
    public static long ResidentBytes(int process)
    {
        string line = File.ReadLines($"/proc/{process}/smaps_rollup").First(line => line.StartsWith("Rss:", StringComparison.Ordinal));
        return 1024 * long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
    }

    [LibraryImport("libc")]
    private static partial int clock_gettime(int clock, long* time);
}
