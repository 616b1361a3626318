using HeartbeatServer.Protocol;

namespace HeartbeatServer.Tests.Protocol;

[TestFixture]
public sealed class RefusalReasonTests
{
    [TestCase(RefusalReason.BadRequest, "bad_request", 400)]
    [TestCase(RefusalReason.Origin, "origin", 403)]
    [TestCase(RefusalReason.NotFound, "not_found", 404)]
    [TestCase(RefusalReason.MethodNotAllowed, "method_not_allowed", 405)]
    [TestCase(RefusalReason.RequestTimeout, "request_timeout", 408)]
    [TestCase(RefusalReason.UpgradeRequired, "upgrade_required", 426)]
    [TestCase(RefusalReason.IpLimit, "ip_limit", 429)]
    [TestCase(RefusalReason.HeaderTooLarge, "header_too_large", 431)]
    [TestCase(RefusalReason.HttpVersion, "http_version", 505)]
    [TestCase(RefusalReason.Tls, "tls", 400)]
    [TestCase(RefusalReason.PlainHttp, "plain_http", 400)]
    [TestCase(RefusalReason.TlsVersion, "tls_version", 400)]
    [TestCase(RefusalReason.TlsAlert, "tls_alert", 400)]
    [TestCase(RefusalReason.TlsGone, "tls_gone", 400)]
    [TestCase(RefusalReason.TlsFailed, "tls_failed", 400)]
    [TestCase(RefusalReason.ProxyProtocol, "proxy_protocol", 400)]
    [TestCase(RefusalReason.ConnectionLimit, "connection_limit", 503)]
    [TestCase(RefusalReason.Draining, "draining", 503)]
    [TestCase(RefusalReason.UpstreamUnreachable, "upstream_unreachable", 502)]
    [TestCase(RefusalReason.UpstreamBadCertificate, "upstream_bad_certificate", 502)]
    [TestCase(RefusalReason.UpstreamBadAnswer, "upstream_bad_answer", 502)]
    [TestCase(RefusalReason.UpstreamLoop, "upstream_loop", 502)]
    [TestCase(RefusalReason.UpstreamTimeout, "upstream_timeout", 504)]
    [TestCase(RefusalReason.UpstreamQueue, "upstream_queue", 503)]
    [TestCase(RefusalReason.UpstreamRefused, "upstream_refused", 502)]
    [TestCase(RefusalReason.BufferLimit, "buffer_limit", 503)]
    [TestCase(RefusalReason.ClientGone, "client_gone", 499)]
    public void Every_reason_has_a_name_and_a_status(object reason, string name, int status)
    {
        var refusal = new Refusal((RefusalReason)reason, "why");

        Assert.That((refusal.Reason.Name(), refusal.Status), Is.EqualTo((name, status)));
    }

    [Test]
    public void No_two_reasons_have_the_same_name() =>
        Assert.That(RefusalReasons.All.Select(reason => reason.Name()), Is.Unique);

    [Test]
    public void The_status_may_be_the_applications_own() =>
        Assert.That((new Refusal(RefusalReason.UpstreamRefused, "why") { Status = 401 }).Status, Is.EqualTo(401));
}
