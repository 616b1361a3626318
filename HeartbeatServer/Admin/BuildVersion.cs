using System.Reflection;

namespace HeartbeatServer.Admin;

/// <summary>Says which build is running.</summary>
internal static class BuildVersion
{
    private const int ShortCommit = 7;

    /// <summary>The version, with the commit if the build knew it: <c>0.1.0+abc1234</c>.</summary>
    public static string Text { get; } = Commit.Length == 0 ? Number : $"{Number}+{Commit}";

    public static string Number => Informational.Split('+')[0];

    /// <summary>The first seven digits of the commit; empty if the build did not know it.</summary>
    public static string Commit => Informational.Split('+') is [_, var commit, ..] ? commit[..Math.Min(commit.Length, ShortCommit)] : "";

    private static string Informational =>
        typeof(BuildVersion).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion;
}
