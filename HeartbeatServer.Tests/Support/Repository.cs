using System.Runtime.CompilerServices;

namespace HeartbeatServer.Tests.Support;

/// <summary>The files of this repository, which tests read.</summary>
internal static class Repository
{
    private static readonly string Root = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(ThisFile())!, "..", ".."));

    /// <param name="path">Relative to the root of the repository.</param>
    public static string File(string path) => Path.Combine(Root, path);

    private static string ThisFile([CallerFilePath] string path = "") => path;
}
