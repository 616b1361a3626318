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
    [TestCase(0x0A0000F4, "unexpected message", "tls_failed", "the TLS handshake failed: a message that has no place there")]
    [TestCase(0x0A000065, "no suitable key share", "tls_failed", "the TLS handshake failed: no key exchange that both sides allow")]
    [TestCase(0x0A000119, "decryption failed or bad record mac", "tls_failed",
        "the TLS handshake failed: a record was changed on the way, or was encrypted with another key")]
    [TestCase(0x0A00009F, "length mismatch", "tls_failed", "the TLS handshake failed: OpenSSL says \"length mismatch\"")]
    [TestCase(0x0A00018F, "ee key too small", "tls_failed", "the TLS handshake failed: OpenSSL refuses a key as short as that of this certificate")]
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

    [Test]
    public void What_fails_at_the_server_is_no_client_that_has_gone()
    {
        // The framework has a kind of its own for a certificate that OpenSSL does not take.
        var own = new AuthenticationException("see inner", new InvalidDataException("Using SSL certificate failed - ee key too small.") { HResult = 0x0A00018F });

        Assert.That(TlsFailure.ByClient(own).Reason, Is.EqualTo(RefusalReason.TlsFailed));
        Assert.That(TlsFailure.ByClient(own).Text, Does.EndWith("a key as short as that of this certificate"));
        Assert.That(TlsFailure.ByClient(new NotSupportedException("must use a certificate with the associated private key")).Text, Does.EndWith("the server cannot sign with it"));
    }

    [Test]
    public void Of_the_server_s_own_certificate_the_words_say_what_no_client_can_change()
    {
        Assert.That(TlsFailure.ByCertificate(ByOpenSsl(0x0A0000C1, "no shared cipher")), Is.EqualTo("clients of today do not offer this kind of key"));
        Assert.That(TlsFailure.ByCertificate(ByOpenSsl(0x0A00018E, "ca md too weak")), Does.StartWith("OpenSSL refuses the hash"));
        Assert.That(TlsFailure.ByCertificate(new NotSupportedException("riddle")), Is.EqualTo("the server cannot sign with it"));
        Assert.That(TlsFailure.ByCertificate(new IOException("riddle")), Is.EqualTo("the handshake ends in the middle"));
    }

    [Test]
    public void Of_a_record_behind_the_handshake_no_sentence_is_the_framework_s()
    {
        Assert.That(TlsFailure.ByRecord(new IOException("The remote party requested renegotiation")), Is.EqualTo("the peer tried to begin the handshake anew, which is not allowed"));
        Assert.That(TlsFailure.ByRecord(new AuthenticationException("Cannot determine the frame size")), Is.EqualTo("what came is no TLS record"));
        Assert.That(TlsFailure.ByRecord(new IOException("The decryption operation failed", ByOpenSsl(0x0A000119, "bad record mac"))), Does.StartWith("a record was changed"));
        Assert.That(TlsFailure.ByRecord(new IOException("The decryption operation failed", ByOpenSsl(0x0A000412, "ssl/tls alert bad certificate"))), Is.EqualTo("alert bad certificate"));
        Assert.That(TlsFailure.ByRecord(new IOException("The decryption operation failed", new InvalidDataException("riddle"))), Is.EqualTo("a record is no good"));
    }

    private static AuthenticationException ByOpenSsl(int code, string words) =>
        new("Authentication failed, see inner exception.", new CryptographicException($"error:{code:X8}:SSL routines::{words}") { HResult = code });
}
