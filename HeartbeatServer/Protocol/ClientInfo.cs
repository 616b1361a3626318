namespace HeartbeatServer.Protocol;

/// <summary>What the client of a connection said of itself in its request: who it was, for whoever looks for it.</summary>
/// <param name="Path">The path of the request, without the query. Clients put tokens into a query, so nobody keeps it.</param>
/// <param name="UserAgent">The User-Agent field; null if there was none.</param>
/// <param name="Origin">The Origin field: the page, if the client is a browser; null if there was none.</param>
/// <param name="Subprotocol">The subprotocol that the server chose; null if it chose none.</param>
internal sealed record ClientInfo(string Path, string? UserAgent, string? Origin, string? Subprotocol)
{
    /// <summary>So many characters of each text are kept.</summary>
    private const int Most = 200;

    /// <summary>Of a client of which nothing is known.</summary>
    public static ClientInfo Unknown { get; } = new("", null, null, null);

    /// <summary>Takes from a request what is worth keeping. The texts are printable, and shortened.</summary>
    public static ClientInfo Of(RequestHead head, string? subprotocol) =>
        new(Kept(head.Path)!, Kept(head["User-Agent"]), Kept(head["Origin"]), Kept(subprotocol));

    private static string? Kept(string? text) => text is null ? null : PeerText.Printable(PeerText.Shortened(text, Most));
}
