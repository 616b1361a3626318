using HeartbeatServer.Protocol;


namespace HeartbeatServer.Connections;

/// <summary>What several connections did together.</summary>
/// <param name="Pings">Written.</param>
/// <param name="BytesIn">From clients, headers of frames included.</param>
/// <param name="BytesOut">To clients, likewise.</param>
/// <param name="MessagesIn">Whole data messages.</param>
/// <param name="MessagesOut">Whole data messages.</param>
internal readonly record struct ConnectionTotals(long Pings, long BytesIn, long BytesOut, long MessagesIn, long MessagesOut)
{
    public ConnectionTotals Plus(in ConnectionFigures one) => new(
        Pings + (long)one.Pings, BytesIn + one.BytesIn, BytesOut + one.BytesOut, MessagesIn + one.MessagesIn, MessagesOut + one.MessagesOut);
}
