namespace HeartbeatServer.Protocol;

/// <summary>Who is to blame when no pong came.</summary>
internal enum PathVerdict
{
    /// <summary>The kernel could not be asked.</summary>
    Unknown,
    /// <summary>The peer's kernel has not acknowledged what we sent: the network, or the machine, is gone.</summary>
    PathDead,
    /// <summary>The peer's kernel acknowledged the ping; its program does not answer.</summary>
    PeerFrozen,
}

/// <summary>What the kernel knows of a connection: the part of Linux's <c>struct tcp_info</c> (linux/tcp.h) that explains a silence.</summary>
/// <param name="Unacknowledged">Segments sent and not acknowledged.</param>
/// <param name="Retransmitting">Retransmissions of the first of them, so far.</param>
/// <param name="Retransmissions">In the whole life of the connection.</param>
/// <param name="RoundTrip">The kernel's smoothed round trip.</param>
internal readonly record struct TcpInfo(uint Unacknowledged, byte Retransmitting, uint Retransmissions, TimeSpan RoundTrip)
{
    /// <summary>Bytes of the struct up to and with <c>tcpi_total_retrans</c>; newer kernels append to it.</summary>
    public const int Size = 104;

    public PathVerdict Verdict => Unacknowledged > 0 || Retransmitting > 0 ? PathVerdict.PathDead : PathVerdict.PeerFrozen;

    /// <param name="info">The struct, in the byte order of the machine.</param>
    /// <returns>Null if the kernel gave less.</returns>
    public static TcpInfo? Read(ReadOnlySpan<byte> info) => info.Length < Size ? null : new TcpInfo(
        Number(info, 24),
        info[2],
        Number(info, 100),
        TimeSpan.FromMicroseconds(Number(info, 68)));

    private static uint Number(ReadOnlySpan<byte> info, int offset) => BitConverter.ToUInt32(info[offset..]);
}

internal static class PathVerdicts
{
    /// <summary>The one name of a verdict: <c>path_dead</c>.</summary>
    public static string Name(this PathVerdict verdict) => verdict switch
    {
        PathVerdict.PathDead => "path_dead",
        PathVerdict.PeerFrozen => "peer_frozen",
        _ => "unknown",
    };
}
