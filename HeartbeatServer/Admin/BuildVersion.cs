using System.Reflection;

namespace HeartbeatServer.Admin;

/// <summary>Which build this is.</summary>
internal static class BuildVersion
{
    private const int ShortCommit = 7;

    /// <summary>The version, and the commit if it was known to the build: <c>0.1.0+abc1234</c>.</summary>
    public static string Text { get; } = Commit.Length == 0 ? Number : $"{Number}+{Commit}";

    public static string Number => Informational.Split('+')[0];

    /// <summary>Seven digits, or empty.</summary>
    public static string Commit => Informational.Split('+') is [_, var commit, ..] ? commit[..Math.Min(commit.Length, ShortCommit)] : "";

    private static string Informational =>
        typeof(BuildVersion).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion;
}
