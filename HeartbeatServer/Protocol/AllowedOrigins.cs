using System.Buffers;
using System.Globalization;
using System.Text;

namespace HeartbeatServer.Protocol;

/// <summary>
/// The pages that may connect. A browser names the page in the Origin header (RFC 6455 section 10.2, RFC 6454). Other clients need not send this
/// header.
/// </summary>
internal sealed class AllowedOrigins
{
    /// <summary>Every page may connect.</summary>
    public static readonly AllowedOrigins Any = new([]);

    private readonly string[] _texts;
    private readonly Pattern[] _patterns;

    /// <param name="origins">Origins that <see cref="IsOrigin"/> accepts. Without any origin every page may connect.</param>
    /// <exception cref="FormatException">One of the texts is not an origin.</exception>
    public AllowedOrigins(string[] origins)
    {
        _texts = origins;
        _patterns = [.. origins.Select(text => Pattern.Read(text) ?? throw new FormatException($"'{text}' is no origin"))];
    }

    /// <summary>
    /// Whether a text is an origin that may be allowed. There are five forms. <c>https://app.example.com</c> has a port if the port is not the
    /// scheme's default. An app or an extension has a scheme of its own: <c>capacitor://localhost</c>, <c>chrome-extension://abc</c>,
    /// <c>file://</c>. <c>*.example.com</c> stands for each subdomain at any depth, with any scheme and port, but not for example.com itself.
    /// <c>https://*.example.com</c> does the same for one scheme and port. <c>null</c> is a page without an origin: a sandboxed frame, or a file
    /// in most browsers.
    /// </summary>
    public static bool IsOrigin(string text) => Pattern.Read(text) is not null;

    /// <summary>Whether the page may connect. The comparison ignores the case of scheme and host. A default port equals no port.</summary>
    /// <param name="origin">
    /// The Origin header; null if there was none. Then the client may connect: it is not a browser, because browsers always send the header.
    /// </param>
    public bool Allows(string? origin)
    {
        if (_patterns.Length == 0 || origin is null)
            return true;
        return Pattern.Read(origin) is { IsWildcard: false } page && Array.Exists(_patterns, allowed => allowed.Matches(page));
    }

    public override string ToString() => _patterns.Length == 0 ? "any" : string.Join(',', _texts);

    /// <summary>An origin, or a pattern for origins: scheme, host and port (RFC 6454 section 6.2).</summary>
    /// <param name="Scheme">The scheme; null for any scheme, and for the origin <c>null</c>.</param>
    /// <param name="Host">
    /// The host in ASCII. For a wildcard it is the part after the first dot. It is empty for the origin <c>null</c>, and for a scheme that needs
    /// no host.
    /// </param>
    /// <param name="Port">The port; null for any port; <see cref="NoPort"/> for a scheme without a default port.</param>
    /// <param name="IsWildcard">Whether the pattern stands for the subdomains of the host.</param>
    private sealed record Pattern(string? Scheme, string Host, int? Port, bool IsWildcard)
    {
        private const int NoPort = -1;

        /// <summary>The longest name of a host (RFC 1035 section 2.3.4).</summary>
        private const int LongestHost = 255;

        private static readonly Pattern Null = new(null, "", null, false);

        private static readonly IdnMapping Idn = new();

        /// <summary>The characters of a scheme (RFC 3986 section 3.1).</summary>
        private static readonly SearchValues<char> SchemeCharacters =
            SearchValues.Create("+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

        /// <summary>
        /// The characters of a host (RFC 3986 section 3.2.2) without the star, which marks a wildcard here, and without the comma, which
        /// separates origins.
        /// </summary>
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
            // A host alone is not an origin, because every page has a scheme.
            if (scheme is null ? !isWildcard : !IsScheme(scheme))
                return null;
            if (isWildcard)
                rest = rest[2..];
            // The colons of an IPv6 address stand in brackets, so the port begins after the bracket.
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
                ? page.Host.Length > Host.Length + 1 && page.Host[^(Host.Length + 1)] == '.'
                    && page.Host.EndsWith(Host, StringComparison.OrdinalIgnoreCase)
                : page.Host.Equals(Host, StringComparison.OrdinalIgnoreCase) && Scheme is null == page.Scheme is null);

        private static bool IsScheme(string text) =>
            text.Length > 0 && char.IsAsciiLetter(text[0]) && !text.AsSpan().ContainsAnyExcept(SchemeCharacters);

        private static int DefaultPort(string scheme) => scheme.ToUpperInvariant() switch
        {
            "HTTP" or "WS" => 80,
            "HTTPS" or "WSS" => 443,
            _ => NoPort,
        };

        /// <returns>
        /// The host in the form for comparisons: a name in Punycode, or an IPv6 address as browsers shorten it. Null if the text is not a host.
        /// </returns>
        private static string? AsciiHost(string host)
        {
            if (host.Length > LongestHost)
                return null; // Punycode takes much longer for a long name than for many short ones
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
                return null; // the text cannot be a domain name
            }
        }
    }
}
