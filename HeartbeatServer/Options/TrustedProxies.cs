using System.Net;
using System.Net.Sockets;

namespace HeartbeatServer.Options;

/// <summary>
/// Finds the client behind a trusted proxy. Each proxy appends the address that it was called from to X-Forwarded-For, or to Forwarded as a for=
/// (RFC 7239). So the client is the right-most address that is not one of our proxies. What stands further left was written by others, and anybody
/// can write it.
/// </summary>
internal sealed class TrustedProxies
{
    /// <summary>Trusts no proxy, and so ignores the headers.</summary>
    public static readonly TrustedProxies None = new([]);

    private readonly IPNetwork[] _networks;

    public TrustedProxies(IPNetwork[] networks) => _networks = networks;

    /// <summary>Reads <c>10.0.0.0/8</c>, <c>fd00::/8</c>, or an address alone. Bits behind the prefix are ignored.</summary>
    public static bool TryParse(string text, out IPNetwork network)
    {
        int slash = text.IndexOf('/', StringComparison.Ordinal);
        network = default;
        if (Address(slash < 0 ? text : text.AsSpan(0, slash)) is not { } address)
            return false;
        if (slash >= 0)
            return !address.IsIPv4MappedToIPv6 && IPNetwork.TryParse(text, out network); // an IPv4 network is written as IPv4, and not mapped into IPv6
        address = Plain(address);
        network = new IPNetwork(address, address.GetAddressBytes().Length * 8);
        return true;
    }

    /// <summary>The address that counts for limits, logs and status.</summary>
    /// <param name="peer">The other end of the TCP connection.</param>
    /// <param name="forwardedFor">The X-Forwarded-For header, or null.</param>
    /// <param name="forwarded">The Forwarded header, or null.</param>
    /// <returns>
    /// The peer, unless it is a trusted proxy. An entry that is no address (garbage, <c>unknown</c>, an obfuscated name) ends the walk, and the
    /// last known proxy counts as the client. If the two headers disagree, the peer counts: the client may have sent one of them itself. A header
    /// that says nothing about the client does not disagree.
    /// </returns>
    public ClientAddress ClientOf(IPAddress peer, string? forwardedFor, string? forwarded)
    {
        peer = Plain(peer);
        if (!IsTrusted(peer))
            return new ClientAddress(peer);
        IPAddress? one = Walk(peer, forwardedFor, isForwarded: false);
        IPAddress? other = Walk(peer, forwarded, isForwarded: true);
        bool isDisputed = one is not null && other is not null && !one.Equals(other);
        return new ClientAddress(isDisputed ? peer : one ?? other ?? peer, isDisputed);
    }

    /// <summary>Whether the other end of a TCP connection is a trusted proxy.</summary>
    public bool Trusts(IPAddress peer) => IsTrusted(Plain(peer));

    public override string ToString() => _networks.Length == 0 ? "none" : string.Join(',', _networks);

    private bool IsTrusted(IPAddress address) => Array.Exists(_networks, network => network.Contains(address));

    /// <returns>
    /// Null if the header says nothing about the client: it has no element, or the right-most one, which our own proxy wrote, has no for=
    /// (<c>proto=https</c> alone).
    /// </returns>
    private IPAddress? Walk(IPAddress peer, ReadOnlySpan<char> header, bool isForwarded)
    {
        IPAddress known = peer;
        bool saysSomething = false;
        while (!header.IsEmpty)
        {
            int comma = LastOutsideQuotes(header, ',');
            ReadOnlySpan<char> entry = header[(comma + 1)..].Trim(" \t");
            header = comma < 0 ? [] : header[..comma];
            if (entry.IsEmpty)
                continue; // RFC 9110 section 5.6.1: a recipient ignores empty elements of a list
            bool isNamed = true;
            IPAddress? address = isForwarded ? ForOf(entry, out isNamed) : AddressOf(entry);
            saysSomething |= isNamed;
            if (address is null)
                break;
            known = address;
            if (!IsTrusted(address))
                break;
        }
        return saysSomething ? known : null;
    }

    /// <summary>The index of the last separator outside quoted strings; -1 if there is none.</summary>
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
    /// The address in the for= of one element: <c>for=192.0.2.43;proto=https</c>, <c>For="[2001:db8:cafe::17]:4711"</c>. It is null if no proxy
    /// would write the element so: with two for=, with a part that is no pair, or with an escape. A proxy copies parts of an element from the
    /// request, the Host for example, and the client may have put a for= into such a part.
    /// </summary>
    /// <param name="element">One element of the Forwarded header.</param>
    /// <param name="isNamed">False if the element has no for= for certain.</param>
    private static IPAddress? ForOf(ReadOnlySpan<char> element, out bool isNamed)
    {
        ReadOnlySpan<char> node = default;
        bool isFound = false;
        isNamed = true;
        if (element.Contains('\\'))
            return null;
        while (!element.IsEmpty)
        {
            int semicolon = LastOutsideQuotes(element, ';');
            ReadOnlySpan<char> pair = element[(semicolon + 1)..].Trim(" \t");
            element = semicolon < 0 ? [] : element[..semicolon];
            if (pair.IsEmpty)
                continue;
            int equals = pair.IndexOf('=');
            if (equals <= 0)
                return null;
            if (!pair[..equals].Equals("for", StringComparison.OrdinalIgnoreCase))
                continue;
            if (isFound)
                return null;
            isFound = true;
            node = pair[(equals + 1)..];
        }
        isNamed = isFound;
        if (node is ['"', .., '"'])
            node = node[1..^1];
        return AddressOf(node);
    }

    /// <summary>
    /// Reads an address with or without a port: <c>192.0.2.1</c>, <c>192.0.2.1:4711</c>, <c>2001:db8::1</c>, <c>[2001:db8::1]:4711</c>.
    /// </summary>
    private static IPAddress? AddressOf(ReadOnlySpan<char> node)
    {
        if (node.IsEmpty || node.Contains('%'))
            return null; // an address with a zone means something only on the machine that wrote it
        if (Address(node) is { } alone)
            return Plain(alone);
        bool isGood = node[0] == '[' || (node.IndexOf(':') is > 0 and int colon && Address(node[..colon]) is not null);
        return isGood && IPEndPoint.TryParse(node, out IPEndPoint? end) ? Plain(end.Address) : null;
    }

    /// <summary>
    /// Reads an address in the form that it is usually written in. The library, like inet_aton, would take <c>10</c> for 0.0.0.10 and
    /// <c>010.0.0.1</c> for 8.0.0.1; here they are no addresses.
    /// </summary>
    private static IPAddress? Address(ReadOnlySpan<char> text) =>
        IPAddress.TryParse(text, out IPAddress? address) && (address.AddressFamily == AddressFamily.InterNetworkV6 || text.SequenceEqual(address.ToString()))
            ? address
            : null;

    /// <summary>An IPv4 address that is mapped into IPv6, as the IPv4 address that it is.</summary>
    private static IPAddress Plain(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
}

/// <summary>Who a client is, as far as it is known.</summary>
/// <param name="Address">Counts for limits, logs and status.</param>
/// <param name="IsDisputed">Whether the two headers name different clients, so that neither is believed.</param>
internal readonly record struct ClientAddress(IPAddress Address, bool IsDisputed = false);
