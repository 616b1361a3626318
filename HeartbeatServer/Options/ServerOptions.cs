using HeartbeatServer.Protocol;
using Serilog.Events;

namespace HeartbeatServer.Options;

internal enum OnMessage
{
    Echo,
    Discard,
}

internal enum UpstreamHttp
{
    On,
    Off,
}

internal enum LogFormat
{
    Text,
    Json,
}

/// <summary>All options, validated. Each is a property with its default here, and a row of the <see cref="OptionTable"/>.</summary>
internal sealed record ServerOptions
{
    /// <summary>Health checks go to this path, so it is not free for <see cref="Path"/>.</summary>
    public const string HealthPath = "/healthz";

    /// <summary>The value of <see cref="Path"/> that stands for every path but <see cref="HealthPath"/>.</summary>
    public const string EveryPath = "*";

    public int Port { get; init; } = 8080;
    public string Host { get; init; } = "*";
    public string Path { get; init; } = "/ws";

    /// <summary>The file with the certificate of the port; null for plain HTTP.</summary>
    public string? TlsCert { get; init; }

    /// <summary>The file with the private key of <see cref="TlsCert"/>.</summary>
    public string? TlsKey { get; init; }

    /// <summary>Whether the port speaks TLS.</summary>
    public bool HasTls => TlsCert is not null;

    /// <summary>The scheme of a request to the port.</summary>
    public string HttpScheme => HasTls ? "https" : "http";

    public TimeSpan Ping { get; init; } = TimeSpan.FromSeconds(10);
    public TimeSpan Timeout { get; init; } = TimeSpan.FromMilliseconds(500);
    public int MaxMissed { get; init; } = 3;
    public OnMessage OnMessage { get; init; } = OnMessage.Echo;

    /// <summary>The application that a relay passes frames and pages on to; null for the echo server.</summary>
    public UpstreamUrl? Upstream { get; init; }

    /// <summary>The file with the certificates that may have signed that of the application; null for those of the system.</summary>
    public string? UpstreamCa { get; init; }

    /// <summary>Whether the certificate of the application is not verified.</summary>
    public bool UpstreamInsecure { get; init; }

    /// <summary>Whether a relay passes pages on, or WebSockets alone.</summary>
    public UpstreamHttp UpstreamHttp { get; init; } = UpstreamHttp.On;

    /// <summary>
    /// How long the application may take from the client's complete upgrade request to its own complete answer. For a page it is the time to the
    /// connection: the answer to a page may take as long as it likes.
    /// </summary>
    public TimeSpan UpstreamTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>In bytes; zero for no limit, which only a relay may have.</summary>
    public int MaxMessage { get; init; } = 1024 * 1024;

    /// <summary>In bytes; zero for a quarter of the memory that the process may use.</summary>
    public long MaxBuffered { get; init; }

    public TimeSpan WriteTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Zero for no limit.</summary>
    public int MaxConnections { get; init; }

    /// <inheritdoc cref="MaxConnections"/>
    public int MaxConnectionsPerIp { get; init; }

    /// <summary>Which subprotocols are spoken.</summary>
    public Subprotocols Subprotocol { get; init; } = Subprotocols.Any;
    public AllowedOrigins AllowOrigin { get; init; } = AllowedOrigins.Any;
    public TrustedProxies TrustProxy { get; init; } = TrustedProxies.None;
    public TimeSpan HandshakeTimeout { get; init; } = TimeSpan.FromSeconds(10);
    public TimeSpan Drain { get; init; } = TimeSpan.FromSeconds(8);

    /// <summary>How often to log the totals; zero to log them only at the exit.</summary>
    public TimeSpan Summary { get; init; } = TimeSpan.Zero;

    /// <summary>Where the admin listener is; null for none.</summary>
    public HostPort? Admin { get; init; }
    public LogEventLevel LogLevel { get; init; } = LogEventLevel.Information;
    public LogFormat LogFormat { get; init; } = LogFormat.Text;

    /// <summary>Whether requests come from HttpListener's own accept loop, as they do on a system without epoll.</summary>
    public bool PlainRequests { get; init; }

    /// <summary>Where the server listens.</summary>
    public HostPort Address => new(Host, Port);

    /// <summary>Whether pages go to the application.</summary>
    public bool HasPages => Upstream is not null && UpstreamHttp == UpstreamHttp.On;

    public HeartbeatTimings Timings => new(Ping, Timeout, MaxMissed);
}
