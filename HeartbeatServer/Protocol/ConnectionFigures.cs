namespace HeartbeatServer.Protocol;

/// <summary>What a connection has done so far, or in its whole life.</summary>
/// <param name="Age">The time since the upgrade.</param>
/// <param name="Pings">Pings sent.</param>
/// <param name="Pongs">Pongs that carried the number of one of the server's pings.</param>
/// <param name="Missed">All strikes.</param>
/// <param name="Late">Pongs that came after their deadline.</param>
/// <param name="Strikes">The strikes in a row at this moment.</param>
/// <param name="RoundTrips">The round trips of the pings.</param>
/// <param name="BytesIn">Bytes from the client after the upgrade, including the headers of frames.</param>
/// <param name="BytesOut">Bytes to the client after the upgrade, including the headers of frames.</param>
/// <param name="MessagesIn">Whole data messages from the client.</param>
/// <param name="MessagesOut">Whole data messages to the client.</param>
/// <param name="SinceLastByte">The time since the last byte from the client, or since the upgrade if none came.</param>
/// <param name="SinceLastSent">The time since the last byte to the client was given to the socket, or since the upgrade if none was.</param>
/// <param name="LastPongLate">Whether the last pong came after its deadline.</param>
/// <param name="CloseSent">Whether the server has sent its Close frame.</param>
/// <param name="OtherPongs">Pongs whose payload is not that of one of the server's pings.</param>
/// <param name="OffersNotSpoken">How many subprotocols the client offered, if the server speaks none of them; else 0.</param>
/// <param name="IsBlocked">
/// Whether bytes waited that somebody did not take: those for the client, so that no ping could leave; or those of the client for the application, so that
/// nobody read from the client. A silence of such a client says nothing about the way to it.
/// </param>
/// <param name="Upstream">The leg to the application; null if the server answers the client itself.</param>
internal readonly record struct ConnectionFigures(
    TimeSpan Age,
    ulong Pings,
    int Pongs,
    int Missed,
    int Late,
    int Strikes,
    RoundTrips RoundTrips,
    long BytesIn,
    long BytesOut,
    long MessagesIn,
    long MessagesOut,
    TimeSpan SinceLastByte,
    TimeSpan SinceLastSent,
    bool LastPongLate = false,
    bool CloseSent = false,
    int OtherPongs = 0,
    int OffersNotSpoken = 0,
    bool IsBlocked = false,
    UpstreamFigures? Upstream = null)
{
    /// <summary>
    /// Whether the client answers pings, but breaks RFC 6455 section 5.5.3: a pong must carry the payload of its ping.
    /// </summary>
    public bool AnswersOtherwise => Pings > 0 && Pongs == 0 && OtherPongs > 0;

    /// <summary>The state in one word: <c>healthy</c>, <c>late</c>, <c>suspect</c> or <c>closing</c>.</summary>
    public string State => CloseSent ? "closing" : Strikes > 0 ? "suspect" : LastPongLate ? "late" : "healthy";
}

/// <summary>What a relayed connection has done so far on its leg to the application.</summary>
/// <param name="Address">The address and the port of the application.</param>
/// <param name="Handshake">The time from the client's complete request to the application's complete answer.</param>
/// <param name="BytesIn">Bytes from the application after its answer, including the headers of frames.</param>
/// <param name="BytesOut">Bytes to the application after the request, including the headers of frames.</param>
/// <param name="SinceLastByte">The time since the last byte from the application, or since its answer if none came.</param>
/// <param name="NotReadFor">How long bytes of the client have waited because the application does not read; null if none wait.</param>
/// <param name="IsInsideFrame">Whether the application has begun a frame and not ended it. Pings wait meanwhile.</param>
/// <param name="KernelRoundTrip">The kernel's smoothed round trip when the leg was closed; null while it is open, or if the kernel cannot be asked.</param>
internal sealed record UpstreamFigures(
    string Address,
    TimeSpan Handshake,
    long BytesIn,
    long BytesOut,
    TimeSpan SinceLastByte,
    TimeSpan? NotReadFor,
    bool IsInsideFrame,
    TimeSpan? KernelRoundTrip);
