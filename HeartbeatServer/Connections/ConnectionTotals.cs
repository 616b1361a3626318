using HeartbeatServer.Protocol;

namespace HeartbeatServer.Connections;

/// <summary>What several connections have done together.</summary>
/// <param name="Pings">Pings sent.</param>
/// <param name="BytesIn">Bytes from clients, including the headers of frames.</param>
/// <param name="BytesOut">Bytes to clients, including the headers of frames.</param>
/// <param name="MessagesIn">Whole data messages from clients.</param>
/// <param name="MessagesOut">Whole data messages to clients.</param>
/// <param name="UpstreamBytesIn">Bytes from the application, including the headers of frames.</param>
/// <param name="UpstreamBytesOut">Bytes to the application, including the headers of frames.</param>
internal readonly record struct ConnectionTotals(
    long Pings, long BytesIn, long BytesOut, long MessagesIn, long MessagesOut, long UpstreamBytesIn, long UpstreamBytesOut)
{
    public ConnectionTotals Plus(in ConnectionFigures one) => new(
        Pings: Pings + (long)one.Pings,
        BytesIn: BytesIn + one.BytesIn,
        BytesOut: BytesOut + one.BytesOut,
        MessagesIn: MessagesIn + one.MessagesIn,
        MessagesOut: MessagesOut + one.MessagesOut,
        UpstreamBytesIn: UpstreamBytesIn + (one.Upstream?.BytesIn ?? 0),
        UpstreamBytesOut: UpstreamBytesOut + (one.Upstream?.BytesOut ?? 0));
}
