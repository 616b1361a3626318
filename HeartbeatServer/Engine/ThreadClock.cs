using System.Runtime.InteropServices;

namespace HeartbeatServer.Engine;

/// <summary>Measures how much processor time a thread uses.</summary>
internal static partial class ThreadClock
{
    /// <summary>
    /// The processor time of the calling thread since its start, in user and system mode together; zero where the system is not Linux.
    /// </summary>
    public static TimeSpan CpuTime
    {
        get
        {
            const int threadCpuTime = 3; // CLOCK_THREAD_CPUTIME_ID
            if (!OperatingSystem.IsLinux() || GetTime(threadCpuTime, out Time time) != 0)
                return TimeSpan.Zero;
            return TimeSpan.FromSeconds(time.Seconds) + TimeSpan.FromMicroseconds(time.Nanoseconds / 1000.0);
        }
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int GetTime(int clock, out Time time);

    /// <summary><c>struct timespec</c> of a 64-bit system.</summary>
    private struct Time
    {
        public long Seconds;
        public long Nanoseconds;
    }
}
