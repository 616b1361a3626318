using System.Globalization;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Telemetry;

/// <summary>Says what stands in a line for a person, and not in its properties.</summary>
internal static class LogWords
{
    /// <summary>So many characters of a text from outside stand in a line: of a detail, of the method and of the target of a refused request.</summary>
    public const int MostShown = 200;

    /// <summary>So many characters of a User-Agent, of an origin and of a subprotocol stand in the words of a line.</summary>
    private const int MostOfAName = 60;

    /// <summary>An application that has not read for so long stands in the words. A busy one lets bytes wait for a moment again and again.</summary>
    private static readonly TimeSpan WorthTelling = TimeSpan.FromSeconds(1);

    /// <summary>What a line of an end says for a person: the particulars, and the figures that decide for this cause.</summary>
    public static string End(Disconnect end, in ConnectionFigures figures)
    {
        string detail = PeerText.Shortened(end.Detail, MostShown);
        return end.Cause switch
        {
            DisconnectCause.ClientClosed or DisconnectCause.ClientVanished or DisconnectCause.ConnectionReset when figures.OffersNotSpoken > 0 =>
                Invariant($"{detail} | {figures.OffersNotSpoken} subprotocol(s) offered, none spoken"),
            DisconnectCause.ClientVanished or DisconnectCause.ConnectionReset => $"{detail} | {LastByte(figures)}",
            DisconnectCause.PongTimeout => $"{detail} | {Pongs(figures)}, {LastByte(figures)}",
            DisconnectCause.SlowConsumer => Invariant($"{detail} | out {figures.MessagesOut} msg {figures.BytesOut} B"),
            DisconnectCause.ProtocolError or DisconnectCause.InvalidPayload or DisconnectCause.MessageTooBig =>
                Invariant($"{detail} | in {figures.MessagesIn} msg {figures.BytesIn} B"),
            _ => detail,
        };
    }

    /// <summary>The leg to the application, for a person; empty if there is none.</summary>
    public static string Of(UpstreamFigures? leg)
    {
        if (leg is null)
            return "";
        string kernel = leg.KernelRoundTrip is { } time ? Invariant($", kernel round trip {time.TotalMilliseconds:0.0}ms") : "";
        string inside = leg.IsInsideFrame ? ", inside a frame that it has not ended" : "";
        string unread = leg.NotReadFor is { } wait && wait >= WorthTelling ? Invariant($", it had not read for {wait.TotalSeconds:0.0}s") : "";
        return Invariant($" | app {leg.Address}: handshake {leg.Handshake.TotalMilliseconds:0.0}ms{kernel}, ")
            + Invariant($"last byte {leg.SinceLastByte.TotalSeconds:0.0}s ago, in {leg.BytesIn} B, out {leg.BytesOut} B{inside}{unread}");
    }

    private static string LastByte(in ConnectionFigures figures) => Invariant($"last byte {figures.SinceLastByte.TotalSeconds:0.0}s ago");

    /// <summary>Whether the client answered before, and how: a slow path has late pongs.</summary>
    private static string Pongs(in ConnectionFigures figures)
    {
        string late = figures.Late > 0 ? Invariant($" late {figures.Late}, round trip up to {figures.RoundTrips.Max.TotalMilliseconds:0}ms") : "";
        string others = figures.AnswersOtherwise ? Invariant($", answers pings with another payload, {figures.OtherPongs} times") : "";
        return Invariant($"pings {figures.Pings} pongs {figures.Pongs}{late}{others}");
    }

    /// <summary>What a client said of itself, as far as it fits into a line. Its texts are printable already, so only quotes are left to escape.</summary>
    public static string Of(ClientInfo client)
    {
        string[] words =
        [
            .. client.Subprotocol is { } subprotocol ? [$"speaks {PeerText.Shortened(subprotocol, MostOfAName)}"] : Array.Empty<string>(),
            .. client.Origin is { } origin ? [$"from {PeerText.Shortened(origin, MostOfAName)}"] : Array.Empty<string>(),
            .. client.UserAgent is { } agent ? [$"\"{PeerText.Shortened(agent, MostOfAName).Replace("\"", "\\\"", StringComparison.Ordinal)}\""] : Array.Empty<string>(),
        ];
        return words.Length == 0 ? "" : $" | {string.Join(", ", words)}";
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
