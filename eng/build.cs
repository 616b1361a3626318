// What build.sh and build.ps1 do: they hand their arguments over to this file.
using System.Diagnostics;
using System.Formats.Tar;
using System.IO.Compression;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Xml.Linq;

const string usage = """
    Usage: build.sh VERB [arguments]      (on Windows: build.ps1)

      build     check the format and build everything
      test      build, then run the tests; further arguments go to dotnet test
      run       run the server; further arguments are the server's
      publish   make one self-contained executable, dist/RID/HeartbeatServer: native for this platform, else trimmed, with the runtime inside;
                and an archive of it with the licence and the documents, dist/HeartbeatServer-VERSION-RID.tar.gz, whose checksum is in dist/SHA256SUMS;
                publish [rid] [arguments of dotnet publish], such as win-x64, linux-x64, linux-arm64, linux-musl-x64 or osx-arm64
      pack      make a tool for dotnet tool install, dist/HeartbeatServer.VERSION.nupkg, with its checksum
      bench     measure the server beside its peers; bench --help has the options, bench/README.md the rest
      format    rewrite the sources to the project's format
    """;

string root = Path.GetDirectoryName(Path.GetDirectoryName(SourceOf()))!;
string verb = args.Length == 0 ? "help" : args[0];
string[] rest = args.Length < 2 ? [] : args[1..];

return verb switch
{
    "build" => Build(),
    "test" => Build() is not 0 and var failed ? failed : Dotnet(["test", .. rest]),
    "run" => Dotnet(["run", "--project", "HeartbeatServer", "--", .. rest]),
    "publish" when rest is [var rid, .. var options] && !rid.StartsWith('-') => Publish(rid, options),
    "publish" => Publish(Platform(), rest),
    "pack" => Pack(rest),
    "bench" when rest is ["micro", .. var options] => Dotnet(["run", "-c", "Release", "--project", "bench/Micro", "--", .. options]),
    "bench" => Dotnet(["run", "-c", "Release", "--project", "bench/Driver", "--", .. rest]),
    "format" => Dotnet(["format"]),
    "help" or "-h" or "--help" => Help(),
    _ => Unknown(),
};

int Build() => Dotnet(["format", "--verify-no-changes"]) is not 0 and var unformatted ? unformatted : Dotnet(["build"]);

int Publish(string rid, string[] options)
{
    // Into a folder of its own: a publish that fails leaves the last good file where it is.
    string symbols = Path.Combine(root, "dist", "symbols", rid);
    string made = symbols + ".unfinished";
    Delete(made);

    // The native compiler needs the linker and the libraries of its target: those of another platform are not here.
    string[] kind = rid == Platform() ? [] : ["-p:PublishAot=false", "-p:PublishSingleFile=true", "-p:PublishTrimmed=true"];
    if (Dotnet(["publish", "HeartbeatServer", "-c", "Release", "-r", rid, "--self-contained", "-o", made, .. kind, .. options]) is not 0 and var failed)
        return failed;

    string file = rid.StartsWith("win", StringComparison.Ordinal) ? "HeartbeatServer.exe" : "HeartbeatServer";
    string target = Path.Combine(root, "dist", rid, file);
    Directory.CreateDirectory(Path.GetDirectoryName(target)!);
    File.Move(Path.Combine(made, file), target, overwrite: true);
    // What is left are the symbols, which are no use to whoever runs it.
    Delete(symbols);
    Directory.Move(made, symbols);
    string archive = Archive($"HeartbeatServer-{Version()}-{rid}", target);
    WriteChecksums();
    Console.WriteLine($"dist/{rid}/{file}: {new FileInfo(target).Length / 1e6:F1} MB");
    Console.WriteLine($"In an archive: dist/{archive}: {new FileInfo(Path.Combine(root, "dist", archive)).Length / 1e6:F1} MB");
    return 0;
}

int Pack(string[] options)
{
    Directory.CreateDirectory(Path.Combine(root, "dist"));
    if (Dotnet(["pack", "HeartbeatServer", .. options]) is not 0 and var failed)
        return failed;
    WriteChecksums();
    return 0;
}

// The executable with what its user needs beside it, in a folder of the archive's name. Returns the name of the file in dist.
string Archive(string name, string executable)
{
    string archive = name + ".tar.gz";
    string made = Path.Combine(root, "dist", archive + ".unfinished");
    string docs = Path.Combine(root, "docs");
    string[] beside =
    [
        Path.Combine(root, "LICENSE"), Path.Combine(root, "README.md"), Path.Combine(root, "SECURITY.md"), Path.Combine(root, "CHANGELOG.md"),
        .. Directory.EnumerateFiles(docs, "*.md").Order(StringComparer.Ordinal), Path.Combine(docs, "dashboard.png"),
    ];
    using (var tar = new TarWriter(new GZipStream(File.Create(made), CompressionLevel.SmallestSize), TarEntryFormat.Ustar, leaveOpen: false))
    {
        Add(tar, executable, $"{name}/{Path.GetFileName(executable)}", (UnixFileMode)Convert.ToInt32("755", 8));
        foreach (string file in beside)
            Add(tar, file, $"{name}/{Path.GetRelativePath(root, file).Replace('\\', '/')}", (UnixFileMode)Convert.ToInt32("644", 8));
    }
    File.Move(made, Path.Combine(root, "dist", archive), overwrite: true);
    return archive;
}

void Add(TarWriter tar, string file, string name, UnixFileMode mode)
{
    using FileStream content = File.OpenRead(file);
    tar.WriteEntry(new UstarTarEntry(TarEntryType.RegularFile, name) { Mode = mode, ModificationTime = File.GetLastWriteTimeUtc(file), DataStream = content });
}

// Of every archive and package in dist, in the form of sha256sum.
void WriteChecksums()
{
    string dist = Path.Combine(root, "dist");
    IEnumerable<string> files = Directory.EnumerateFiles(dist).Where(file => file.EndsWith(".tar.gz", StringComparison.Ordinal) || file.EndsWith(".nupkg", StringComparison.Ordinal));
    File.WriteAllLines(Path.Combine(dist, "SHA256SUMS"), files.Order(StringComparer.Ordinal).Select(file =>
    {
        using FileStream content = File.OpenRead(file);
        return $"{Convert.ToHexStringLower(SHA256.HashData(content))}  {Path.GetFileName(file)}";
    }));
}

string Version() => XDocument.Load(Path.Combine(root, "Directory.Build.props")).Descendants("Version").Single().Value;

void Delete(string folder)
{
    if (Directory.Exists(folder))
        Directory.Delete(folder, recursive: true);
}

// This machine's, as packages are named. A distribution's own SDK is built for ubuntu.24.04-x64 or the like, for which there are none.
string Platform()
{
    bool isMusl = OperatingSystem.IsLinux() && File.ReadLines("/proc/self/maps").Any(line => line.Contains("/ld-musl-", StringComparison.Ordinal));
    string system = OperatingSystem.IsWindows() ? "win" : OperatingSystem.IsMacOS() ? "osx" : isMusl ? "linux-musl" : "linux";
    return $"{system}-{RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()}";
}

int Help()
{
    Console.WriteLine(usage);
    return 0;
}

int Unknown()
{
    Console.Error.WriteLine($"'{verb}' is not a verb.\n\n{usage}");
    return 2;
}

int Dotnet(string[] arguments)
{
    // Ctrl+C is for the child, which shares the terminal: this process only waits for it.
    Console.CancelKeyPress += (_, pressed) => pressed.Cancel = true;
    using Process child = Process.Start(new ProcessStartInfo("dotnet", arguments) { WorkingDirectory = root })!;
    child.WaitForExit();
    return child.ExitCode;
}

static string SourceOf([System.Runtime.CompilerServices.CallerFilePath] string path = "") => path;
