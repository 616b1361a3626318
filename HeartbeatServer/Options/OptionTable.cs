using HeartbeatServer.Protocol;
using static HeartbeatServer.Options.OptionRow;
using static HeartbeatServer.Options.Syntax;

namespace HeartbeatServer.Options;

/// <summary>
/// All options. The help, the validation, the environment and <c>/status</c> go by this table. A new option is a property of
/// <see cref="ServerOptions"/>, which has its default, and a row here in the group where a reader of the help looks for it.
/// </summary>
internal static class OptionTable
{
    public static IReadOnlyList<OptionGroup> Groups { get; } =
    [
        new("Where it listens", [
            One("--port", "port", "TCP port to listen on, 1 to 65535",
                Number(1, 65535), o => o.Port, (o, port) => o with { Port = port }),
            One("--host", "address", "address or host name to bind; * is every interface (IPv4 and IPv6), 0.0.0.0 every IPv4 interface",
                Host, o => o.Host, (o, host) => o with { Host = host }),
            One("--path", "path", "where upgrades are accepted; * is every path, the default with --upstream",
                UrlPath, o => o.Path, (o, path) => o with { Path = path }),
            One("--tls-cert", "file", "speak TLS (wss://, https://) with this certificate: PEM, its chain behind it; a new one in the file is taken without a restart",
                FileOrNone, o => o.TlsCert, (o, file) => o with { TlsCert = file }),
            One("--tls-key", "file", "the private key of --tls-cert: PEM, without a passphrase",
                FileOrNone, o => o.TlsKey, (o, file) => o with { TlsKey = file }),
        ]),
        new("Heartbeat", [
            One("--ping", "duration", "time between two pings on one connection; 0 for no pings",
                TimeOrZero(HeartbeatTimings.Shortest), o => o.Ping, (o, time) => o with { Ping = time }),
            One("--timeout", "duration", "how long after a ping its pong counts as in time, at most --ping; 0 to never judge",
                TimeOrZero(HeartbeatTimings.Shortest), o => o.Timeout, (o, time) => o with { Timeout = time }),
            One("--max-missed", "count", "missed pongs in a row after which the connection is cut",
                Number(1, 1000), o => o.MaxMissed, (o, count) => o with { MaxMissed = count }),
        ]),
        new("In front of an application", [
            One("--upstream", "http://host:port", "relay to this application instead of echoing; https:// with TLS; ws:// and wss:// mean the same",
                UrlOrNone, o => o.Upstream, (o, url) => o with { Upstream = url }),
            One("--upstream-ca", "file", "who may have signed the application's certificate, in PEM; none for those whom the system trusts",
                FileOrNone, o => o.UpstreamCa, (o, file) => o with { UpstreamCa = file }),
            One("--upstream-insecure", "true|false", "do not verify the application's certificate",
                Flag, o => o.UpstreamInsecure, (o, isOn) => o with { UpstreamInsecure = isOn }) with { Alone = "true" },
            One("--upstream-http", "on|off", "whether pages, the requests without an upgrade, go to the application, too; with off they get 426",
                Word<UpstreamHttp>(), o => o.UpstreamHttp, (o, word) => o with { UpstreamHttp = word }),
            One("--upstream-timeout", "duration", "how long the application may take to answer an upgrade, or to take the connection of a page",
                Time(TimeSpan.FromMilliseconds(100)), o => o.UpstreamTimeout, (o, time) => o with { UpstreamTimeout = time }),
        ]),
        new("Messages", [
            One("--on-message", "echo|discard", "what to do with data messages",
                Word<OnMessage>(), o => o.OnMessage, (o, word) => o with { OnMessage = word }),
            One("--max-message", "size", "larger messages end the connection with 1009; 0 for no limit, the default with --upstream and possible only there",
                SizeOrZero(1, 1 << 30, ", or 0 with --upstream"), o => o.MaxMessage, (o, size) => o with { MaxMessage = size }),
            One("--max-buffered", "size", "unfinished messages and untaken replies of all clients may take so much; 0 for a quarter of the memory",
                SizeOrZero(1L, 1L << 40, ", or 0"), o => o.MaxBuffered, (o, size) => o with { MaxBuffered = size }),
            One("--write-timeout", "duration", "a client that takes no byte for so long while bytes wait for it, or sends none of a page's body, is cut",
                Time(TimeSpan.FromMilliseconds(100)), o => o.WriteTimeout, (o, time) => o with { WriteTimeout = time }),
        ]),
        new("Who may connect", [
            Many("--allow-origin", "origin", "pages that may connect, others get 403: https://app.example.com, *.example.com, file://, null; requests without Origin pass",
                Origin, o => o.AllowOrigin, (o, origins) => o with { AllowOrigin = new AllowedOrigins(origins) }),
            Many("--subprotocol", "name", "subprotocols that are spoken: the first of a client's offers that is among them; none to speak none",
                Subprotocol, o => o.Subprotocol, (o, names) => o with { Subprotocol = new Subprotocols(names) }),
            Many("--trust-proxy", "network", "proxies whose X-Forwarded-For or Forwarded names the client: 10.0.0.0/8, 127.0.0.1",
                Network, o => o.TrustProxy, (o, networks) => o with { TrustProxy = new TrustedProxies(networks) }),
            One("--max-connections", "count", "further upgrades and pages get 503; 0 for no limit",
                Number(0, int.MaxValue), o => o.MaxConnections, (o, count) => o with { MaxConnections = count }),
            One("--max-connections-per-ip", "count", "further upgrades and pages from the same address get 429; 0 for no limit",
                Number(0, int.MaxValue), o => o.MaxConnectionsPerIp, (o, count) => o with { MaxConnectionsPerIp = count }),
            One("--handshake-timeout", "duration", "a TCP connection that has not finished its HTTP request by then is closed",
                Time(TimeSpan.FromMilliseconds(100)), o => o.HandshakeTimeout, (o, time) => o with { HandshakeTimeout = time }),
        ]),
        new("What it shows", [
            One("--admin", "host:port", "where the dashboard, /metrics and /status are; a port alone, 9090, is on 127.0.0.1",
                AddressOrOff, o => o.Admin, (o, address) => o with { Admin = address }),
            One("--log-level", "level", "verbose, debug (each ping and pong), information (or info), warning, error or fatal",
                LogLevel, o => o.LogLevel, (o, word) => o with { LogLevel = word }),
            One("--log-format", "text|json", "text for people, json for programs (one object a line)",
                Word<LogFormat>(), o => o.LogFormat, (o, word) => o with { LogFormat = word }),
            One("--summary", "duration", "how often to log the totals; 0 for only at the exit",
                TimeOrZero(TimeSpan.FromSeconds(1)), o => o.Summary, (o, time) => o with { Summary = time }),
        ]),
        new("Shutdown", [
            One("--drain", "duration", "at most this long from SIGTERM or Ctrl+C to the exit; 0 to cut at once",
                TimeOrZero(TimeSpan.FromMilliseconds(1)), o => o.Drain, (o, time) => o with { Drain = time }),
        ]),
        new("For those who develop the server", [
            One("--plain-requests", "true|false", "take requests from HttpListener's own accept loop on every system",
                Flag, o => o.PlainRequests, (o, isOn) => o with { PlainRequests = isOn }) with { Alone = "true", IsHidden = true },
        ]),
    ];

    public static IReadOnlyList<OptionRow> Rows { get; } = [.. Groups.SelectMany(group => group.Rows)];

    /// <summary>Every option as on the command line, without the dashes. A hidden one is among them if it does not have its default.</summary>
    public static IReadOnlyDictionary<string, string> Texts(ServerOptions options)
    {
        var defaults = new ServerOptions();
        return Rows
            .Where(row => !row.IsHidden || row.Write(options) != row.Write(defaults))
            .ToDictionary(row => row.Name[2..], row => row.Write(options));
    }
}

/// <param name="Title">Stands above the rows in the help.</param>
/// <param name="Rows">The options.</param>
internal sealed record OptionGroup(string Title, IReadOnlyList<OptionRow> Rows);
