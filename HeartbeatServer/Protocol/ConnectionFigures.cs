namespace HeartbeatServer.Protocol;

/// <summary>What a connection did so far, or in its whole life.</summary>
/// <param name="Age">Since the upgrade.</param>
/// <param name="Pings">Written.</param>
/// <param name="Pongs">That carried the number of one of our pings.</param>
/// <param name="Missed">Strikes.</param>
/// <param name="Late">Pongs after their deadline.</param>
/// <param name="Strikes">In a row, now.</param>
/// <param name="RoundTrips">Of the pings.</param>
/// <param name="BytesIn">From the client, after the upgrade, headers of frames included.</param>
/// <param name="BytesOut">To the client, likewise.</param>
/// <param name="MessagesIn">Whole data messages.</param>
/// <param name="MessagesOut">Whole data messages.</param>
/// <param name="SinceLastByte">Since the last byte from the client, or the upgrade.</param>
/// <param name="LastPongLate">Whether its last pong came after its deadline.</param>
/// <param name="CloseSent">Whether our Close frame was sent.</param>
/// <param name="OtherPongs">With another payload than one of our pings has.</param>
/// <param name="OffersNotSpoken">Subprotocols that the client offered, if none of them is spoken.</param>
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
    bool LastPongLate = false,
    bool CloseSent = false,
    int OtherPongs = 0,
    int OffersNotSpoken = 0)
{
    /// <summary>Whether it answers, but not as RFC 6455 section 5.5.3 has it: a pong carries the payload of its ping.</summary>
    public bool AnswersOtherwise => Pings > 0 && Pongs == 0 && OtherPongs > 0;

    /// <summary>In a word: <c>healthy</c>, <c>late</c>, <c>suspect</c> or <c>closing</c>.</summary>
    public string State => CloseSent ? "closing" : Strikes > 0 ? "suspect" : LastPongLate ? "late" : "healthy";
}
