using System.Reflection;
using System.Security.Cryptography;

namespace HeartbeatServer.Admin;

/// <summary>A file of the dashboard.</summary>
/// <param name="ContentType">With the charset.</param>
/// <param name="Content">The file as the build embedded it.</param>
/// <param name="ETag">A hash of the content, in quotes.</param>
internal sealed record DashboardFile(string ContentType, byte[] Content, string ETag);

/// <summary>The files of the folder <c>Dashboard</c>, which the build embeds in the executable.</summary>
internal sealed class DashboardFiles
{
    private const string Prefix = "dashboard/";
    private const string Page = "dashboard.html";

    private readonly Dictionary<string, DashboardFile> _files = [];

    public DashboardFiles()
    {
        Assembly assembly = typeof(DashboardFiles).Assembly;
        foreach (string name in assembly.GetManifestResourceNames().Where(name => name.StartsWith(Prefix, StringComparison.Ordinal)))
        {
            using Stream stream = assembly.GetManifestResourceStream(name)!;
            var content = new byte[stream.Length];
            stream.ReadExactly(content);
            string file = name[Prefix.Length..];
            _files.Add(
                file == Page ? "/" : "/" + file,
                new DashboardFile(ContentType(file), content, $"\"{Convert.ToHexStringLower(SHA256.HashData(content).AsSpan(0, 8))}\""));
        }
    }

    /// <param name="path">The path of the request; "/" is the page.</param>
    /// <returns>Null if there is no such file.</returns>
    public DashboardFile? Find(string path) => _files.GetValueOrDefault(path);

    private static string ContentType(string file) => Path.GetExtension(file) switch
    {
        ".html" => "text/html; charset=utf-8",
        ".css" => "text/css; charset=utf-8",
        ".js" => "text/javascript; charset=utf-8",
        ".svg" => "image/svg+xml; charset=utf-8",
        ".txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
}
