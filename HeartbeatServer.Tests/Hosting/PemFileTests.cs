using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using HeartbeatServer.Hosting;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Hosting;

public sealed class PemFileTests
{
    private DirectoryInfo _folder = null!;

    [SetUp]
    public void SetUp() => _folder = Directory.CreateTempSubdirectory("heartbeat-pem-");

    [TearDown]
    public void TearDown() => _folder.Delete(recursive: true);

    [Test]
    public void A_file_with_more_than_is_asked_for_is_good()
    {
        using X509Certificate2 made = TestCertificate.Make();
        string both = TestCertificate.KeyPem(made) + "a line of a person\n" + TestCertificate.Pem(made);
        string path = Put(Encoding.UTF8.GetBytes(both));

        Assert.That(PemFile.Read("--tls-cert", path, PemFile.Certificates, out string? fault)!.Text, Is.EqualTo(both));
        Assert.That(fault, Is.Null);
        Assert.That(PemFile.Read("--tls-key", path, PemFile.Keys, out _)!.Source, Is.EqualTo($"--tls-key {path}"));
    }

    [Test]
    public void The_mark_of_another_encoding_is_obeyed()
    {
        using X509Certificate2 made = TestCertificate.Make();
        string path = Put([.. Encoding.Unicode.Preamble, .. Encoding.Unicode.GetBytes(TestCertificate.Pem(made))]);

        Assert.That(PemFile.Read("--tls-cert", path, PemFile.Certificates, out _)!.Text, Is.EqualTo(TestCertificate.Pem(made)));
    }

    [Test]
    public void What_is_there_in_place_of_PEM_is_named()
    {
        using X509Certificate2 made = TestCertificate.Make();
        using ECDsa key = made.GetECDsaPrivateKey()!;

        Assert.That(Fault(Put(made.Export(X509ContentType.Pkcs12, "secret"))), Does.Contain("this is a PKCS#12 file (.pfx, .p12), and PEM is needed: openssl pkcs12 -in "));
        Assert.That(Fault(Put(made.Export(X509ContentType.Cert))), Does.Contain("this is binary (DER), and PEM is needed"));
        Assert.That(Fault(Put(key.ExportPkcs8PrivateKey())), Does.Contain("this is binary (DER), and PEM is needed"));
        Assert.That(Fault(Put(Encoding.ASCII.GetBytes(TestCertificate.KeyPem(made)))), Does.EndWith("in it, only PRIVATE KEY"));
        Assert.That(Fault(Put([])), Does.EndWith("the file is empty"));
        Assert.That(Fault(Put([0xFE, 0xED, 0xFE, 0xED])), Does.Contain("there is no whole -----BEGIN CERTIFICATE-----"));
    }

    [Test]
    public void What_is_no_file_is_called_so()
    {
        Assert.That(Fault(_folder.FullName), Is.EqualTo($"--tls-cert {_folder.FullName}: this is a directory, and the path of a file is needed"));
        Assert.That(Fault(Path.Combine(_folder.FullName, "none.pem")), Does.EndWith(": there is no such file"));
        Assert.That(Fault(Path.Combine(_folder.FullName, "none", "none.pem")), Does.EndWith(": there is no such file"));
    }

    [Test]
    public void A_file_that_is_too_long_is_not_read_to_its_end()
    {
        Assert.That(Fault(Put(new byte[1024 * 1024 + 1])), Does.EndWith("this is no file in PEM: it is longer than 1 MiB"));
        if (OperatingSystem.IsLinux())
            Assert.That(Fault("/dev/zero"), Is.EqualTo("--tls-cert /dev/zero: this is no file in PEM: it is longer than 1 MiB"));
    }

    private string Put(byte[] content)
    {
        string path = Path.Combine(_folder.FullName, Path.GetRandomFileName());
        File.WriteAllBytes(path, content);
        return path;
    }

    private static string Fault(string path)
    {
        Assert.That(PemFile.Read("--tls-cert", path, PemFile.Certificates, out string? fault), Is.Null);
        return fault!;
    }
}
