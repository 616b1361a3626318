using HeartbeatServer.Options;

namespace HeartbeatServer.Admin;

/// <summary>
/// Decides by its Host header whether a request to the admin listener is answered, against DNS rebinding: an attacker who owns a name can point it at
/// this listener's address, and a web page under that name could then read everything. No such page can put an IP address into the Host header.
/// </summary>
/// <remarks>
/// Whoever binds more than the loopback interface wants other machines to ask. The listener then answers any IP address in the header. The pages for
/// scrapers and load balancers show no client, so it answers them under any name.
/// </remarks>
internal static class HostGuard
{
    /// <param name="bound">Where the admin listener is.</param>
    /// <param name="header">The Host header, with or without a port. The port is not compared, because it may be a forwarded one.</param>
    /// <param name="path">The path that is asked for.</param>
    public static bool Answers(HostPort bound, string? header, string path)
    {
        if (!bound.IsLoopback && path is AdminRoutes.MetricsPath or AdminRoutes.HealthPath or AdminRoutes.ReadyPath)
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
        if (host.Equals(HostPort.Localhost, StringComparison.OrdinalIgnoreCase) || host is HostPort.Loopback or "[::1]")
            return true;
        return host.Equals(bound.UrlHost, StringComparison.OrdinalIgnoreCase)
            || (!bound.IsLoopback && Uri.CheckHostName(host) is UriHostNameType.IPv4 or UriHostNameType.IPv6);
    }
}
