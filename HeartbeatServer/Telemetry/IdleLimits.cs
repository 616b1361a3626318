namespace HeartbeatServer.Telemetry;

/// <summary>Something on the way that ends connections by itself.</summary>
/// <param name="Name">As docs/troubleshooting.md has it.</param>
/// <param name="Default">What its vendor documents.</param>
/// <param name="Setting">What its owner sets, in the words of the same page; empty if it cannot be set.</param>
/// <param name="IsOnLife">Whether it limits the whole life of a connection; otherwise its silence.</param>
internal sealed record IdleLimit(string Name, TimeSpan Default, string Setting, bool IsOnLife = false);

/// <summary>The limits that are usual on the way, and the pings that fit below them. docs/troubleshooting.md has the same table, and a test compares them.</summary>
internal static class IdleLimits
{
    /// <summary>Those that are met most often come first.</summary>
    public static readonly IReadOnlyList<IdleLimit> Usual =
    [
        new("nginx", TimeSpan.FromSeconds(60), "proxy_read_timeout"),
        new("AWS ALB", TimeSpan.FromSeconds(60), "idle_timeout.timeout_seconds"),
        new("Kubernetes ingress-nginx", TimeSpan.FromSeconds(60), "proxy-read-timeout"),
        new("Apache httpd", TimeSpan.FromSeconds(60), "Timeout"),
        new("Varnish", TimeSpan.FromSeconds(60), "pipe_timeout"),
        new("lighttpd", TimeSpan.FromSeconds(60), "server.max-read-idle"),
        new("AWS NLB", TimeSpan.FromSeconds(350), "tcp.idle_timeout.seconds"),
        new("Google Cloud Application Load Balancer", TimeSpan.FromSeconds(30), "backend service timeout", IsOnLife: true),
        new("Azure Load Balancer", TimeSpan.FromMinutes(4), "idle timeout of the rule"),
        new("Azure Application Gateway", TimeSpan.FromSeconds(20), "request timeout of the backend setting"),
        new("Cloudflare", TimeSpan.FromSeconds(100), ""),
        new("Heroku", TimeSpan.FromSeconds(55), ""),
        new("Envoy, Istio", TimeSpan.FromMinutes(5), "stream_idle_timeout"),
        new("YARP", TimeSpan.FromSeconds(100), "ActivityTimeout"),
        new("Traffic Server", TimeSpan.FromMinutes(10), "proxy.config.websocket.no_activity_timeout"),
        new("Traffic Server, the whole life", TimeSpan.FromHours(1), "proxy.config.websocket.active_timeout", IsOnLife: true),
        new("Squid", TimeSpan.FromMinutes(15), "read_timeout"),
        new("h2o", TimeSpan.FromMinutes(5), "proxy.websocket.timeout"),
        new("stunnel", TimeSpan.FromHours(12), "TIMEOUTidle"),
        new("IIS with ARR", TimeSpan.FromMinutes(2), "proxy time-out of the server farm"),
        new("HAProxy Ingress Controller", TimeSpan.FromHours(1), "timeout-tunnel"),
    ];

    /// <summary>What people give to <c>--ping</c>, the longest first.</summary>
    private static readonly (TimeSpan Ping, string Text)[] Pings =
    [
        (TimeSpan.FromMinutes(30), "30m"), (TimeSpan.FromMinutes(15), "15m"), (TimeSpan.FromMinutes(10), "10m"), (TimeSpan.FromMinutes(5), "5m"),
        (TimeSpan.FromMinutes(2), "2m"), (TimeSpan.FromSeconds(90), "90s"), (TimeSpan.FromMinutes(1), "1m"), (TimeSpan.FromSeconds(45), "45s"),
        (TimeSpan.FromSeconds(30), "30s"), (TimeSpan.FromSeconds(25), "25s"), (TimeSpan.FromSeconds(20), "20s"), (TimeSpan.FromSeconds(15), "15s"),
        (TimeSpan.FromSeconds(10), "10s"), (TimeSpan.FromSeconds(5), "5s"), (TimeSpan.FromSeconds(2), "2s"), (TimeSpan.FromSeconds(1), "1s"),
        (TimeSpan.FromMilliseconds(500), "500ms"), (TimeSpan.FromMilliseconds(200), "200ms"), (TimeSpan.FromMilliseconds(100), "100ms"),
    ];

    /// <summary>
    /// The largest usual <c>--ping</c> of less than half a limit, so that one lost ping does no harm; null if the limit is too short for any, or if the ping that
    /// is set is as short already. A limit is measured a little longer than it was set, so the half is taken a little shorter.
    /// </summary>
    /// <param name="limit">The limit.</param>
    /// <param name="set"><c>--ping</c>; zero for no pings.</param>
    public static string? PingBelow(TimeSpan limit, TimeSpan set = default) =>
        Pings.FirstOrDefault(each => each.Ping < limit * 0.49) is { Text: not null } found && (set == TimeSpan.Zero || found.Ping < set) ? found.Text : null;

    /// <summary>The names of those whose default this is, to 1 % or a quarter of a second.</summary>
    /// <param name="length">A silence or an age, as it was measured.</param>
    /// <param name="ofSilence">Whether limits of a silence fit.</param>
    /// <param name="ofLife">Whether limits of the whole life fit.</param>
    public static IReadOnlyList<string> Names(TimeSpan length, bool ofSilence, bool ofLife)
    {
        var tolerance = TimeSpan.FromSeconds(Math.Max(0.25, length.TotalSeconds / 100));
        return [.. Within(length - tolerance, length + tolerance).Where(each => each.IsOnLife ? ofLife : ofSilence).Select(each => each.Name)];
    }

    /// <summary>Those whose default lies in a range.</summary>
    /// <param name="shortest">The least length.</param>
    /// <param name="longest">The greatest length.</param>
    public static IEnumerable<IdleLimit> Within(TimeSpan shortest, TimeSpan longest) => Usual.Where(each => each.Default >= shortest && each.Default <= longest);
}
