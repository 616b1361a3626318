using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using HeartbeatServer.Options;

namespace HeartbeatServer.Tests.Support;

/// <summary>Makes certificates: an authority of its own, and what it signs.</summary>
internal static class TestCertificate
{
    private static readonly ECDsa AuthorityKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);

    /// <summary>The certificate of the authority, with its key.</summary>
    public static X509Certificate2 Authority { get; } = MakeAuthority();

    /// <summary>Makes a certificate that the authority has signed, with a key on P-256.</summary>
    /// <inheritdoc cref="Sign"/>
    public static X509Certificate2 Make(string name = HostPort.Localhost, DateTimeOffset? from = null, DateTimeOffset? to = null)
    {
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using X509Certificate2 signed = Sign(new PublicKey(key), name, from, to);
        return signed.CopyWithPrivateKey(key);
    }

    /// <summary>Makes a certificate of a public key.</summary>
    /// <param name="key">The key.</param>
    /// <param name="name">The name that it is for. It is for 127.0.0.1, too, if this is localhost.</param>
    /// <param name="from">When it begins; null for yesterday.</param>
    /// <param name="to">When it ends; null for in a month.</param>
    /// <param name="use">What the key is for; null if the certificate does not say.</param>
    public static X509Certificate2 Sign(
        PublicKey key, string name = HostPort.Localhost, DateTimeOffset? from = null, DateTimeOffset? to = null, X509KeyUsageFlags? use = null)
    {
        var request = new CertificateRequest(new X500DistinguishedName($"CN={name}"), key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName(name);
        if (name == HostPort.Localhost)
            names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(Authority, true, false));
        if (use is { } flags)
            request.CertificateExtensions.Add(new X509KeyUsageExtension(flags, critical: true));
        DateTimeOffset now = DateTimeOffset.UtcNow;
        return request.Create(
            Authority.SubjectName,
            X509SignatureGenerator.CreateForECDsa(AuthorityKey),
            from ?? now.AddDays(-1),
            to ?? now.AddDays(30),
            RandomNumberGenerator.GetBytes(8));
    }

    /// <summary>Whether the authority has signed a certificate.</summary>
    public static bool IsOurs(X509Certificate2 certificate)
    {
        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.Add(Authority);
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        return chain.Build(certificate);
    }

    /// <summary>The certificate as a file has it.</summary>
    public static string Pem(X509Certificate2 certificate) => certificate.ExportCertificatePem() + "\n";

    /// <summary>The private key as a file has it.</summary>
    public static string KeyPem(X509Certificate2 certificate)
    {
        using ECDsa key = certificate.GetECDsaPrivateKey()!;
        return key.ExportPkcs8PrivateKeyPem() + "\n";
    }

    private static X509Certificate2 MakeAuthority()
    {
        var request = new CertificateRequest("CN=Test authority", AuthorityKey, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, true));
        return request.CreateSelfSigned(DateTimeOffset.UtcNow.AddYears(-1), DateTimeOffset.UtcNow.AddYears(1));
    }
}
