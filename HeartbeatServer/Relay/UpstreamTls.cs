using System.Globalization;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace HeartbeatServer.Relay;

/// <summary>The relay's part of a TLS handshake with the application: whom it trusts, and what is wrong with a certificate.</summary>
internal sealed class UpstreamTls
{
    /// <summary>The use of a certificate by a server (RFC 5280 section 4.2.1.12).</summary>
    private const string ServerUse = "1.3.6.1.5.5.7.3.1";

    private readonly string _host;
    private readonly bool _isVerified;
    private readonly X509ChainPolicy _policy;

    /// <param name="host">The name or address in the URL. The certificate has to be for it.</param>
    /// <param name="authorities">Who may have signed the certificate; null for whom the system trusts.</param>
    /// <param name="isVerified">Whether the certificate is looked at, at all.</param>
    public UpstreamTls(string host, X509Certificate2Collection? authorities, bool isVerified)
    {
        (_host, _isVerified) = (host, isVerified);
        // A handshake runs on an event loop, so it must not wait for anybody. Nothing is downloaded, and nobody is asked about revocations.
        _policy = new X509ChainPolicy { DisableCertificateDownloads = true, RevocationMode = X509RevocationMode.NoCheck };
        _policy.ApplicationPolicy.Add(new Oid(ServerUse));
        if (authorities is not null)
        {
            _policy.TrustMode = X509ChainTrustMode.CustomRootTrust;
            _policy.CustomTrustStore.AddRange(authorities);
        }
        LoadStores();
    }

    /// <summary>Does the handshake.</summary>
    /// <exception cref="BadCertificateException">The application's certificate is not accepted.</exception>
    /// <exception cref="AuthenticationException">The handshake has failed for another reason.</exception>
    public async Task AuthenticateAsync(SslStream application)
    {
        var verdict = new Verdict();
        var options = new SslClientAuthenticationOptions
        {
            TargetHost = _host,
#pragma warning disable CA5398 // As for the clients: nothing older is spoken.
            EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
#pragma warning restore CA5398
            ApplicationProtocols = [SslApplicationProtocol.Http11],
            AllowRenegotiation = false,
            CertificateChainPolicy = _policy,
            RemoteCertificateValidationCallback = (_, certificate, chain, errors) =>
            {
                verdict.Fault = _isVerified ? Fault(certificate as X509Certificate2, chain, errors) : null;
                return verdict.Fault is null;
            },
        };
        try
        {
            await application.AuthenticateAsClientAsync(options);
        }
        catch (AuthenticationException e) when (verdict.Fault is not null)
        {
            throw new BadCertificateException(verdict.Fault, e);
        }
    }

    /// <summary>What is wrong with a certificate; null if nothing is.</summary>
    private string? Fault(X509Certificate2? certificate, X509Chain? chain, SslPolicyErrors errors)
    {
        if (errors == SslPolicyErrors.None)
            return null;
        if (certificate is null)
            return "it shows none";
        X509ChainStatusFlags flags = (chain?.ChainStatus ?? []).Aggregate(X509ChainStatusFlags.NoError, (all, each) => all | each.Status);
        List<string> faults = [];
        if ((errors & SslPolicyErrors.RemoteCertificateNameMismatch) != 0)
            faults.Add($"it is not for {_host}");
        if ((flags & X509ChainStatusFlags.NotTimeValid) != 0)
            faults.Add($"it, or one that has signed it, is out of date: it is valid from {Day(certificate.NotBefore)} to {Day(certificate.NotAfter)}");
        if ((flags & (X509ChainStatusFlags.UntrustedRoot | X509ChainStatusFlags.PartialChain)) != 0)
        {
            faults.Add(_policy.TrustMode == X509ChainTrustMode.System
                ? "nobody whom this system trusts has signed it (--upstream-ca names others), or the chain is incomplete"
                : "nobody in --upstream-ca has signed it, or the chain is incomplete");
        }
        const X509ChainStatusFlags told = X509ChainStatusFlags.NotTimeValid | X509ChainStatusFlags.UntrustedRoot | X509ChainStatusFlags.PartialChain;
        if ((flags & ~told) != 0)
            faults.Add($"{flags & ~told}");
        return faults.Count > 0 ? string.Join("; ", faults) : $"{errors}";
    }

    /// <summary>What SslStream was told of a certificate.</summary>
    private sealed class Verdict
    {
        public string? Fault { get; set; }
    }

    private static string Day(DateTime time) => time.ToUniversalTime().ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);

    /// <summary>The framework reads the stores of the system when it first needs them, which takes its time. The first handshake must not wait for that.</summary>
    private void LoadStores()
    {
        using var store = new X509Store(StoreName.Root, StoreLocation.LocalMachine, OpenFlags.ReadOnly | OpenFlags.OpenExistingOnly);
        X509Certificate2? any = _policy.CustomTrustStore.Concat(store.Certificates).FirstOrDefault();
        if (any is null)
            return;
        using var chain = new X509Chain { ChainPolicy = _policy.Clone() };
        chain.Build(any);
    }
}
