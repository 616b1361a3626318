using System.Security.Authentication;
using System.Security.Cryptography;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Tests.Protocol;

[TestFixture]
public sealed class TlsFailureTests
{
    [TestCase(0x0A000102, "unsupported protocol", "tls_version", "the client speaks neither TLS 1.2 nor 1.3")]
    [TestCase(0x0A00018C, "version too low", "tls_version", "the client speaks neither TLS 1.2 nor 1.3")]
    [TestCase(0x0A0000C1, "no shared cipher", "tls_failed", "the TLS handshake failed: no cipher that both sides allow")]
    [TestCase(0x0A0000EB, "no application protocol", "tls_failed",
        "the TLS handshake failed: the client does not offer http/1.1 (ALPN), which a WebSocket upgrade needs")]
    [TestCase(0x0A0000F4, "unexpected message", "tls_failed", "the TLS handshake failed: unexpected message")]
    [TestCase(0x0A000418, "tlsv1 alert unknown ca", "tls_alert", "the client ended the TLS handshake: alert unknown ca. It does not trust the certificate")]
    [TestCase(0x0A000412, "sslv3 alert bad certificate", "tls_alert",
        "the client ended the TLS handshake: alert bad certificate. It does not trust the certificate")]
    [TestCase(0x0A000416, "sslv3 alert certificate unknown", "tls_alert",
        "the client ended the TLS handshake: alert certificate unknown. It does not trust the certificate")]
    [TestCase(0x0A000438, "tlsv1 alert internal error", "tls_alert", "the client ended the TLS handshake: alert internal error")]
    [TestCase(0x14094418, "tlsv1 alert unknown ca", "tls_alert", "the client ended the TLS handshake: alert unknown ca. It does not trust the certificate",
        Description = "as OpenSSL 1.1 numbers it")]
    public void The_error_of_OpenSSL_gives_the_reason(int code, string words, string reason, string text)
    {
        Refusal refusal = TlsFailure.ByClient(ByOpenSsl(code, words));

        Assert.That((refusal.Reason.Name(), refusal.Text), Is.EqualTo((reason, text)));
        Assert.That(refusal.Reason.IsOfTls(), Is.True, "nobody can read an answer");
    }

    [Test]
    public void What_is_no_record_and_who_goes_are_told_apart()
    {
        Assert.That(TlsFailure.ByClient(new AuthenticationException("a corrupted frame")).Reason, Is.EqualTo(RefusalReason.TlsFailed));
        Assert.That(TlsFailure.ByClient(new IOException("unexpected EOF")).Reason, Is.EqualTo(RefusalReason.TlsGone));
    }

    [Test]
    public void Of_an_application_the_words_fit_behind_the_rest_of_the_sentence()
    {
        Assert.That(TlsFailure.ByServer(ByOpenSsl(0x0A00042E, "tlsv1 alert protocol version")), Is.EqualTo("the TLS handshake failed: alert protocol version"));
        Assert.That(TlsFailure.ByServer(new AuthenticationException("a corrupted frame")), Does.EndWith("Does it speak TLS at this port?"));
        Assert.That(TlsFailure.ByServer(new IOException("unexpected EOF")), Does.StartWith("it ended the connection"));
    }

    private static AuthenticationException ByOpenSsl(int code, string words) =>
        new("Authentication failed, see inner exception.", new CryptographicException($"error:{code:X8}:SSL routines::{words}") { HResult = code });
}
