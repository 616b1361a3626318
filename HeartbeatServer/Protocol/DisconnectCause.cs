namespace HeartbeatServer.Protocol;

/// <summary>Why a connection ended. Exactly one per connection: the first.</summary>
internal enum DisconnectCause
{
    /// <summary>A Close frame from the client.</summary>
    ClientClosed,
    /// <summary>FIN without a Close frame.</summary>
    ClientVanished,
    /// <summary>RST, or another socket error.</summary>
    ConnectionReset,
    /// <summary>Too many pings in a row without a sign of life in time.</summary>
    PongTimeout,
    /// <summary>1002: the client broke a rule of the protocol.</summary>
    ProtocolError,
    /// <summary>1007: text that is not UTF-8.</summary>
    InvalidPayload,
    /// <summary>1009: more than <c>--max-message</c>.</summary>
    MessageTooBig,
    /// <summary>The client did not read what we had for it.</summary>
    SlowConsumer,
    /// <summary>We drained: 1001.</summary>
    ServerShutdown,
    /// <summary>A bug of ours: 1011.</summary>
    InternalError,
}

internal static class DisconnectCauses
{
    public static readonly DisconnectCause[] All = Enum.GetValues<DisconnectCause>();

    /// <summary>The one name of a cause in logs, metrics and status: <c>pong_timeout</c>.</summary>
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
        DisconnectCause.ServerShutdown => "server_shutdown",
        _ => "internal_error",
    };

    /// <summary>Who ended it: <c>client</c>, <c>server</c> or <c>network</c>.</summary>
    public static string EndedBy(this DisconnectCause cause) => cause switch
    {
        DisconnectCause.ClientClosed or DisconnectCause.ClientVanished => "client",
        DisconnectCause.ConnectionReset => "network",
        _ => "server",
    };
}
