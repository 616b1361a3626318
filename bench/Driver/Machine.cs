using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Driver;

/// <summary>What the figures were measured on.</summary>
internal static class Machine
{
    /// <param name="root">Of the repository.</param>
    public static IReadOnlyDictionary<string, string> Describe(string root)
    {
        bool isVirtual = Field("/proc/cpuinfo", "flags").Contains(" hypervisor", StringComparison.Ordinal);
        string[] files = Field("/proc/self/limits", "Max open files").Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return new Dictionary<string, string>
        {
            ["date"] = DateTimeOffset.UtcNow.ToString("yyyy-MM-dd HH:mm 'UTC'"),
            ["commit"] = Output(root, "git", "describe", "--always", "--dirty"),
            ["cpu"] = $"{Field("/proc/cpuinfo", "model name")}, {Environment.ProcessorCount} cores{(isVirtual ? ", virtual" : "")}",
            ["memory"] = Field("/proc/meminfo", "MemTotal"),
            ["kernel"] = File.ReadAllText("/proc/sys/kernel/osrelease").Trim(),
            ["system"] = RuntimeInformation.OSDescription,
            ["dotnet"] = RuntimeInformation.FrameworkDescription,
            ["go"] = Output(root, "go", "version"),
            ["open files"] = files.Length > 1 ? files[1] : "?",
        };
    }

    private static string Field(string file, string name) =>
        File.ReadLines(file).FirstOrDefault(line => line.StartsWith(name, StringComparison.Ordinal))?[name.Length..].Trim(' ', '\t', ':') ?? "?";

    private static string Output(string folder, params string[] command)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(command[0], command[1..]) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = folder })!;
            string output = process.StandardOutput.ReadToEnd().Trim();
            process.WaitForExit();
            return output.Length > 0 ? output : "?";
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return "not installed";
        }
    }
}
