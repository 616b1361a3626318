using System.Diagnostics.CodeAnalysis;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace HeartbeatServer.Hosting;

/// <summary>A certificate with its private key, ready for handshakes.</summary>
/// <remarks>Nobody disposes of it: a handshake may still use it after another one has taken its place.</remarks>
[SuppressMessage("Reliability", "CA2000", Justification = "As the remarks say.")]
internal sealed class ServerCertificate
{
    private ServerCertificate(X509Certificate2 certificate, X509Certificate2Collection chain)
    {
        Names = NamesOf(certificate);
        NotAfter = certificate.NotAfter.ToUniversalTime();
        Handshake = new SslServerAuthenticationOptions
        {
            // Nothing is downloaded: neither missing parts of the chain, nor a proof that the certificate is not revoked.
            ServerCertificateContext = SslStreamCertificateContext.Create(certificate, chain, offline: true),
#pragma warning disable CA5398 // Older versions are broken (RFC 8996), and some systems still allow them. SslProtocols knows no "1.2 and later".
            EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
#pragma warning restore CA5398
            // A client that offers protocols must offer this one: a WebSocket upgrade is a request of HTTP/1.1.
            ApplicationProtocols = [SslApplicationProtocol.Http11],
            AllowRenegotiation = false,
        };
    }

    /// <summary>What SslStream needs for the handshake of a client.</summary>
    public SslServerAuthenticationOptions Handshake { get; }

    /// <summary>The names and addresses that the certificate is for.</summary>
    public IReadOnlyList<string> Names { get; }

    /// <summary>When the certificate ends, in UTC.</summary>
    public DateTime NotAfter { get; }

    /// <summary>Makes a certificate of the text of two files.</summary>
    /// <param name="certificate">The certificate in PEM, and behind it those that have signed it, without the root.</param>
    /// <param name="key">The private key in PEM, without a passphrase.</param>
    /// <param name="fault">What is wrong with the texts; null if nothing is.</param>
    /// <returns>Null if something is wrong.</returns>
    public static ServerCertificate? Read(string certificate, string key, out string? fault)
    {
        fault = null;
        var chain = new X509Certificate2Collection();
        try
        {
            chain.ImportFromPem(certificate);
            if (chain.Count == 0)
                fault = "the certificate's file has no -----BEGIN CERTIFICATE-----";
            else if (key.Contains("ENCRYPTED", StringComparison.Ordinal))
                fault = "the key has a passphrase, which nobody could enter at a start: take it off (openssl pkey -in FILE -out FILE)";
            else if (!key.Contains("PRIVATE KEY-----", StringComparison.Ordinal))
                fault = "the key's file has no -----BEGIN PRIVATE KEY-----";
            else
                return new ServerCertificate(X509Certificate2.CreateFromPem(certificate, key), chain);
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException or AuthenticationException or NotSupportedException)
        {
            fault = $"the certificate and the key cannot be used: {e.Message.ReplaceLineEndings(" ")}";
        }
        return null;
    }

    private static string[] NamesOf(X509Certificate2 certificate)
    {
        X509SubjectAlternativeNameExtension[] names = [.. certificate.Extensions.OfType<X509SubjectAlternativeNameExtension>()];
        string[] all =
        [
            .. names.SelectMany(each => each.EnumerateDnsNames()),
            .. names.SelectMany(each => each.EnumerateIPAddresses()).Select(address => address.ToString()),
        ];
        return all.Length > 0 ? all : [certificate.GetNameInfo(X509NameType.SimpleName, forIssuer: false)];
    }
}
