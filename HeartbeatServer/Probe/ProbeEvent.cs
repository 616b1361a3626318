namespace HeartbeatServer.Probe;

internal enum ProbeEventKind
{
    /// <summary>An attempt to connect is over.</summary>
    Dialed,
    /// <summary>A pong to a ping of ours.</summary>
    Pong,
    /// <summary>A ping of the server's. Its pong is on the way.</summary>
    Ping,
    /// <summary>Other bytes: data, or a pong to no ping of ours.</summary>
    Data,
    /// <summary>The connection has ended. Nothing comes after it.</summary>
    End,
}

/// <summary>Something that a connection has seen.</summary>
/// <param name="Id">The number of the connection in its run.</param>
/// <param name="At">When, on the clock of the run.</param>
/// <param name="Kind">What.</param>
/// <param name="End">How it ended.</param>
/// <param name="Dialed">How the attempt went.</param>
/// <param name="Bytes">How many bytes of data have come, headers of frames included.</param>
internal readonly record struct ProbeEvent(int Id, TimeSpan At, ProbeEventKind Kind, ProbeEnd? End = null, Dialed? Dialed = null, int Bytes = 0);
