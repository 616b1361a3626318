using System.Buffers;
using System.Globalization;
using System.Text;

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
    /// <c>https://app.example.com</c>, with a port if it is not the scheme's; an app's or an extension's own scheme, <c>capacitor://localhost</c>,
    /// <c>chrome-extension://abc</c>, <c>file://</c>; <c>*.example.com</c>, each subdomain at any depth, scheme and port, but not example.com itself;
    /// <c>https://*.example.com</c>, the same for one scheme and port; or <c>null</c>, a page without an origin (a sandboxed frame, a file in most
    /// browsers).
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

    /// <summary>RFC 6454 section 6.2: scheme, host and port.</summary>
    /// <param name="Scheme">Null for any, and for <c>null</c>.</param>
    /// <param name="Host">In ASCII; behind the dot if it is a wildcard; empty for <c>null</c>, and for a scheme that needs none.</param>
    /// <param name="Port">Null for any; <see cref="NoPort"/> for a scheme that has none of its own.</param>
    /// <param name="IsWildcard">Whether hosts below this one are meant.</param>
    private sealed record Pattern(string? Scheme, string Host, int? Port, bool IsWildcard)
    {
        private const int NoPort = -1;

        private static readonly Pattern Null = new(null, "", null, false);

        private static readonly IdnMapping Idn = new();

        /// <summary>RFC 3986 section 3.1.</summary>
        private static readonly SearchValues<char> SchemeCharacters =
            SearchValues.Create("+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

        /// <summary>RFC 3986 section 3.2.2, but for the star, which is ours, and the comma, which separates origins.</summary>
        private static readonly SearchValues<char> HostCharacters =
            SearchValues.Create("-._~%!$&'()+;=0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

        public static Pattern? Read(string text)
        {
            if (text == "null")
                return Null;
            int end = text.IndexOf("://", StringComparison.Ordinal);
            string? scheme = end < 0 ? null : text[..end];
            string rest = end < 0 ? text : text[(end + 3)..];
            bool isWildcard = rest.StartsWith("*.", StringComparison.Ordinal);
            // A host alone is no origin: pages have a scheme.
            if (scheme is null ? !isWildcard : !IsScheme(scheme))
                return null;
            if (isWildcard)
                rest = rest[2..];
            // An IPv6 address has colons of its own, in brackets.
            int colon = rest.IndexOf(':', rest.LastIndexOf(']') + 1);
            int? port = scheme is null ? null : DefaultPort(scheme);
            bool needsHost = isWildcard || colon >= 0 || port != NoPort;
            if (colon >= 0)
            {
                if (!ushort.TryParse(rest.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out ushort number))
                    return null;
                (port, rest) = (number, rest[..colon]);
            }
            return AsciiHost(rest) is { } host && (host.Length > 0 || !needsHost) ? new Pattern(scheme, host, port, isWildcard) : null;
        }

        public bool Matches(Pattern page) =>
            (Scheme is null || Scheme.Equals(page.Scheme, StringComparison.OrdinalIgnoreCase))
            && (Port is null || Port == page.Port)
            && (IsWildcard
                ? page.Host.Length > Host.Length + 1 && page.Host[^(Host.Length + 1)] == '.' && page.Host.EndsWith(Host, StringComparison.OrdinalIgnoreCase)
                : page.Host.Equals(Host, StringComparison.OrdinalIgnoreCase) && Scheme is null == page.Scheme is null);

        private static bool IsScheme(string text) => text.Length > 0 && char.IsAsciiLetter(text[0]) && !text.AsSpan().ContainsAnyExcept(SchemeCharacters);

        private static int DefaultPort(string scheme) => scheme.ToUpperInvariant() switch
        {
            "HTTP" or "WS" => 80,
            "HTTPS" or "WSS" => 443,
            _ => NoPort,
        };

        /// <returns>The host in the one form in which it is compared: a name in Punycode, an IPv6 address as browsers shorten it. Null if it is none.</returns>
        private static string? AsciiHost(string host)
        {
            if (host.StartsWith('['))
            {
                bool isAddress = Uri.CheckHostName(host) == UriHostNameType.IPv6 && !host.Contains('%', StringComparison.Ordinal);
                return isAddress ? new Uri($"http://{host}").Host : null;
            }
            try
            {
                string ascii = Ascii.IsValid(host) ? host : Idn.GetAscii(host);
                return ascii.AsSpan().ContainsAnyExcept(HostCharacters) ? null : ascii;
            }
            catch (ArgumentException)
            {
                return null; // no name can be written so
            }
        }
    }
}
