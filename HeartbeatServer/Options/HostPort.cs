using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using HeartbeatServer.Admin;

namespace HeartbeatServer.Options;

/// <summary>Where the admin listener is.</summary>
/// <param name="Host"><c>*</c> for every IPv4 interface, an address without brackets, or a host name.</param>
/// <param name="Port">1 to 65535.</param>
internal sealed record HostPort(string Host, int Port)
{
    private const string Loopback = "127.0.0.1";

    /// <summary>Whether only this machine can reach it. A name other than localhost may be anything.</summary>
    public bool IsLoopback =>
        Host.Equals("localhost", StringComparison.OrdinalIgnoreCase) || (IPAddress.TryParse(Host, out IPAddress? address) && IPAddress.IsLoopback(address));

    /// <summary>Where a browser on this machine finds it; HttpListener answers no Host that is an IPv6 address.</summary>
    public string Url => $"http://{(Host is "*" or "::1" ? "localhost" : Bracketed)}:{Port}/";

    private string Bracketed => Host.Contains(':', StringComparison.Ordinal) ? $"[{Host}]" : Host;

    /// <summary><c>9090</c>, <c>127.0.0.1:9090</c>, <c>[::1]:9090</c>, <c>name:9090</c>, <c>*:9090</c>.</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out HostPort? address)
    {
        address = null;
        int colon = text.LastIndexOf(':');
        string host = colon < 0 ? Loopback : text[..colon];
        if (!int.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out int port) || port is < 1 or > 65535)
            return false;
        if (host is "*" or "0.0.0.0")
            host = "*";
        // An IPv6 address stands in brackets: without them its last group would be the port.
        else if (Uri.CheckHostName(host) == UriHostNameType.Unknown || host == "[::]" || host.Contains(':', StringComparison.Ordinal) != host.StartsWith('['))
            return false;
        address = new HostPort(host.Trim('[', ']'), port);
        return true;
    }

    /// <summary>
    /// Whether a request with this Host header is answered. Behind a name that an attacker owns and has pointed at this address (DNS rebinding), a
    /// web page could read everything; behind an IP address it cannot be his page that asks.
    /// </summary>
    /// <remarks>
    /// Who binds more than the loopback interface wants other machines to ask: then any IP address is answered, and whatever name a scraper or a
    /// load balancer has for this server on the pages that are for them, which show no client.
    /// </remarks>
    /// <param name="header">The Host header, with or without a port; the port does not matter, since it may be forwarded.</param>
    /// <param name="path">That is asked for.</param>
    public bool Answers(string? header, string path)
    {
        if (!IsLoopback && path is AdminRoutes.MetricsPath or AdminRoutes.HealthPath or AdminRoutes.ReadyPath)
            return true;
        if (string.IsNullOrEmpty(header))
            return false;
        int end = header.StartsWith('[') ? header.IndexOf(']', StringComparison.Ordinal) + 1 : header.LastIndexOf(':');
        if (header.StartsWith('[') && end == 0)
            return false;
        string rest = end < 0 ? "" : header[end..];
        if (rest.Length > 0 && (rest[0] != ':' || rest.AsSpan(1).ContainsAnyExceptInRange('0', '9')))
            return false;
        string host = end < 0 ? header : header[..end];
        if (host.Equals("localhost", StringComparison.OrdinalIgnoreCase) || host == Loopback || host == "[::1]")
            return true;
        return host.Equals(Bracketed, StringComparison.OrdinalIgnoreCase)
            || (!IsLoopback && Uri.CheckHostName(host) is UriHostNameType.IPv4 or UriHostNameType.IPv6);
    }

    public override string ToString() => $"{Bracketed}:{Port}";
}
