namespace HeartbeatServer.Options;

/// <summary>The URL of a WebSocket endpoint (RFC 6455 section 3), as the probe connects to it.</summary>
/// <param name="IsTls">Whether the connection begins with TLS: <c>wss</c>.</param>
/// <param name="Host">A name in ASCII, or an address without brackets.</param>
/// <param name="Port">1 to 65535.</param>
/// <param name="Target">The path with its query, percent-encoded.</param>
internal sealed record ProbeUrl(bool IsTls, string Host, int Port, string Target)
{
    private const int PlainPort = 80;
    private const int TlsPort = 443;

    /// <summary>What stands in the Host field: the port only if it is not the scheme's own.</summary>
    public string Authority => Port == (IsTls ? TlsPort : PlainPort) ? UrlHost : $"{UrlHost}:{Port}";

    /// <summary>The query without its question mark; empty if there is none.</summary>
    public string Query => Target.Split('?', 2) is [_, var query] ? query : "";

    /// <summary>As people may see it. Tokens stand in queries, so the text of a query is left out: <c>wss://host/ws?***</c>.</summary>
    public string Shown => $"{(IsTls ? "wss" : "ws")}://{Authority}{Target.Split('?')[0]}{(Query.Length == 0 ? "" : "?***")}";

    private string UrlHost => new HostPort(Host, Port).UrlHost;

    /// <summary>Reads <c>ws://host/path</c> and <c>wss://host/path</c>; <c>http</c> and <c>https</c> stand for them.</summary>
    /// <returns>Null if the text is such a URL; else what would be accepted, worded to stand behind "is not".</returns>
    public static string? Read(string text, out ProbeUrl? url)
    {
        url = null;
        string scheme = text.Split("://", 2) is [var before, _] ? before : "";
        bool? isTls = scheme.ToUpperInvariant() switch
        {
            "WS" or "HTTP" => false,
            "WSS" or "HTTPS" => true,
            _ => null,
        };
        // Uri knows the rules of http and https best.
        if (isTls is not { } tls || !Uri.TryCreate($"http{(tls ? "s" : "")}{text[scheme.Length..]}", UriKind.Absolute, out Uri? uri))
            return "the URL of a WebSocket, such as ws://localhost:8080/ws or wss://example.com/chat";
        if (uri.UserInfo.Length > 0)
            return "a URL without a name and a password: give them with --header \"Authorization: Basic ...\"";
        // RFC 6455 section 3: "Fragment identifiers are meaningless in the context of WebSocket URIs and MUST NOT be used".
        if (uri.Fragment.Length > 0)
            return "a URL without a fragment (#): a WebSocket has none";
        if (uri.Port == 0)
            return "a URL with a port from 1 to 65535";
        url = new ProbeUrl(tls, uri.IdnHost, uri.Port, uri.PathAndQuery);
        return null;
    }
}
