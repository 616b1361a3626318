using System.Diagnostics;
using System.Globalization;

namespace Driver;

/// <summary>What was used up to one moment, in seconds.</summary>
/// <param name="Time">Monotonic.</param>
/// <param name="Server">CPU of the server process.</param>
/// <param name="Load">CPU of the load generator.</param>
/// <param name="Application">CPU of the application behind a relay.</param>
/// <param name="Machine">CPU of everything.</param>
/// <param name="Operations">As the mark of the load generator says.</param>
internal readonly record struct Sample(double Time, double Server, double Load, double Application, double Machine, long Operations)
{
    private const double TicksPerSecond = 100;

    // Of the first line of /proc/stat: user, nice, system, irq, softirq, steal; not idle and iowait.
    private static readonly int[] Busy = [1, 2, 3, 6, 7, 8];

    public static Sample Take(int server, int load, int? application, long operations) => new(
        Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency,
        ProcessFigures.Cpu(server),
        ProcessFigures.Cpu(load),
        application is { } behind ? ProcessFigures.Cpu(behind) : 0,
        MachineBusy(),
        operations);

    public static Sample operator -(Sample end, Sample start) => new(
        end.Time - start.Time,
        end.Server - start.Server,
        end.Load - start.Load,
        end.Application - start.Application,
        end.Machine - start.Machine,
        end.Operations - start.Operations);

    private static double MachineBusy()
    {
        string[] fields = File.ReadLines("/proc/stat").First().Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return Busy.Sum(i => double.Parse(fields[i], CultureInfo.InvariantCulture)) / TicksPerSecond;
    }
}
