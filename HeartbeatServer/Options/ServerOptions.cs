using HeartbeatServer.Protocol;
using Serilog.Events;

namespace HeartbeatServer.Options;

internal enum OnMessage
{
    Echo,
    Discard,
}

internal enum LogFormat
{
    Text,
    Json,
}

/// <summary>The command line, validated. One property an option, with its default.</summary>
internal sealed record ServerOptions
{
    /// <summary>Health checks go to this path, so it is not free for <see cref="Path"/>.</summary>
    public const string HealthPath = "/healthz";

    public int Port { get; init; } = 8080;
    public string Host { get; init; } = "*";
    public string Path { get; init; } = "/ws";
    public TimeSpan Ping { get; init; } = TimeSpan.FromSeconds(10);
    public TimeSpan Timeout { get; init; } = TimeSpan.FromMilliseconds(500);
    public int MaxMissed { get; init; } = 3;
    public OnMessage OnMessage { get; init; } = OnMessage.Echo;

    /// <summary>In bytes.</summary>
    public int MaxMessage { get; init; } = 1024 * 1024;

    public TimeSpan WriteTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Zero for no limit.</summary>
    public int MaxConnections { get; init; }

    /// <inheritdoc cref="MaxConnections"/>
    public int MaxConnectionsPerIp { get; init; }
    public AllowedOrigins AllowOrigin { get; init; } = AllowedOrigins.Any;
    public TrustedProxies TrustProxy { get; init; } = TrustedProxies.None;
    public TimeSpan HandshakeTimeout { get; init; } = TimeSpan.FromSeconds(10);
    public TimeSpan Drain { get; init; } = TimeSpan.FromSeconds(8);

    /// <summary>Zero for never.</summary>
    public TimeSpan Summary { get; init; } = TimeSpan.Zero;

    /// <summary>Null for none.</summary>
    public HostPort? Admin { get; init; }
    public LogEventLevel LogLevel { get; init; } = LogEventLevel.Information;
    public LogFormat LogFormat { get; init; } = LogFormat.Text;

    /// <summary>Where the server listens.</summary>
    public HostPort Address => new(Host, Port);

    public HeartbeatTimings Timings => new(Ping, Timeout, MaxMissed);

    /// <summary>Every option as on the command line, without the dashes.</summary>
    public IReadOnlyDictionary<string, string> Texts()
    {
        return new Dictionary<string, string>
        {
            ["port"] = $"{Port}",
            ["host"] = Host,
            ["path"] = Path,
            ["ping"] = Duration.Format(Ping),
            ["timeout"] = Duration.Format(Timeout),
            ["max-missed"] = $"{MaxMissed}",
            ["on-message"] = Lower(OnMessage),
            ["max-message"] = ByteSize.Format(MaxMessage),
            ["max-connections"] = $"{MaxConnections}",
            ["max-connections-per-ip"] = $"{MaxConnectionsPerIp}",
            ["allow-origin"] = $"{AllowOrigin}",
            ["trust-proxy"] = $"{TrustProxy}",
            ["handshake-timeout"] = Duration.Format(HandshakeTimeout),
            ["drain"] = Duration.Format(Drain),
            ["summary"] = Duration.Format(Summary),
            ["admin"] = Admin?.ToString() ?? "off",
            ["log-level"] = Lower(LogLevel),
            ["log-format"] = Lower(LogFormat),
        };

#pragma warning disable CA1308 // Lower case is how it is written on the command line.
        static string Lower<T>(T value) where T : struct, Enum => value.ToString().ToLowerInvariant();
#pragma warning restore CA1308
    }
}
