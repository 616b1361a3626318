namespace HeartbeatServer.Protocol;

/// <summary>Who is to blame when no pong came.</summary>
internal enum PathVerdict
{
    /// <summary>The kernel could not be asked.</summary>
    Unknown,
    /// <summary>The peer's kernel is silent: the network, or the machine, is gone.</summary>
    PathDead,
    /// <summary>The peer's kernel acknowledges; its program does not answer.</summary>
    PeerFrozen,
    /// <summary>The peer is a proxy, whose kernel acknowledges: what lies behind it is not known from here.</summary>
    BehindProxy,
}

/// <summary>What the kernel knows of a connection: the part of Linux's <c>struct tcp_info</c> (linux/tcp.h) that explains a silence.</summary>
/// <remarks>A kernel that gives a shorter struct leaves the fields at its end at zero.</remarks>
internal readonly record struct TcpInfo
{
    /// <summary>In bytes: up to and with <c>tcpi_snd_wnd</c> (Linux 5.4). Newer kernels append to it.</summary>
    public const int Size = 232;

    /// <summary>In bytes: up to and with <c>tcpi_total_retrans</c>. Every kernel that runs .NET gives so many.</summary>
    private const int LeastSize = 104;

    /// <summary>Segments that were sent and are not acknowledged.</summary>
    public uint Unacknowledged { get; init; }

    /// <summary>Retransmissions of the first of them, so far.</summary>
    public byte Retransmitting { get; init; }

    /// <summary>Unanswered probes of a window that the peer has closed.</summary>
    public byte Probes { get; init; }

    /// <summary>Retransmissions in the whole life of the connection.</summary>
    public uint Retransmissions { get; init; }

    /// <summary>The kernel's smoothed round trip.</summary>
    public TimeSpan RoundTrip { get; init; }

    /// <summary>How long ago the peer's kernel acknowledged anything, old or new.</summary>
    public TimeSpan SinceAck { get; init; }

    /// <summary>Bytes that the peer's kernel has acknowledged since the connection was made (Linux 4.1).</summary>
    public ulong BytesAcked { get; init; }

    /// <summary>Bytes that our kernel has and has not sent yet (Linux 4.6).</summary>
    public uint NotSent { get; init; }

    /// <summary>Bytes that the peer has room for (Linux 5.4).</summary>
    public uint SendWindow { get; init; }

    /// <summary>
    /// Whether the peer's kernel is gone, as far as one can tell: it should have acknowledged something, and has acknowledged nothing for too long. An
    /// old acknowledgement alone says nothing: behind a closed window of a living peer nothing is on its way.
    /// </summary>
    /// <param name="tooLong">Longer than the peer's kernel may take for its acknowledgement.</param>
    public bool IsSilent(TimeSpan tooLong) => OwesAck && SinceAck > tooLong;

    /// <summary>When <see cref="IsSilent"/> comes true if nothing changes; <see cref="Heartbeat.Never"/> if the peer's kernel owes nothing.</summary>
    public TimeSpan WhenSilent(TimeSpan now, TimeSpan tooLong) =>
        OwesAck && tooLong != Heartbeat.Never ? now + (tooLong > SinceAck ? tooLong - SinceAck : TimeSpan.Zero) : Heartbeat.Never;

    private bool OwesAck => Unacknowledged > 0 || Probes >= 2;

    /// <param name="info">The struct, in the byte order of the machine.</param>
    /// <returns>Null if the kernel gave less than every kernel gives.</returns>
    public static TcpInfo? Read(ReadOnlySpan<byte> info)
    {
        if (info.Length < LeastSize)
            return null;
        Span<byte> whole = stackalloc byte[Size];
        whole.Clear();
        info[..Math.Min(info.Length, Size)].CopyTo(whole);
        return new TcpInfo
        {
            Retransmitting = whole[2],
            Probes = whole[3],
            Unacknowledged = Number(whole, 24),
            SinceAck = TimeSpan.FromMilliseconds(Number(whole, 56)),
            RoundTrip = TimeSpan.FromMicroseconds(Number(whole, 68)),
            Retransmissions = Number(whole, 100),
            BytesAcked = BitConverter.ToUInt64(whole[120..]),
            NotSent = Number(whole, 144),
            SendWindow = Number(whole, 228),
        };
    }

    private static uint Number(ReadOnlySpan<byte> info, int offset) => BitConverter.ToUInt32(info[offset..]);
}

internal static class PathVerdicts
{
    public static readonly PathVerdict[] All = Enum.GetValues<PathVerdict>();

    /// <summary>The one name of a verdict: <c>path_dead</c>.</summary>
    public static string Name(this PathVerdict verdict) => verdict switch
    {
        PathVerdict.PathDead => "path_dead",
        PathVerdict.PeerFrozen => "peer_frozen",
        PathVerdict.BehindProxy => "behind_proxy",
        _ => "unknown",
    };
}
