namespace Driver;

/// <summary>A server to measure.</summary>
/// <param name="Name">In options and results.</param>
/// <param name="Title">Of its column.</param>
/// <param name="Command">With {dist}, {port}, {ping} and {timeout} to be filled in, and {upstream} if it is a relay: the port of the application.</param>
/// <param name="Build">The command that builds it, with {dist}; null if it is there.</param>
internal sealed record Target(string Name, string Title, string Command, string? Build = null)
{
    private const string GorillaSource = "/usr/share/gocode/src/github.com/gorilla/websocket";
    private const string OurOptions = "--port {port} --ping {ping}ms --timeout {timeout}ms --max-missed 1 --log-level warning";

    private const string OurBuild = "dotnet publish HeartbeatServer -c Release -o {dist}/ours";

    public static IReadOnlyList<Target> All { get; } =
    [
        new("ours", "HeartbeatServer", $"{{dist}}/ours/HeartbeatServer {OurOptions}", OurBuild),
        new("ours-jit", "HeartbeatServer, JIT", $"dotnet {{dist}}/ours-jit/HeartbeatServer.dll {OurOptions}",
            "dotnet publish HeartbeatServer -c Release -p:PublishAot=false -o {dist}/ours-jit"),
        new("gorilla", "gorilla/websocket", "{dist}/gorilla {port} {ping} {timeout}",
            "env GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE={dist}/gocache go build -o {dist}/gorilla bench/Peers/gorilla/main.go"),
        new("kestrel", "Kestrel", "dotnet {dist}/kestrel/KestrelPeer.dll {port} {ping} {timeout}",
            "dotnet publish bench/Peers/Kestrel -c Release -o {dist}/kestrel"),
        new("httplistener", "HttpListener", "dotnet {dist}/httplistener/HttpListenerPeer.dll {port} {ping} {timeout}",
            "dotnet publish bench/Peers/HttpListener -c Release -o {dist}/httplistener"),
        new("relay", "HeartbeatServer", $"{{dist}}/ours/HeartbeatServer {OurOptions} --upstream ws://127.0.0.1:{{upstream}}", OurBuild),
        new("nginx", "nginx", "{dist}/../Peers/nginx.sh {dist} {port} {upstream}"),
        new("haproxy", "HAProxy", "{dist}/../Peers/haproxy.sh {dist} {port} {upstream}"),
    ];

    /// <summary>The application behind each relay: our own echo, which pings nobody. Its CPU does not count.</summary>
    public static Target Application { get; } =
        new("application", "", "{dist}/ours/HeartbeatServer --port {port} --ping 0 --log-level warning", OurBuild);

    public static Target LoadGenerator { get; } =
        new("load", "", "{dist}/load/LoadGenerator", "dotnet publish bench/LoadGenerator -c Release -o {dist}/load");

    public bool IsRelay => Command.Contains("{upstream}", StringComparison.Ordinal);

    /// <summary>Why it cannot be built or run here; null if it can.</summary>
    public string? Missing() => Name switch
    {
        "gorilla" when !IsInstalled("go") || !Directory.Exists(GorillaSource) =>
            "Go or gorilla/websocket is missing: apt-get install golang-go golang-github-gorilla-websocket-dev",
        "nginx" or "haproxy" when !IsInstalled(Name) => $"{Name} is missing: apt-get install {Name}",
        _ => null,
    };

    private static bool IsInstalled(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Any(folder => File.Exists(Path.Combine(folder, program)));
}
