using HeartbeatServer.Protocol;


namespace HeartbeatServer.Connections;

/// <summary>What several connections have done together.</summary>
/// <param name="Pings">Pings sent.</param>
/// <param name="BytesIn">Bytes from clients, including the headers of frames.</param>
/// <param name="BytesOut">Bytes to clients, including the headers of frames.</param>
/// <param name="MessagesIn">Whole data messages from clients.</param>
/// <param name="MessagesOut">Whole data messages to clients.</param>
internal readonly record struct ConnectionTotals(long Pings, long BytesIn, long BytesOut, long MessagesIn, long MessagesOut)
{
    public ConnectionTotals Plus(in ConnectionFigures one) => new(
        Pings + (long)one.Pings, BytesIn + one.BytesIn, BytesOut + one.BytesOut, MessagesIn + one.MessagesIn, MessagesOut + one.MessagesOut);
}
