namespace HeartbeatServer.Protocol;

/// <summary>Who is to blame for a missing pong.</summary>
internal enum PathVerdict
{
    /// <summary>The kernel could not be asked.</summary>
    Unknown,
    /// <summary>The peer's kernel is silent. The network or the machine is gone.</summary>
    PathDead,
    /// <summary>The peer's kernel acknowledges, but its program does not answer.</summary>
    PeerFrozen,
    /// <summary>The peer is a proxy, and its kernel acknowledges. The server cannot know what happens behind the proxy.</summary>
    BehindProxy,
}

/// <summary>The kernel's figures of a connection: the part of Linux's <c>struct tcp_info</c> (linux/tcp.h) that explains a silence.</summary>
/// <remarks>An older kernel gives a shorter struct. The fields that it does not give are zero.</remarks>
internal readonly record struct TcpInfo
{
    /// <summary>The length in bytes of the struct up to the end of <c>tcpi_snd_wnd</c> (Linux 5.4). Newer kernels append further fields.</summary>
    public const int Size = 232;

    /// <summary>The length in bytes of the struct up to the end of <c>tcpi_total_retrans</c>. Every kernel that runs .NET gives this much.</summary>
    private const int LeastSize = 104;

    /// <summary>How many segments were sent and are not acknowledged.</summary>
    public uint Unacknowledged { get; init; }

    /// <summary>How often the kernel has retransmitted the first unacknowledged segment so far.</summary>
    public byte Retransmitting { get; init; }

    /// <summary>How many probes of a window that the peer has closed are unanswered.</summary>
    public byte Probes { get; init; }

    /// <summary>How many retransmissions there were in the whole life of the connection.</summary>
    public uint Retransmissions { get; init; }

    /// <summary>The kernel's smoothed round trip.</summary>
    public TimeSpan RoundTrip { get; init; }

    /// <summary>How long ago the peer's kernel acknowledged anything, old or new.</summary>
    public TimeSpan SinceAck { get; init; }

    /// <summary>How many bytes the peer's kernel has acknowledged since the connection was made (Linux 4.1).</summary>
    public ulong BytesAcked { get; init; }

    /// <summary>How many segments have come, those without bytes included (Linux 4.2).</summary>
    public uint SegmentsIn { get; init; }

    /// <summary>How many bytes our kernel holds and has not sent yet (Linux 4.6).</summary>
    public uint NotSent { get; init; }

    /// <summary>For how many bytes the peer has room (Linux 5.4).</summary>
    public uint SendWindow { get; init; }

    /// <summary>
    /// Whether the peer's kernel seems to be gone: it should have acknowledged something, and has acknowledged nothing for too long. The age of
    /// the last acknowledgement alone says nothing: when a living peer has closed its window, nothing is on its way that it could acknowledge.
    /// </summary>
    /// <param name="tooLong">The time within which the peer's kernel has to acknowledge something.</param>
    public bool IsSilent(TimeSpan tooLong) => OwesAck && SinceAck > tooLong;

    /// <summary>
    /// When <see cref="IsSilent"/> becomes true if nothing changes; <see cref="Heartbeat.Never"/> if the peer's kernel has nothing to acknowledge.
    /// </summary>
    public TimeSpan WhenSilent(TimeSpan now, TimeSpan tooLong) =>
        OwesAck && tooLong != Heartbeat.Never ? now + (tooLong > SinceAck ? tooLong - SinceAck : TimeSpan.Zero) : Heartbeat.Never;

    private bool OwesAck => Unacknowledged > 0 || Probes >= 2;

    /// <param name="info">The bytes of the struct, in the byte order of the machine.</param>
    /// <returns>The figures; null if the struct is shorter than that of any known kernel.</returns>
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
            SegmentsIn = Number(whole, 140),
            NotSent = Number(whole, 144),
            SendWindow = Number(whole, 228),
        };
    }

    private static uint Number(ReadOnlySpan<byte> info, int offset) => BitConverter.ToUInt32(info[offset..]);
}

internal static class PathVerdicts
{
    public static readonly PathVerdict[] All = Enum.GetValues<PathVerdict>();

    /// <summary>The name of a verdict in logs, metrics and status, for example <c>path_dead</c>.</summary>
    public static string Name(this PathVerdict verdict) => verdict switch
    {
        PathVerdict.PathDead => "path_dead",
        PathVerdict.PeerFrozen => "peer_frozen",
        PathVerdict.BehindProxy => "behind_proxy",
        _ => "unknown",
    };
}
