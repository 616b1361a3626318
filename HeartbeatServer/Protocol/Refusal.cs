namespace HeartbeatServer.Protocol;

/// <summary>Why a request got no upgrade. A bounded set: it is a label of a metric.</summary>
internal enum RefusalReason
{
    /// <summary>400: a rule of the handshake or of HTTP was broken.</summary>
    BadRequest,
    /// <summary>403: the page that asks is not in <c>--allow-origin</c>.</summary>
    Origin,
    /// <summary>404: not <c>--path</c>.</summary>
    NotFound,
    /// <summary>405: not GET.</summary>
    MethodNotAllowed,
    /// <summary>408: not finished within <c>--handshake-timeout</c>.</summary>
    RequestTimeout,
    /// <summary>426: not an upgrade to WebSocket version 13.</summary>
    UpgradeRequired,
    /// <summary>429: <c>--max-connections-per-ip</c> are there from this address.</summary>
    IpLimit,
    /// <summary>431: a header line without end.</summary>
    HeaderTooLarge,
    /// <summary>505: not HTTP/1.x.</summary>
    HttpVersion,
    /// <summary>400, though nobody can read it: TLS on the plain port.</summary>
    Tls,
    /// <summary>400: a header of the PROXY protocol before the request.</summary>
    ProxyProtocol,
    /// <summary>503: <c>--max-connections</c> are there.</summary>
    ConnectionLimit,
    /// <summary>503: the server is shutting down.</summary>
    Draining,
}

internal static class RefusalReasons
{
    public static readonly RefusalReason[] All = Enum.GetValues<RefusalReason>();

    /// <summary>The one name of a reason in logs, metrics and status: <c>connection_limit</c>.</summary>
    public static string Name(this RefusalReason reason) => reason switch
    {
        RefusalReason.BadRequest => "bad_request",
        RefusalReason.Origin => "origin",
        RefusalReason.NotFound => "not_found",
        RefusalReason.MethodNotAllowed => "method_not_allowed",
        RefusalReason.RequestTimeout => "request_timeout",
        RefusalReason.UpgradeRequired => "upgrade_required",
        RefusalReason.IpLimit => "ip_limit",
        RefusalReason.HeaderTooLarge => "header_too_large",
        RefusalReason.HttpVersion => "http_version",
        RefusalReason.Tls => "tls",
        RefusalReason.ProxyProtocol => "proxy_protocol",
        RefusalReason.ConnectionLimit => "connection_limit",
        _ => "draining",
    };

    /// <summary>HTTP status code.</summary>
    public static int Status(this RefusalReason reason) => reason switch
    {
        RefusalReason.BadRequest or RefusalReason.Tls or RefusalReason.ProxyProtocol => 400,
        RefusalReason.Origin => 403,
        RefusalReason.NotFound => 404,
        RefusalReason.MethodNotAllowed => 405,
        RefusalReason.RequestTimeout => 408,
        RefusalReason.UpgradeRequired => 426,
        RefusalReason.IpLimit => 429,
        RefusalReason.HeaderTooLarge => 431,
        RefusalReason.HttpVersion => 505,
        _ => 503,
    };
}

/// <summary>Why there is no upgrade.</summary>
/// <param name="Reason">For programs.</param>
/// <param name="Text">One line for a person.</param>
internal readonly record struct Refusal(RefusalReason Reason, string Text)
{
    /// <summary>HTTP status code.</summary>
    public int Status => Reason.Status();
}
