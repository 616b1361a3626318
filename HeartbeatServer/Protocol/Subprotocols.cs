namespace HeartbeatServer.Protocol;

/// <summary>
/// Chooses one of the subprotocols that a client offers (RFC 6455 section 1.9). Most clients hang up when they offer some and the server chooses
/// none. The server behaves the same in every subprotocol, so it accepts any, unless the user lists some.
/// </summary>
internal sealed class Subprotocols
{
    /// <summary>The word with which the user says that the server speaks no subprotocol.</summary>
    public const string None = "none";

    /// <summary>The server accepts any subprotocol.</summary>
    public static readonly Subprotocols Any = new([]);

    private readonly string[] _names;

    /// <param name="names">Tokens, or <see cref="None"/> alone. Without any name the server accepts every subprotocol.</param>
    public Subprotocols(string[] names) => _names = names;

    /// <summary>Whether the names contain <see cref="None"/> and others, too.</summary>
    public bool IsContradiction => _names.Length > 1 && _names.Contains(None);

    /// <summary>Reads which subprotocols a client offers: a list of tokens in its order of preference (RFC 6455 section 11.3.4).</summary>
    /// <param name="header">All lines of the Sec-WebSocket-Protocol header, joined with commas; null if there is none.</param>
    /// <returns>The offers; null if one of them is not a token.</returns>
    public static string[]? Offers(string? header)
    {
        string[] offers = FieldLines.Elements(header);
        return Array.TrueForAll(offers, offer => RequestHead.IsToken(offer)) ? offers : null;
    }

    /// <summary>
    /// The first offer that the server speaks; null if it speaks none of them. The case of letters matters, as it does for browsers.
    /// </summary>
    public string? Choose(string[] offers) =>
        _names.Length == 0 ? offers.FirstOrDefault() : Array.Find(offers, offer => offer != None && _names.Contains(offer));

    public override string ToString() => _names.Length == 0 ? "any" : string.Join(',', _names);
}
