namespace Driver;

/// <summary>A server to measure.</summary>
/// <param name="Name">In options and results.</param>
/// <param name="Title">Of its column.</param>
/// <param name="Command">With {dist}, {port}, {ping} and {timeout} to be filled in.</param>
/// <param name="Build">The command that builds it, with {dist}; null if it is there.</param>
internal sealed record Target(string Name, string Title, string Command, string? Build = null)
{
    private const string GorillaSource = "/usr/share/gocode/src/github.com/gorilla/websocket";
    private const string OurOptions = "--port {port} --ping {ping}ms --timeout {timeout}ms --max-missed 1 --log-level warning";

    public static IReadOnlyList<Target> All { get; } =
    [
        new("ours", "HeartbeatServer", $"{{dist}}/ours/HeartbeatServer {OurOptions}", "dotnet publish HeartbeatServer -c Release -o {dist}/ours"),
        new("ours-jit", "HeartbeatServer, JIT", $"dotnet {{dist}}/ours-jit/HeartbeatServer.dll {OurOptions}",
            "dotnet publish HeartbeatServer -c Release -p:PublishAot=false -o {dist}/ours-jit"),
        new("gorilla", "gorilla/websocket", "{dist}/gorilla {port} {ping} {timeout}",
            "env GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE={dist}/gocache go build -o {dist}/gorilla bench/Peers/gorilla/main.go"),
        new("kestrel", "Kestrel", "dotnet {dist}/kestrel/KestrelPeer.dll {port} {ping} {timeout}",
            "dotnet publish bench/Peers/Kestrel -c Release -o {dist}/kestrel"),
        new("httplistener", "HttpListener", "dotnet {dist}/httplistener/HttpListenerPeer.dll {port} {ping} {timeout}",
            "dotnet publish bench/Peers/HttpListener -c Release -o {dist}/httplistener"),
    ];

    public static Target LoadGenerator { get; } =
        new("load", "", "{dist}/load/LoadGenerator", "dotnet publish bench/LoadGenerator -c Release -o {dist}/load");

    /// <summary>Why it cannot be built here; null if it can.</summary>
    public string? Missing()
    {
        if (Name != "gorilla")
            return null;
        bool hasGo = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Any(folder => File.Exists(Path.Combine(folder, "go")));
        return hasGo && Directory.Exists(GorillaSource)
            ? null
            : "Go or gorilla/websocket is missing: apt-get install golang-go golang-github-gorilla-websocket-dev";
    }
}
