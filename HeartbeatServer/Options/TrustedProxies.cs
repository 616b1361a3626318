using System.Net;
using System.Net.Sockets;

namespace HeartbeatServer.Options;

/// <summary>
/// Who the client is, when the TCP connection comes from a proxy that says so: the right-most address of X-Forwarded-For, or of the for= of
/// Forwarded (RFC 7239), that is not a proxy's of ours. What stands further left was written by others, and anybody can write it.
/// </summary>
internal sealed class TrustedProxies
{
    /// <summary>No proxy is trusted, and the headers are ignored.</summary>
    public static readonly TrustedProxies None = new([]);

    private readonly IPNetwork[] _networks;

    public TrustedProxies(IPNetwork[] networks) => _networks = networks;

    /// <summary>Reads <c>10.0.0.0/8</c>, <c>fd00::/8</c>, or an address alone. Bits behind the prefix do not count.</summary>
    public static bool TryParse(string text, out IPNetwork network)
    {
        int slash = text.IndexOf('/', StringComparison.Ordinal);
        network = default;
        if (Address(slash < 0 ? text : text.AsSpan(0, slash)) is not { } address)
            return false;
        if (slash >= 0)
            return !address.IsIPv4MappedToIPv6 && IPNetwork.TryParse(text, out network); // a mapped one is written as IPv4
        address = Plain(address);
        network = new IPNetwork(address, address.GetAddressBytes().Length * 8);
        return true;
    }

    /// <summary>The address that counts for limits, logs and status.</summary>
    /// <param name="peer">Of the TCP connection.</param>
    /// <param name="forwardedFor">The X-Forwarded-For header, or null.</param>
    /// <param name="forwarded">The Forwarded header, or null.</param>
    /// <returns>
    /// The peer, unless it is a trusted proxy. An entry that is no address (garbage, <c>unknown</c>, an obfuscated name) ends the walk: the client
    /// then counts as the last proxy that is known. The same goes for two headers that disagree, one of which a client may have brought along.
    /// </returns>
    public IPAddress ClientOf(IPAddress peer, string? forwardedFor, string? forwarded)
    {
        peer = Plain(peer);
        if (!IsTrusted(peer))
            return peer;
        IPAddress? one = forwardedFor is null ? null : Walk(peer, forwardedFor, isForwarded: false);
        IPAddress? other = forwarded is null ? null : Walk(peer, forwarded, isForwarded: true);
        return one is null ? other ?? peer : other is null || one.Equals(other) ? one : peer;
    }

    public override string ToString() => _networks.Length == 0 ? "none" : string.Join(',', _networks);

    private bool IsTrusted(IPAddress address) => Array.Exists(_networks, network => network.Contains(address));

    private IPAddress Walk(IPAddress peer, ReadOnlySpan<char> header, bool isForwarded)
    {
        IPAddress known = peer;
        while (!header.IsEmpty)
        {
            int comma = LastOutsideQuotes(header, ',');
            ReadOnlySpan<char> entry = header[(comma + 1)..].Trim();
            header = comma < 0 ? [] : header[..comma];
            if (entry.IsEmpty)
                continue; // RFC 9110 section 5.6.1: empty elements of a list do not count
            if ((isForwarded ? ForOf(entry) : AddressOf(entry)) is not { } address)
                return known;
            known = address;
            if (!IsTrusted(address))
                return known;
        }
        return known;
    }

    /// <summary>Where the separator stands last, outside of quoted strings.</summary>
    private static int LastOutsideQuotes(ReadOnlySpan<char> text, char separator)
    {
        bool quoted = false;
        for (int i = text.Length - 1; i >= 0; i--)
        {
            if (text[i] == '"')
                quoted = !quoted;
            else if (text[i] == separator && !quoted)
                return i;
        }
        return -1;
    }

    /// <summary>
    /// The for= of one element: <c>for=192.0.2.43;proto=https</c>, <c>For="[2001:db8:cafe::17]:4711"</c>. There is none in an element that a proxy
    /// would not write: one with two of them, with something that is no pair, or with an escape. The client may have had its hand in it: Host, say.
    /// </summary>
    private static IPAddress? ForOf(ReadOnlySpan<char> element)
    {
        ReadOnlySpan<char> node = default;
        if (element.Contains('\\'))
            return null;
        while (!element.IsEmpty)
        {
            int semicolon = LastOutsideQuotes(element, ';');
            ReadOnlySpan<char> pair = element[(semicolon + 1)..].Trim();
            element = semicolon < 0 ? [] : element[..semicolon];
            if (pair.IsEmpty)
                continue;
            int equals = pair.IndexOf('=');
            if (equals <= 0)
                return null;
            if (!pair[..equals].Equals("for", StringComparison.OrdinalIgnoreCase))
                continue;
            if (!node.IsEmpty)
                return null;
            node = pair[(equals + 1)..];
        }
        if (node is ['"', .., '"'])
            node = node[1..^1];
        return AddressOf(node);
    }

    /// <summary>An address, with or without a port: <c>192.0.2.1</c>, <c>192.0.2.1:4711</c>, <c>2001:db8::1</c>, <c>[2001:db8::1]:4711</c>.</summary>
    private static IPAddress? AddressOf(ReadOnlySpan<char> node)
    {
        if (node.IsEmpty || node.Contains('%'))
            return null; // one with a zone is none that another machine can mean
        if (Address(node) is { } alone)
            return Plain(alone);
        bool isGood = node[0] == '[' || (node.IndexOf(':') is > 0 and int colon && Address(node[..colon]) is not null);
        return isGood && IPEndPoint.TryParse(node, out IPEndPoint? end) ? Plain(end.Address) : null;
    }

    /// <summary>An address as people write it. To the library <c>10</c> is 0.0.0.10 and <c>010.0.0.1</c> is 8.0.0.1, as it was to inet_aton.</summary>
    private static IPAddress? Address(ReadOnlySpan<char> text) =>
        IPAddress.TryParse(text, out IPAddress? address) && (address.AddressFamily == AddressFamily.InterNetworkV6 || text.SequenceEqual(address.ToString()))
            ? address
            : null;

    private static IPAddress Plain(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
}

/// <summary>A client behind a trusted proxy.</summary>
/// <param name="client">What the proxy says.</param>
/// <param name="proxy">The other end of the TCP connection.</param>
internal sealed class ForwardedEndPoint(IPAddress client, EndPoint proxy) : EndPoint
{
    /// <summary><c>192.0.2.7 via 10.0.0.2:5555</c>.</summary>
    public override string ToString() => $"{client} via {proxy}";
}
