// What build.sh and build.ps1 do: they hand their arguments over to this file.
using System.Diagnostics;

const string usage = """
    Usage: build.sh VERB [arguments]      (on Windows: build.ps1)

      build     check the format and build everything
      test      build, then run the tests; further arguments go to dotnet test
      run       run the server; further arguments are the server's
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
    "bench" when rest is ["micro", .. var options] => Dotnet(["run", "-c", "Release", "--project", "bench/Micro", "--", .. options]),
    "bench" => Dotnet(["run", "-c", "Release", "--project", "bench/Driver", "--", .. rest]),
    "format" => Dotnet(["format"]),
    "help" or "-h" or "--help" => Help(),
    _ => Unknown(),
};

int Build() => Dotnet(["format", "--verify-no-changes"]) is not 0 and var unformatted ? unformatted : Dotnet(["build"]);

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
