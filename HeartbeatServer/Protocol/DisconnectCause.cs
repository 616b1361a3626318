namespace HeartbeatServer.Protocol;

/// <summary>Why a connection ended. Each connection has exactly one cause, the first.</summary>
internal enum DisconnectCause
{
    /// <summary>The client sent a Close frame.</summary>
    ClientClosed,
    /// <summary>The client sent FIN without a Close frame.</summary>
    ClientVanished,
    /// <summary>RST came, or another socket error occurred.</summary>
    ConnectionReset,
    /// <summary>No sign of life came in time after too many pings in a row.</summary>
    PongTimeout,
    /// <summary>The client broke a rule of the protocol (close code 1002).</summary>
    ProtocolError,
    /// <summary>The client sent text that is not UTF-8 (close code 1007).</summary>
    InvalidPayload,
    /// <summary>The client sent a message longer than <c>--max-message</c> (close code 1009).</summary>
    MessageTooBig,
    /// <summary>The client did not take the bytes that waited for it.</summary>
    SlowConsumer,
    /// <summary>
    /// All connections together held more than <c>--max-buffered</c> of unfinished messages and unsent replies, and this one had to go (close code 1013).
    /// </summary>
    BufferLimit,
    /// <summary>The server shut down (close code 1001).</summary>
    ServerShutdown,
    /// <summary>The server has a bug (close code 1011).</summary>
    InternalError,
    /// <summary>The application behind the relay sent a Close frame.</summary>
    UpstreamClosed,
    /// <summary>The application sent FIN without a Close frame.</summary>
    UpstreamVanished,
    /// <summary>RST came from the application, or another error of its socket occurred.</summary>
    UpstreamReset,
    /// <summary>The kernel of the application's host is silent.</summary>
    UpstreamDead,
    /// <summary>The application broke a rule of the protocol.</summary>
    UpstreamProtocolError,
}

/// <summary>Which side of the server an end came from.</summary>
internal enum EndSide
{
    /// <summary>From a client, or from what lies between the server and its clients.</summary>
    Client,
    /// <summary>From the application behind the relay, or from what lies between.</summary>
    Application,
    /// <summary>From the server: it shut down, or it cut a connection for a reason of its own.</summary>
    Server,
}

internal static class DisconnectCauses
{
    public static readonly DisconnectCause[] All = Enum.GetValues<DisconnectCause>();

    /// <summary>The name of a cause in logs, metrics and status, for example <c>pong_timeout</c>.</summary>
    public static string Name(this DisconnectCause cause) => cause switch
    {
        DisconnectCause.ClientClosed => "client_closed",
        DisconnectCause.ClientVanished => "client_vanished",
        DisconnectCause.ConnectionReset => "connection_reset",
        DisconnectCause.PongTimeout => "pong_timeout",
        DisconnectCause.ProtocolError => "protocol_error",
        DisconnectCause.InvalidPayload => "invalid_payload",
        DisconnectCause.MessageTooBig => "message_too_big",
        DisconnectCause.SlowConsumer => "slow_consumer",
        DisconnectCause.BufferLimit => "buffer_limit",
        DisconnectCause.ServerShutdown => "server_shutdown",
        DisconnectCause.UpstreamClosed => "upstream_closed",
        DisconnectCause.UpstreamVanished => "upstream_vanished",
        DisconnectCause.UpstreamReset => "upstream_reset",
        DisconnectCause.UpstreamDead => "upstream_dead",
        DisconnectCause.UpstreamProtocolError => "upstream_protocol_error",
        _ => "internal_error",
    };

    /// <summary>Who ended the connection: <c>client</c>, <c>application</c>, <c>server</c> or <c>network</c>.</summary>
    public static string EndedBy(this DisconnectCause cause) => cause switch
    {
        DisconnectCause.ClientClosed or DisconnectCause.ClientVanished => "client",
        DisconnectCause.UpstreamClosed or DisconnectCause.UpstreamVanished or DisconnectCause.UpstreamProtocolError => "application",
        DisconnectCause.ConnectionReset or DisconnectCause.UpstreamReset => "network",
        _ => "server",
    };

    /// <summary>The side from which the end came, whoever had to say it: a dead client is cut by the server.</summary>
    public static EndSide Side(this DisconnectCause cause) => cause switch
    {
        DisconnectCause.ClientClosed or DisconnectCause.ClientVanished or DisconnectCause.ConnectionReset or DisconnectCause.PongTimeout => EndSide.Client,
        DisconnectCause.UpstreamClosed or DisconnectCause.UpstreamVanished or DisconnectCause.UpstreamReset or DisconnectCause.UpstreamDead
            or DisconnectCause.UpstreamProtocolError => EndSide.Application,
        _ => EndSide.Server,
    };
}
