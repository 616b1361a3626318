using System.Security.Cryptography.X509Certificates;
using HeartbeatServer.Options;

namespace HeartbeatServer.Tests.Support;

/// <summary>A certificate and its key in two files of a folder of their own.</summary>
internal sealed class CertificateFiles : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("heartbeat-tls-");

    public CertificateFiles() => Write(TestCertificate.Make());

    public string Certificate => Path.Combine(_folder.FullName, "fullchain.pem");

    public string Key => Path.Combine(_folder.FullName, "privkey.pem");

    /// <summary>Puts another certificate in the place of the first.</summary>
    public void Write(X509Certificate2 certificate)
    {
        Write(TestCertificate.Pem(certificate), TestCertificate.KeyPem(certificate));
        certificate.Dispose();
    }

    public void Write(string certificate, string key)
    {
        File.WriteAllText(Certificate, certificate);
        File.WriteAllText(Key, key);
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(Key, UnixFileMode.UserRead | UnixFileMode.UserWrite);
    }

    /// <summary>The options of a server that has this certificate.</summary>
    public ServerOptions Configure(ServerOptions options) => options with { TlsCert = Certificate, TlsKey = Key };

    public void Dispose() => _folder.Delete(recursive: true);
}
