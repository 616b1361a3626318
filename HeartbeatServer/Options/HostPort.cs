using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;

namespace HeartbeatServer.Options;

/// <summary>The host and the port of a listener.</summary>
/// <param name="Host">
/// <c>*</c> for every interface, IPv4 and IPv6; <c>0.0.0.0</c> for every IPv4 interface; another address, without brackets; or a host name.
/// </param>
/// <param name="Port">1 to 65535.</param>
internal sealed record HostPort(string Host, int Port)
{
    /// <summary>The host of an <c>--admin</c> that gives a port alone.</summary>
    public const string Loopback = "127.0.0.1";

    public const string Localhost = "localhost";

    /// <summary>The host that stands for every IPv4 interface.</summary>
    private const string AnyIPv4 = "0.0.0.0";

    /// <summary>Whether only this machine can reach the listener. A name other than localhost may stand for any address.</summary>
    public bool IsLoopback => IsLocalhost(Host) || (IPAddress.TryParse(Host, out IPAddress? address) && IPAddress.IsLoopback(address));

    /// <summary>The host as a URL has it: an IPv6 address stands in brackets.</summary>
    public string UrlHost => Host.Contains(':', StringComparison.Ordinal) ? $"[{Host}]" : Host;

    /// <summary>The address at which a client on this machine reaches the listener.</summary>
    public HostPort Local => IsEvery ? this with { Host = Loopback } : this;

    private bool IsEvery => Host is "*" or AnyIPv4;

    /// <summary>Reads <c>9090</c>, <c>127.0.0.1:9090</c>, <c>[::1]:9090</c>, <c>name:9090</c> or <c>*:9090</c>.</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out HostPort? address)
    {
        int colon = text.LastIndexOf(':');
        string before = colon < 0 ? Loopback : text[..colon];
        // An IPv6 address stands in brackets: without them its last group would be read as the port.
        bool isPlain = before.Contains(':', StringComparison.Ordinal) == before.StartsWith('[');
        address = isPlain && TryParseHost(before, out string? host) && WholeNumber.TryParse(text.AsSpan(colon + 1), NumberStyles.None, 1, 65535, out int port)
            ? new HostPort(host, port)
            : null;
        return address is not null;
    }

    /// <summary>
    /// Reads an address, with or without brackets, a host name or <c>*</c>. <c>::</c> becomes <c>*</c>: most programs take it for both families.
    /// </summary>
    public static bool TryParseHost(string text, [NotNullWhen(true)] out string? host)
    {
        host = text == "*" || Uri.CheckHostName(text) != UriHostNameType.Unknown ? text.Trim('[', ']') : null;
        if (IPAddress.TryParse(host, out IPAddress? address) && address.Equals(IPAddress.IPv6Any))
            host = "*";
        return host is not null;
    }

    /// <summary>Whether two listeners would need the same port of the same address.</summary>
    public bool Overlaps(HostPort other) => Port == other.Port && (Covers(Host, other.Host) || Covers(other.Host, Host));

    /// <summary>The URL at which a browser on this machine finds a path of the listener.</summary>
    /// <param name="scheme"><c>http</c> or <c>ws</c>.</param>
    /// <param name="path">Begins with a slash.</param>
    public string Url(string scheme, string path) => $"{scheme}://{(IsEvery ? Localhost : UrlHost)}:{Port}{path}";

    public override string ToString() => $"{UrlHost}:{Port}";

    /// <summary>Whether a listener on the first host takes the second host's port, too.</summary>
    private static bool Covers(string host, string other)
    {
        (host, other) = (IsLocalhost(host) ? Loopback : host, IsLocalhost(other) ? Loopback : other);
        return host == "*"
            || host.Equals(other, StringComparison.OrdinalIgnoreCase)
            || (host == AnyIPv4 && !other.Contains(':', StringComparison.Ordinal));
    }

    private static bool IsLocalhost(string host) => host.Equals(Localhost, StringComparison.OrdinalIgnoreCase);
}
