namespace HeartbeatServer.Protocol;

/// <summary>
/// Which of the subprotocols that a client offers is spoken (RFC 6455 section 1.9). Most clients hang up when they offer some and none is chosen. The
/// server does the same in each of them, so it speaks any unless it is told which.
/// </summary>
internal sealed class Subprotocols
{
    /// <summary>The word for speaking none.</summary>
    public const string None = "none";

    /// <summary>Whatever is offered is spoken.</summary>
    public static readonly Subprotocols Any = new([]);

    private readonly string[] _names;

    /// <param name="names">Tokens, or <see cref="None"/> alone; no name for any.</param>
    public Subprotocols(string[] names) => _names = names;

    /// <summary>Whether there are names beside <see cref="None"/>.</summary>
    public bool IsContradiction => _names.Length > 1 && _names.Contains(None);

    /// <summary>What a client offers, in its order of preference (RFC 6455 section 11.3.4: a list of tokens).</summary>
    /// <param name="header">All lines of its Sec-WebSocket-Protocol, joined; null if there is none.</param>
    /// <returns>Null if one of them is no token.</returns>
    public static string[]? Offers(string? header)
    {
        if (header is null)
            return [];
        // RFC 9110 section 5.6.1: a recipient ignores empty elements of a list.
        string[] offers = [.. header.Split(',').Select(element => element.Trim(' ', '\t')).Where(element => element.Length > 0)];
        return Array.TrueForAll(offers, offer => RequestHead.IsToken(offer)) ? offers : null;
    }

    /// <summary>The first offer that is spoken; null for none. Names are told apart by case, as browsers do it.</summary>
    public string? Choose(string[] offers) =>
        _names.Length == 0 ? offers.FirstOrDefault() : Array.Find(offers, offer => offer != None && _names.Contains(offer));

    public override string ToString() => _names.Length == 0 ? "any" : string.Join(',', _names);
}
