using System.Diagnostics;
using System.Net.NetworkInformation;
using System.Runtime.InteropServices;

namespace Driver;

/// <summary>A process of ours, pinned to a core; ended on disposal.</summary>
internal sealed partial class PinnedProcess : IDisposable
{
    private const int Terminate = 15;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(6);

    private readonly Process _process;

    /// <param name="core">Its core.</param>
    /// <param name="command">Words, split at spaces.</param>
    public PinnedProcess(int core, string command)
    {
        var start = new ProcessStartInfo("taskset") { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string word in (string[])["-c", $"{core}", .. command.Split(' ', StringSplitOptions.RemoveEmptyEntries)])
            start.ArgumentList.Add(word);
        _process = Process.Start(start)!;
    }

    /// <summary>taskset becomes the program: the number is the program's own.</summary>
    public int Id => _process.Id;

    public bool HasExited => _process.HasExited;

    public StreamReader Output => _process.StandardOutput;

    public StreamReader Errors => _process.StandardError;

    public Task WaitAsync(CancellationToken cancel) => _process.WaitForExitAsync(cancel);

    /// <summary>Collects what it prints, so that it never waits for a reader.</summary>
    public void LogTo(TextWriter log)
    {
        DataReceivedEventHandler write = (_, line) =>
        {
            lock (log)
                log.WriteLine(line.Data);
        };
        _process.OutputDataReceived += write;
        _process.ErrorDataReceived += write;
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    public async Task<bool> ListensAsync(int port, TimeSpan within, CancellationToken cancel)
    {
        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(start) < within && !HasExited)
        {
            if (IsListening(port))
                return true;
            await Task.Delay(50, cancel);
        }
        return false;
    }

    public static bool IsListening(int port) =>
        IPGlobalProperties.GetIPGlobalProperties().GetActiveTcpListeners().Any(endpoint => endpoint.Port == port);

    public void Dispose()
    {
        if (!HasExited)
        {
            _ = kill(Id, Terminate);
            if (!_process.WaitForExit(Patience))
            {
                _process.Kill();
                _process.WaitForExit();
            }
        }
        _process.Dispose();
    }

    [LibraryImport("libc")]
    private static partial int kill(int process, int signal);
}
