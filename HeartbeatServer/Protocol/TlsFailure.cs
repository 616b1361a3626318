using System.Security.Authentication;
using System.Security.Cryptography;

namespace HeartbeatServer.Protocol;

/// <summary>Says why a TLS handshake has failed. OpenSSL gives a number and some words, and the framework passes both on.</summary>
internal static class TlsFailure
{
    // The reasons of OpenSSL (sslerr.h). A reason stands in the lower bits of an error; those from 1000 on are an alert of the peer and its number.
    private const int ReasonMask = 0xFFF;
    private const int FirstAlert = 1000;
    private const int NoSharedCipher = 193;
    private const int NoApplicationProtocol = 235;
    private const int UnsupportedProtocol = 258;
    private const int UnsupportedVersion = 259;
    private const int VersionTooLow = 396;

    // The alerts about a certificate (RFC 8446 section 6.2): bad_certificate to certificate_unknown, and unknown_ca.
    private const int BadCertificate = 42;
    private const int CertificateUnknown = 46;
    private const int UnknownAuthority = 48;

    /// <summary>Why a client could not be let in.</summary>
    /// <param name="failure">What SslStream has thrown.</param>
    public static Refusal ByClient(Exception failure) => failure.GetBaseException() switch
    {
        CryptographicException error => ByClient(error.HResult & ReasonMask, Words(error.Message)),
        AuthenticationException => new(RefusalReason.TlsFailed, "the TLS handshake failed: what came is no TLS record"),
        _ => new(RefusalReason.TlsGone, "the client went in the middle of the TLS handshake; some do when they do not trust the certificate"),
    };

    /// <summary>Why the application is not reached, worded to stand behind "the application cannot be reached".</summary>
    /// <inheritdoc cref="ByClient(Exception)"/>
    public static string ByServer(Exception failure) => failure.GetBaseException() switch
    {
        CryptographicException error => $"the TLS handshake failed: {Words(error.Message)}",
        AuthenticationException => "the TLS handshake failed: what came is no TLS record. Does it speak TLS at this port?",
        _ => "it ended the connection in the middle of the TLS handshake. Does it speak TLS at this port?",
    };

    private static Refusal ByClient(int reason, string words) => reason switch
    {
        UnsupportedProtocol or UnsupportedVersion or VersionTooLow =>
            new(RefusalReason.TlsVersion, "the client speaks neither TLS 1.2 nor 1.3"),
        NoSharedCipher => new(RefusalReason.TlsFailed, "the TLS handshake failed: no cipher that both sides allow"),
        NoApplicationProtocol => new(RefusalReason.TlsFailed, "the TLS handshake failed: the client does not offer http/1.1 (ALPN), which a WebSocket upgrade needs"),
        >= FirstAlert => new(RefusalReason.TlsAlert, $"the client ended the TLS handshake: {words}{(IsDistrust(reason - FirstAlert) ? ". It does not trust the certificate" : "")}"),
        _ => new(RefusalReason.TlsFailed, $"the TLS handshake failed: {words}"),
    };

    private static bool IsDistrust(int alert) => alert is (>= BadCertificate and <= CertificateUnknown) or UnknownAuthority;

    /// <summary>The words of OpenSSL's <c>error:0A000418:SSL routines::tlsv1 alert unknown ca</c>.</summary>
    public static string Words(string message)
    {
        string words = message[(message.LastIndexOf(':') + 1)..];
        int alert = words.IndexOf(" alert ", StringComparison.Ordinal);
        return alert < 0 ? words : $"alert {words[(alert + " alert ".Length)..]}";
    }
}
