using System.Security.Authentication;

namespace HeartbeatServer.Protocol;

/// <summary>Says why a TLS handshake has failed. OpenSSL gives a number and some words, and the framework passes both on.</summary>
internal static class TlsFailure
{
    // An error of OpenSSL has its library in the upper bits: SSL is number 20. OpenSSL 1.1 has the number of a function between the two.
    private const int SslLibrary = 20;
    private const int LibraryOf3 = 23;
    private const int LibraryOf1 = 24;

    // The reasons of OpenSSL (sslerr.h). A reason stands in the lower bits of an error; those from 1000 on are an alert of the peer and its number.
    private const int ReasonMask = 0xFFF;
    private const int FirstAlert = 1000;
    private const int NoSuitableKeyShare = 101;
    private const int NoSuitableSignature = 118;
    private const int NoSharedCipher = 193;
    private const int NoApplicationProtocol = 235;
    private const int UnexpectedMessage = 244;
    private const int UnsupportedProtocol = 258;
    private const int UnsupportedVersion = 259;
    private const int WrongVersion = 267;
    private const int BadRecord = 281;
    private const int InappropriateFallback = 373;
    private const int VersionTooLow = 396;
    private const int AuthorityKeyTooSmall = 397;
    private const int DigestTooWeak = 398;
    private const int KeyTooSmall = 399;

    // The alerts about a certificate (RFC 8446 section 6.2): bad_certificate to certificate_unknown, and unknown_ca.
    private const int BadCertificate = 42;
    private const int CertificateUnknown = 46;
    private const int UnknownAuthority = 48;

    /// <summary>Why a client could not be let in.</summary>
    /// <param name="failure">What SslStream has thrown.</param>
    public static Refusal ByClient(Exception failure) => failure.GetBaseException() switch
    {
        var error when ReasonOf(error) is { } reason => ByClient(reason, error.Message),
        AuthenticationException => new(RefusalReason.TlsFailed, "the TLS handshake failed: what came is no TLS record"),
        NotSupportedException => new(RefusalReason.TlsFailed, $"the TLS handshake failed: {ByCertificate(failure)}"),
        _ => new(RefusalReason.TlsGone, "the client went in the middle of the TLS handshake; some do when they do not trust the certificate"),
    };

    /// <summary>Why the application is not reached, worded to stand behind "the application cannot be reached".</summary>
    /// <inheritdoc cref="ByClient(Exception)"/>
    public static string ByServer(Exception failure) => failure.GetBaseException() switch
    {
        var error when ReasonOf(error) is { } reason => $"the TLS handshake failed: {Words(reason, error.Message)}",
        AuthenticationException => "the TLS handshake failed: what came is no TLS record. Does it speak TLS at this port?",
        _ => "it ended the connection in the middle of the TLS handshake. Does it speak TLS at this port?",
    };

    /// <summary>Why no handshake is possible with the server's own certificate, whoever the client is.</summary>
    /// <inheritdoc cref="ByClient(Exception)"/>
    public static string ByCertificate(Exception failure) => failure.GetBaseException() switch
    {
        var error when ReasonOf(error) is NoSharedCipher or NoSuitableSignature => "clients of today do not offer this kind of key",
        var error when ReasonOf(error) is { } reason => Words(reason, error.Message),
        NotSupportedException => "the server cannot sign with it",
        _ => "the handshake ends in the middle",
    };

    /// <summary>Why records cannot be read any more on a connection whose handshake is done.</summary>
    /// <inheritdoc cref="ByClient(Exception)"/>
    public static string ByRecord(Exception failure) => failure.GetBaseException() switch
    {
        var error when ReasonOf(error) is { } reason => Words(reason, error.Message),
        AuthenticationException => "what came is no TLS record",
        // SslStream has no kind of its own for this one. What it finds in a record has an inner exception.
        _ when failure.InnerException is null => "the peer tried to begin the handshake anew, which is not allowed",
        _ => "a record is no good",
    };

    private static Refusal ByClient(int reason, string message) => reason switch
    {
        UnsupportedProtocol or UnsupportedVersion or VersionTooLow =>
            new(RefusalReason.TlsVersion, "the client speaks neither TLS 1.2 nor 1.3"),
        >= FirstAlert => new(
            RefusalReason.TlsAlert,
            $"the client ended the TLS handshake: {Words(reason, message)}{(IsDistrust(reason - FirstAlert) ? ". It does not trust the certificate" : "")}"),
        NoApplicationProtocol => new(RefusalReason.TlsFailed, "the TLS handshake failed: the client does not offer http/1.1 (ALPN), which a WebSocket upgrade needs"),
        _ => new(RefusalReason.TlsFailed, $"the TLS handshake failed: {Words(reason, message)}"),
    };

    /// <summary>A reason in words. The rare ones are OpenSSL's, and are said to be.</summary>
    private static string Words(int reason, string message) => reason switch
    {
        NoSharedCipher => "no cipher that both sides allow",
        NoSuitableKeyShare => "no key exchange that both sides allow",
        NoSuitableSignature => "no signature that both sides allow",
        UnexpectedMessage => "a message that has no place there",
        WrongVersion => "a record with another version of TLS",
        BadRecord => "a record was changed on the way, or was encrypted with another key",
        InappropriateFallback => "the peer came down to an older version of TLS, as if a newer one had failed",
        KeyTooSmall => "OpenSSL refuses a key as short as that of this certificate",
        AuthorityKeyTooSmall => "OpenSSL refuses a key as short as that of a certificate in the chain",
        DigestTooWeak => "OpenSSL refuses the hash with which a certificate in the chain was signed",
        >= FirstAlert => AlertIn(message),
        _ => $"OpenSSL says \"{TextIn(message)}\"",
    };

    private static bool IsDistrust(int alert) => alert is (>= BadCertificate and <= CertificateUnknown) or UnknownAuthority;

    /// <returns>Null if the error is none of OpenSSL's.</returns>
    private static int? ReasonOf(Exception error) =>
        error.HResult >> LibraryOf3 == SslLibrary || error.HResult >> LibraryOf1 == SslLibrary ? error.HResult & ReasonMask : null;

    private static string AlertIn(string message)
    {
        string text = TextIn(message);
        int alert = text.IndexOf(" alert ", StringComparison.Ordinal);
        return alert < 0 ? text : $"alert {text[(alert + " alert ".Length)..]}";
    }

    /// <summary>The words of OpenSSL's <c>error:0A000418:SSL routines::tlsv1 alert unknown ca</c>.</summary>
    private static string TextIn(string message) => message[(message.LastIndexOf(':') + 1)..];
}
