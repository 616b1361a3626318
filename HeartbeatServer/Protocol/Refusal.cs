namespace HeartbeatServer.Protocol;

/// <summary>Why a request is not upgraded. The set is bounded, because the reason is a label of a metric.</summary>
internal enum RefusalReason
{
    /// <summary>400: the request breaks a rule of the handshake or of HTTP.</summary>
    BadRequest,
    /// <summary>403: the page is not in <c>--allow-origin</c>.</summary>
    Origin,
    /// <summary>404: the path is not that of <c>--path</c>.</summary>
    NotFound,
    /// <summary>405: the method is not GET.</summary>
    MethodNotAllowed,
    /// <summary>408: the request was not finished within <c>--handshake-timeout</c>.</summary>
    RequestTimeout,
    /// <summary>426: the request is not an upgrade to version 13 of WebSocket.</summary>
    UpgradeRequired,
    /// <summary>429: the address has <c>--max-connections-per-ip</c> connections already.</summary>
    IpLimit,
    /// <summary>431: the head of the request is too long, or has too many fields.</summary>
    HeaderTooLarge,
    /// <summary>505: the version is not HTTP/1.x.</summary>
    HttpVersion,
    /// <summary>400: the client speaks TLS on the plain port. It gets no answer, because it could not read one.</summary>
    Tls,
    /// <summary>400: the client does not speak TLS on the TLS port. The answer is in plain.</summary>
    PlainHttp,
    /// <summary>400: the client speaks no version of TLS that the server does. As with the other failures of a TLS handshake, nobody answers it in HTTP.</summary>
    TlsVersion,
    /// <summary>400: the client has ended the TLS handshake with an alert: as a rule it does not trust the certificate.</summary>
    TlsAlert,
    /// <summary>400: the client went in the middle of the TLS handshake, and did not say why.</summary>
    TlsGone,
    /// <summary>400: the TLS handshake failed for another reason.</summary>
    TlsFailed,
    /// <summary>400: a header of the PROXY protocol stands before the request.</summary>
    ProxyProtocol,
    /// <summary>503: the server has <c>--max-connections</c> connections already, or the limit of open files leaves no descriptor.</summary>
    ConnectionLimit,
    /// <summary>503: the server is shutting down.</summary>
    Draining,
    /// <summary>502: no connection to the application could be made, or it was reset before the answer.</summary>
    UpstreamUnreachable,
    /// <summary>502: the application's certificate is not accepted.</summary>
    UpstreamBadCertificate,
    /// <summary>502: what the application answered is no answer that can be passed on.</summary>
    UpstreamBadAnswer,
    /// <summary>502: the request has come through this relay before.</summary>
    UpstreamLoop,
    /// <summary>504: the application has not answered within <c>--upstream-timeout</c>, or took no byte of a body for <c>--write-timeout</c>.</summary>
    UpstreamTimeout,
    /// <summary>503: too many requests wait for the application's answer already.</summary>
    UpstreamQueue,
    /// <summary>The application answered with another status than 101. Its answer goes to the client.</summary>
    UpstreamRefused,
    /// <summary>503: pages hold too much for sides that do not read, and this one has waited the longest (<c>--max-buffered</c>).</summary>
    BufferLimit,
    /// <summary>The client went before it had its whole answer.</summary>
    ClientGone,
}

internal static class RefusalReasons
{
    public static readonly RefusalReason[] All = Enum.GetValues<RefusalReason>();

    /// <summary>The name of a reason in logs, metrics and status, for example <c>connection_limit</c>.</summary>
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
        RefusalReason.PlainHttp => "plain_http",
        RefusalReason.TlsVersion => "tls_version",
        RefusalReason.TlsAlert => "tls_alert",
        RefusalReason.TlsGone => "tls_gone",
        RefusalReason.TlsFailed => "tls_failed",
        RefusalReason.ProxyProtocol => "proxy_protocol",
        RefusalReason.ConnectionLimit => "connection_limit",
        RefusalReason.UpstreamUnreachable => "upstream_unreachable",
        RefusalReason.UpstreamBadCertificate => "upstream_bad_certificate",
        RefusalReason.UpstreamBadAnswer => "upstream_bad_answer",
        RefusalReason.UpstreamLoop => "upstream_loop",
        RefusalReason.UpstreamTimeout => "upstream_timeout",
        RefusalReason.UpstreamQueue => "upstream_queue",
        RefusalReason.UpstreamRefused => "upstream_refused",
        RefusalReason.BufferLimit => "buffer_limit",
        RefusalReason.ClientGone => "client_gone",
        _ => "draining",
    };

    /// <summary>Whether the client speaks TLS, and there is no TLS with it. So it gets no answer.</summary>
    public static bool IsOfTls(this RefusalReason reason) => reason is RefusalReason.Tls
        or RefusalReason.TlsVersion or RefusalReason.TlsAlert or RefusalReason.TlsGone or RefusalReason.TlsFailed;

    /// <summary>
    /// The HTTP status code of a reason. Nobody sees that of <see cref="RefusalReason.ClientGone"/> but the log: it is the code that nginx logs for this.
    /// </summary>
    public static int Status(this RefusalReason reason) => reason switch
    {
        RefusalReason.BadRequest or RefusalReason.PlainHttp or RefusalReason.ProxyProtocol => 400,
        _ when reason.IsOfTls() => 400,
        RefusalReason.Origin => 403,
        RefusalReason.NotFound => 404,
        RefusalReason.MethodNotAllowed => 405,
        RefusalReason.RequestTimeout => 408,
        RefusalReason.UpgradeRequired => 426,
        RefusalReason.IpLimit => 429,
        RefusalReason.HeaderTooLarge => 431,
        RefusalReason.ClientGone => 499,
        RefusalReason.UpstreamUnreachable or RefusalReason.UpstreamBadCertificate or RefusalReason.UpstreamBadAnswer or RefusalReason.UpstreamLoop or RefusalReason.UpstreamRefused => 502,
        RefusalReason.UpstreamTimeout => 504,
        RefusalReason.HttpVersion => 505,
        _ => 503,
    };
}

/// <summary>Why a request is not upgraded, for programs and for people.</summary>
/// <param name="Reason">The reason for programs.</param>
/// <param name="Text">The reason for a person, in one line.</param>
internal readonly record struct Refusal(RefusalReason Reason, string Text)
{
    /// <summary>The limit of open files, as the log names it.</summary>
    public const string OpenFiles = "The limit of open files (ulimit -n)";

    /// <summary>Which limit refuses, as the log names it; null for the limit that the server has for its connections.</summary>
    public string? Limit { get; init; }

    /// <summary>The HTTP status code of the answer: that of the reason, unless the answer is the application's own.</summary>
    public int Status { get; init; } = Reason.Status();

    /// <summary>What a client gets that comes while the server drains.</summary>
    public static Refusal Draining => new(RefusalReason.Draining, "shutting down; connect again in a moment");
}
