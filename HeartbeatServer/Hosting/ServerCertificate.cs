using System.Diagnostics.CodeAnalysis;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Hosting;

/// <summary>A certificate with its private key, ready for handshakes.</summary>
/// <remarks>Nobody disposes of it: a handshake may still use it after another one has taken its place.</remarks>
[SuppressMessage("Reliability", "CA2000", Justification = "As the remarks say.")]
internal sealed class ServerCertificate
{
    // Algorithms of keys (RFC 3279 section 2.3, RFC 5480 section 2.1).
    private const string Rsa = "1.2.840.113549.1.1.1";
    private const string Ec = "1.2.840.10045.2.1";

    private const string Usable = "RSA of 2048 bits or more can be used, and ECDSA on P-256, P-384 or P-521";

    private ServerCertificate(X509Certificate2 certificate, X509Certificate2Collection chain)
    {
        Names = NamesOf(certificate);
        Validity = new Validity(certificate.NotBefore.ToUniversalTime(), certificate.NotAfter.ToUniversalTime());
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

    /// <summary>When the certificate begins and ends.</summary>
    public Validity Validity { get; }

    /// <summary>Makes a certificate of two files, and tries it in a handshake.</summary>
    /// <param name="certificate">The certificate, and behind it those that have signed it, without the root.</param>
    /// <param name="key">The private key.</param>
    /// <param name="fault">What is wrong, with the option and the file; null if nothing is.</param>
    /// <returns>Null if something is wrong.</returns>
    public static ServerCertificate? Read(PemFile certificate, PemFile key, out string? fault)
    {
        var chain = new X509Certificate2Collection();
        try
        {
            chain.ImportFromPem(certificate.Text);
        }
        catch (CryptographicException)
        {
            fault = $"{certificate.Source}: a certificate in it is damaged";
            return null;
        }
        X509Certificate2? pair = Pair(certificate.Text, key.Text);
        if (pair is null)
        {
            fault = WhyNoPair(chain, certificate, key);
            return null;
        }
        try
        {
            var made = new ServerCertificate(pair, chain);
            if (TrialHandshake.RunAsync(made.Handshake).GetAwaiter().GetResult() is not { } failure)
            {
                fault = null;
                return made;
            }
            fault = TlsFailure.ByCertificate(failure);
        }
        catch (NotSupportedException e)
        {
            fault = TlsFailure.ByCertificate(e);
        }
        fault = $"{certificate.Source}: no TLS handshake is possible with this certificate, whose key is {KindOf(pair)}: {fault}. {Usable}";
        return null;
    }

    /// <summary>Puts the first certificate and its key together.</summary>
    /// <returns>Null if the two are no pair, or if the framework does not know their kind.</returns>
    private static X509Certificate2? Pair(string certificate, string key)
    {
        try
        {
            return X509Certificate2.CreateFromPem(certificate, key);
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException)
        {
            return null;
        }
    }

    private static string WhyNoPair(X509Certificate2Collection chain, PemFile certificate, PemFile key)
    {
        if (chain[0].PublicKey.Oid.Value is not (Rsa or Ec))
            return $"{certificate.Source}: the server cannot use this certificate, whose key is {KindOf(chain[0])}. {Usable}";
        for (int index = 1; index < chain.Count; index++)
        {
            if (Pair(chain[index].ExportCertificatePem(), key.Text) is not null)
                return $"{certificate.Source}: the chain is in the wrong order: the server's own certificate has to be the first, and is number {index + 1}";
        }
        return IsKey(RSA.Create(), key.Text) || IsKey(ECDsa.Create(), key.Text)
            ? $"{key.Source}: the key does not belong to the certificate of {certificate.Source}. "
                + "openssl pkey -in KEY -pubout and openssl x509 -in CERTIFICATE -pubkey -noout print the same for a pair"
            : $"{key.Source}: the key is damaged, or of a kind that the server cannot use. {Usable}";
    }

    private static bool IsKey(AsymmetricAlgorithm algorithm, string key)
    {
        using (algorithm)
        {
            try
            {
                algorithm.ImportFromPem(key);
                return true;
            }
            catch (Exception e) when (e is CryptographicException or ArgumentException)
            {
                return false;
            }
        }
    }

    /// <summary>The kind and the size of a certificate's key.</summary>
    private static string KindOf(X509Certificate2 certificate)
    {
        using RSA? rsa = certificate.GetRSAPublicKey();
        using ECDsa? ec = certificate.GetECDsaPublicKey();
        return certificate.PublicKey.Oid switch
        {
            { Value: Rsa } when rsa is not null => $"RSA of {rsa.KeySize} bits",
            { Value: Ec } when ec is not null => $"ECDSA of {ec.KeySize} bits ({ec.ExportParameters(false).Curve.Oid?.FriendlyName ?? "a curve without a name"})",
            { Value: Ec } => "on an elliptic curve, and not for signatures (its key usage)",
            { Value: "1.3.101.112" } => "Ed25519",
            { Value: "1.3.101.113" } => "Ed448",
            { Value: "1.2.840.113549.1.1.10" } => "RSASSA-PSS",
            var other => other.FriendlyName ?? other.Value ?? "of no kind that is known",
        };
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
