using HeartbeatServer.Protocol;
using Serilog.Events;

namespace HeartbeatServer.Hosting;

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
    public int Port { get; init; } = 8080;
    public string Host { get; init; } = "*";
    public string Path { get; init; } = "/ws";
    public TimeSpan Ping { get; init; } = TimeSpan.FromSeconds(10);
    public TimeSpan Timeout { get; init; } = TimeSpan.FromMilliseconds(500);
    public int MaxMissed { get; init; } = 3;
    public OnMessage OnMessage { get; init; } = OnMessage.Echo;

    /// <summary>In bytes.</summary>
    public int MaxMessage { get; init; } = 1024 * 1024;

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
    public LogEventLevel LogLevel { get; init; } = LogEventLevel.Information;
    public LogFormat LogFormat { get; init; } = LogFormat.Text;

    public HeartbeatTimings Timings => new(Ping, Timeout, MaxMissed);
}
