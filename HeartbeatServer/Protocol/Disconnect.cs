using System.Globalization;
using HeartbeatServer.Framing;

namespace HeartbeatServer.Protocol;

/// <summary>The end of a connection: its cause, and what is known about it.</summary>
/// <param name="Cause">The first cause; later ones do not count.</param>
/// <param name="Detail">A text for a person, for example the code and reason of a Close frame, or the rule that was broken.</param>
/// <param name="Error">The exception behind <see cref="DisconnectCause.InternalError"/>.</param>
/// <param name="Verdict">Who is to blame for <see cref="DisconnectCause.PongTimeout"/>; null for other causes.</param>
/// <param name="Tcp">The kernel's figures at the moment of the verdict; null if the kernel could not be asked.</param>
internal sealed record Disconnect(
    DisconnectCause Cause, string Detail, Exception? Error = null, PathVerdict? Verdict = null, TcpInfo? Tcp = null)
{
    /// <summary>The end by a Close frame from the client. 1005 stands for a frame without a code (RFC 6455 section 7.1.5).</summary>
    public static Disconnect ByClient(ushort code, string reason) => new(DisconnectCause.ClientClosed, Close(code, reason));

    /// <summary>The end by a Close frame from the application. 1005 stands for a frame without a code.</summary>
    public static Disconnect ByUpstream(ushort code, string reason) => new(DisconnectCause.UpstreamClosed, Close(code, reason));

    /// <summary>The end by missing pongs.</summary>
    /// <param name="strikes">The strikes in a row.</param>
    /// <param name="timings">The timings of the heartbeat.</param>
    /// <param name="tcp">The kernel's figures before the server sends its Close frame; null if the kernel cannot be asked.</param>
    /// <param name="behindProxy">Whether the peer is a proxy with the client behind it.</param>
    public static Disconnect ByTimeout(int strikes, in HeartbeatTimings timings, TcpInfo? tcp, bool behindProxy = false)
    {
        string silence = $"{strikes} ping(s) without a sign of life within {timings.Timeout.TotalMilliseconds}ms";
        string peer = behindProxy ? "proxy" : "peer";
        (PathVerdict verdict, string meaning) = tcp switch
        {
            null => (PathVerdict.Unknown, "the kernel could not be asked"),
            { } info when info.IsSilent(timings.Ping) => (PathVerdict.PathDead, $"the {peer}'s kernel has not acknowledged the ping"),
            { } when behindProxy => (PathVerdict.BehindProxy, "the proxy's kernel acknowledged: what lies behind it is not known from here"),
            { Retransmissions: > 0 } => (PathVerdict.PeerFrozen, "its kernel acknowledged the ping, its program did not answer, or its pong was lost"),
            { Unacknowledged: 0, NotSent: 0 } => (PathVerdict.PeerFrozen, "its kernel acknowledged the ping, its program did not answer"),
            _ => (PathVerdict.PeerFrozen, "its kernel is alive, its program did not answer"),
        };
        return new Disconnect(DisconnectCause.PongTimeout, $"{silence}, {verdict.Name()}: {meaning}", Verdict: verdict, Tcp: tcp);
    }

    /// <summary>The end because the peer's kernel acknowledges nothing any more, while bytes of the server wait for an acknowledgement.</summary>
    /// <param name="time">The time since the last acknowledgement.</param>
    /// <param name="tcp">The kernel's figures; null if the connection is gone already.</param>
    /// <param name="behindProxy">Whether the peer is a proxy with the client behind it.</param>
    public static Disconnect ByDeadPath(TimeSpan time, TcpInfo? tcp, bool behindProxy = false) => new(
        DisconnectCause.PongTimeout,
        $"{PathVerdict.PathDead.Name()}: the {(behindProxy ? "proxy" : "peer")}'s kernel has acknowledged nothing for {time.TotalSeconds:0.0}s, "
            + "and bytes wait for it",
        Verdict: PathVerdict.PathDead,
        Tcp: tcp);

    /// <summary>The end because the client does not take the bytes that wait for it.</summary>
    /// <param name="time">The time since the client's kernel last took a byte.</param>
    public static Disconnect BySlowness(TimeSpan time) =>
        new(DisconnectCause.SlowConsumer, $"took no byte for {time.TotalSeconds:0.###}s, though bytes wait for it");

    /// <summary>All connections together hold too much memory, and this one had to go.</summary>
    /// <param name="bytes">What it held.</param>
    /// <param name="isUnsent">Whether those were replies that the client did not take; otherwise a message that it did not finish.</param>
    /// <param name="limit">For all, in bytes.</param>
    public static Disconnect ByBufferLimit(long bytes, bool isUnsent, long limit)
    {
        string why = isUnsent
            ? $"cut: its replies, {MiB(bytes)}, had waited the longest"
            : $"sent Close {CloseCode.TryAgainLater}: its unfinished message was the largest, {MiB(bytes)},";
        return new(DisconnectCause.BufferLimit, $"{why} when all connections together held more than {MiB(limit)}");

        static string MiB(long bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes / (1024.0 * 1024):0.0} MiB");
    }

    /// <summary>The process had no memory for a message, though the limit allowed it.</summary>
    public static Disconnect ByLackOfMemory() =>
        new(DisconnectCause.BufferLimit, $"sent Close {CloseCode.TryAgainLater}: the process has no memory for its message");

    /// <summary>The end by the server because the client has broken a rule of the protocol.</summary>
    public static Disconnect ByViolation(WebSocketProtocolException violation) => new(
        violation.CloseCode switch
        {
            CloseCode.InvalidPayload => DisconnectCause.InvalidPayload,
            CloseCode.MessageTooBig => DisconnectCause.MessageTooBig,
            _ => DisconnectCause.ProtocolError,
        },
        $"sent Close {violation.CloseCode}: {violation.Message}");

    /// <summary>The end by the server because the application has broken a rule of the protocol. It is sent no Close frame.</summary>
    public static Disconnect ByUpstreamViolation(WebSocketProtocolException violation) =>
        new(DisconnectCause.UpstreamProtocolError, violation.Message);

    private static string Close(ushort code, string reason) => (code, reason) switch
    {
        (CloseCode.NoStatus, _) => "Close without a code",
        (_, "") => $"Close {code}",
        _ => $"Close {code} {PeerText.Quoted(reason)}",
    };
}
