namespace HeartbeatServer.Protocol;

/// <summary>
/// The pages that may connect. A browser names the page in Origin (RFC 6455 section 10.2, RFC 6454); other clients need not send it.
/// </summary>
internal sealed class AllowedOrigins
{
    /// <summary>Every page may.</summary>
    public static readonly AllowedOrigins Any = new([]);

    private readonly string[] _texts;
    private readonly Pattern[] _patterns;

    /// <param name="origins">Each as <see cref="IsOrigin"/> accepts it; none for any.</param>
    /// <exception cref="FormatException">One is none.</exception>
    public AllowedOrigins(string[] origins)
    {
        _texts = origins;
        _patterns = [.. origins.Select(text => Pattern.Read(text) ?? throw new FormatException($"'{text}' is no origin"))];
    }

    /// <summary>
    /// <c>https://app.example.com</c>, with a port if it is not the scheme's; <c>*.example.com</c>, each subdomain at any depth, scheme and
    /// port, but not example.com itself; <c>https://*.example.com</c>, the same for one scheme and port; or <c>null</c>, a page without an
    /// origin (a sandboxed frame, a file).
    /// </summary>
    public static bool IsOrigin(string text) => Pattern.Read(text) is not null;

    /// <summary>Whether the page may connect. Scheme and host are compared in any case, a default port equals none.</summary>
    /// <param name="origin">The Origin header; null if there was none: then it is no browser, which always sends one.</param>
    public bool Allows(string? origin)
    {
        if (_patterns.Length == 0 || origin is null)
            return true;
        return Pattern.Read(origin) is { IsWildcard: false } page && Array.Exists(_patterns, allowed => allowed.Matches(page));
    }

    public override string ToString() => _patterns.Length == 0 ? "any" : string.Join(',', _texts);

    /// <param name="Scheme">Null for any, and for <c>null</c>.</param>
    /// <param name="Host">In ASCII; behind the dot if it is a wildcard; empty for <c>null</c>.</param>
    /// <param name="Port">Null for any.</param>
    /// <param name="IsWildcard">Whether hosts below this one are meant.</param>
    private sealed record Pattern(string? Scheme, string Host, int? Port, bool IsWildcard)
    {
        private static readonly Pattern Null = new(null, "", null, false);

        public static Pattern? Read(string text)
        {
            if (text == "null")
                return Null;
            int end = text.IndexOf("://", StringComparison.Ordinal);
            bool anyScheme = end < 0;
            int host = anyScheme ? 0 : end + 3;
            bool isWildcard = text.AsSpan(host).StartsWith("*.");
            // A host alone is no origin: pages have a scheme.
            if (anyScheme && !isWildcard)
                return null;
            string scheme = anyScheme ? "any" : text[..end];
            if (!Uri.TryCreate($"{scheme}://{text[(isWildcard ? host + 2 : host)..]}", UriKind.Absolute, out Uri? uri)
                || uri.Host.Length == 0 || uri.UserInfo.Length > 0 || uri.AbsolutePath is not ("/" or "") || uri.Query.Length > 0 || uri.Fragment.Length > 0
                || text.EndsWith('/'))
            {
                return null;
            }
            return anyScheme
                ? new Pattern(null, uri.IdnHost, uri.Port < 0 ? null : uri.Port, true)
                : new Pattern(uri.Scheme, uri.IdnHost, uri.Port, isWildcard);
        }

        public bool Matches(Pattern page) =>
            (Scheme is null || Scheme == page.Scheme)
            && (Port is null || Port == page.Port)
            && (IsWildcard
                ? page.Host.Length > Host.Length + 1 && page.Host[^(Host.Length + 1)] == '.' && page.Host.EndsWith(Host, StringComparison.OrdinalIgnoreCase)
                : page.Host.Equals(Host, StringComparison.OrdinalIgnoreCase) && Scheme == page.Scheme);
    }
}
