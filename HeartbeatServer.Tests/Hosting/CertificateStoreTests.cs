using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using HeartbeatServer.Hosting;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;
using Microsoft.Extensions.Time.Testing;
using Serilog.Core;

namespace HeartbeatServer.Tests.Hosting;

public sealed class CertificateStoreTests
{
    private static readonly DateTimeOffset Start = DateTimeOffset.UtcNow;

    private FakeTimeProvider _time = null!;
    private LogSink _log = null!;
    private Logger _logger = null!;
    private CertificateFiles _files = null!;

    [SetUp]
    public void SetUp()
    {
        _time = new FakeTimeProvider(Start);
        _log = new LogSink();
        _logger = _log.Logger();
        _files = new CertificateFiles();
    }

    [TearDown]
    public void TearDown()
    {
        _logger.Dispose();
        _files.Dispose();
    }

    [Test]
    public void A_certificate_is_told_with_its_names_and_its_end()
    {
        _files.Write(TestCertificate.Make(to: Start.AddDays(20.5)));

        CertificateStore store = Open();

        Assert.That(store.Current.Names, Is.EqualTo(new[] { "localhost", "127.0.0.1" }));
        Assert.That(store.DaysLeft, Is.EqualTo(20));
        Assert.That(_log.Containing("Information The certificate for localhost, 127.0.0.1 in").Single(), Does.Contain("ends in 20 day(s)"));
        Assert.That(_log.Containing("Warning"), Is.Empty);
    }

    [Test]
    public void Files_that_have_not_changed_are_not_taken_again()
    {
        CertificateStore store = Open();
        ServerCertificate first = store.Current;

        store.Look();

        Assert.That(store.Current, Is.SameAs(first));
        Assert.That(_log.Containing("is used from now on").Count, Is.EqualTo(1));
    }

    [Test]
    public void A_new_certificate_is_taken()
    {
        CertificateStore store = Open();
        _time.Advance(TimeSpan.FromHours(1));
        _files.Write(TestCertificate.Make("new.example.com", to: Start.AddDays(60)));

        store.Look();

        Assert.That(store.Current.Names, Is.EqualTo(new[] { "new.example.com" }));
        Assert.That(store.Loaded, Is.EqualTo(Start.AddHours(1).UtcDateTime));
        Assert.That(_log.Containing("The certificate for new.example.com").Single(), Does.Contain("59 day(s)"));
    }

    [TestCase("", "the file is empty")]
    [TestCase("-----BEGIN CERTIFICATE-----\nno base64!\n-----END CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----")]
    [TestCase("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "is damaged")]
    public void A_bad_new_file_is_a_warning_and_the_old_certificate_stays(string content, string fault)
    {
        CertificateStore store = Open();
        ServerCertificate old = store.Current;
        File.WriteAllText(_files.Certificate, content);

        for (int look = 0; look < 5; look++)
            store.Look();

        Assert.That(store.Current, Is.SameAs(old));
        Assert.That(_log.Containing("Warning").Single(), Does.Contain(_files.Certificate).And.Contain(fault).And.Contain("The certificate of before stays"));
    }

    [Test]
    public void Files_that_are_replaced_one_after_the_other_are_no_warning()
    {
        CertificateStore store = Open();
        using X509Certificate2 next = TestCertificate.Make("next.example.com");
        File.WriteAllText(_files.Certificate, TestCertificate.Pem(next));
        store.Look();
        File.WriteAllText(_files.Key, TestCertificate.KeyPem(next));
        store.Look();

        Assert.That(store.Current.Names, Is.EqualTo(new[] { "next.example.com" }));
        Assert.That(_log.Containing("Warning"), Is.Empty);
    }

    [Test]
    public void A_file_that_is_gone_is_a_warning_and_good_again_when_it_is_back()
    {
        CertificateStore store = Open();
        string key = File.ReadAllText(_files.Key);
        File.Delete(_files.Key);
        for (int look = 0; look < 3; look++)
            store.Look();
        Assert.That(_log.Containing("Warning").Single(), Does.Contain(_files.Key));

        File.WriteAllText(_files.Key, key);
        store.Look();
        File.Delete(_files.Key);
        for (int look = 0; look < 3; look++)
            store.Look();

        Assert.That(_log.Containing("Warning").Count, Is.EqualTo(2), "it is news again");
    }

    [Test]
    public void From_14_days_on_there_is_a_warning_each_day_until_there_is_a_new_certificate()
    {
        _files.Write(TestCertificate.Make(to: Start.AddDays(15.5)));
        CertificateStore store = Open();
        Pass(TimeSpan.FromDays(1.4));
        Assert.That(_log.Containing("Warning"), Is.Empty);
        Pass(TimeSpan.FromDays(0.2));
        Assert.That(_log.Containing("Warning").Single(), Does.Contain("ends in 13 day(s)"));
        Pass(TimeSpan.FromDays(2));
        Assert.That(_log.Containing("Warning").Count, Is.EqualTo(3));
        Pass(TimeSpan.FromDays(13));
        Assert.That(_log.Containing("Warning")[^1], Does.Contain("it ended 1 day(s) ago").And.Contain("clients refuse it"));
        int warnings = _log.Containing("Warning").Count;

        _files.Write(TestCertificate.Make(to: Start.AddDays(100)));
        Pass(TimeSpan.FromDays(3));

        Assert.That(_log.Containing("Warning").Count, Is.EqualTo(warnings));

        void Pass(TimeSpan time)
        {
            for (TimeSpan passed = TimeSpan.Zero; passed < time; passed += TimeSpan.FromHours(0.1))
            {
                _time.Advance(TimeSpan.FromHours(0.1));
                store.Look();
            }
        }
    }

    [Platform("Linux,MacOsX")]
    [TestCase(UnixFileMode.OtherRead, true)]
    [TestCase(UnixFileMode.OtherWrite, true)]
    [TestCase(UnixFileMode.GroupRead, false)]
    public void A_key_that_others_may_read_is_a_warning(UnixFileMode more, bool isWarning)
    {
        if (OperatingSystem.IsWindows())
            return;
        File.SetUnixFileMode(_files.Key, UnixFileMode.UserRead | UnixFileMode.UserWrite | more);

        Open();

        Assert.That(_log.Containing("Warning").Any(line => line.Contains(_files.Key, StringComparison.Ordinal)), Is.EqualTo(isWarning));
    }

    [Test]
    public void A_start_with_a_certificate_that_is_not_good_yet_is_a_warning_with_its_date()
    {
        _files.Write(TestCertificate.Make(from: Start.AddDays(3.5), to: Start.AddDays(60)));

        CertificateStore store = Open();

        string date = $"it begins only in 3 day(s), on {Start.AddDays(3.5):yyyy-MM-dd}";
        Assert.That(_log.Containing("Information").Single(), Does.Contain(date));
        Assert.That(_log.Containing("Warning").Single(), Does.Contain("is not good yet").And.Contain(date).And.Contain("clock"));
        _time.Advance(TimeSpan.FromDays(4));
        store.Look();
        Assert.That(_log.Containing("Warning").Count, Is.EqualTo(1), "it has begun");
    }

    [Test]
    public void A_start_with_a_certificate_that_has_ended_is_a_warning_with_its_date()
    {
        _files.Write(TestCertificate.Make(from: Start.AddDays(-9), to: Start.AddDays(-2.5)));

        Open();

        string date = $"it ended 2 day(s) ago, on {Start.AddDays(-2.5):yyyy-MM-dd}";
        Assert.That(_log.Containing("Information").Single(), Does.Contain(date));
        Assert.That(_log.Containing("Warning").Single(), Does.Contain(date).And.Contain("clients refuse it"));
    }

    [Test]
    public void A_certificate_that_has_ended_does_not_take_the_place_of_a_good_one()
    {
        CertificateStore store = Open();
        ServerCertificate good = store.Current;
        _files.Write(TestCertificate.Make("old.example.com", from: Start.AddDays(-9), to: Start.AddDays(-2.5)));

        for (int look = 0; look < 5; look++)
            store.Look();

        Assert.That(store.Current, Is.SameAs(good));
        Assert.That(
            _log.Containing("Warning").Single(),
            Does.Contain($"--tls-cert {_files.Certificate}: it ended 2 day(s) ago").And.Contain("The certificate of before stays; it ends in 29 day(s), on "));
    }

    [Test]
    public void A_certificate_that_begins_later_takes_the_place_of_a_good_one_when_it_begins()
    {
        CertificateStore store = Open();
        ServerCertificate good = store.Current;
        _files.Write(TestCertificate.Make("next.example.com", from: Start.AddDays(1.5), to: Start.AddDays(60)));
        store.Look();
        store.Look();
        Assert.That(store.Current, Is.SameAs(good));
        Assert.That(_log.Containing("Warning").Single(), Does.Contain("it begins only in 1 day(s), on ").And.Contain("and is taken then"));

        _time.Advance(TimeSpan.FromDays(1.6));
        store.Look();

        Assert.That(store.Current.Names, Is.EqualTo(new[] { "next.example.com" }));
        Assert.That(_log.Containing("Warning").Count, Is.EqualTo(1));
    }

    [Test]
    public void A_certificate_that_begins_later_takes_the_place_of_one_that_has_ended()
    {
        _files.Write(TestCertificate.Make(from: Start.AddDays(-9), to: Start.AddDays(-1)));
        CertificateStore store = Open();
        _files.Write(TestCertificate.Make("next.example.com", from: Start.AddDays(1.5), to: Start.AddDays(60)));

        store.Look();

        Assert.That(store.Current.Names, Is.EqualTo(new[] { "next.example.com" }), "it will be good, the other one never");
        Assert.That(_log.Containing("Warning")[^1], Does.Contain("is not good yet"), "each one has its warning");
    }

    [Test]
    public void A_certificate_with_which_no_handshake_is_possible_does_not_take_the_place_of_a_good_one()
    {
        CertificateStore store = Open();
        ServerCertificate good = store.Current;
        WriteWeak();

        store.Look();
        store.Look();

        Assert.That(store.Current, Is.SameAs(good));
        Assert.That(_log.Containing("Warning").Single(), Does.Contain("no TLS handshake is possible").And.Contain("it ends in 29 day(s)"));
    }

    [Test]
    public void A_start_with_a_certificate_with_which_no_handshake_is_possible_fails()
    {
        WriteWeak();
        Assert.That(
            Failure(),
            Does.StartWith($"--tls-cert {_files.Certificate}: no TLS handshake is possible with this certificate, whose key is RSA of 512 bits: OpenSSL refuses a key as short")
                .And.Contain("RSA of 2048 bits or more"));

        using ECDsa bitcoin = ECDsa.Create(ECCurve.CreateFromFriendlyName("secp256k1"));
        _files.Write(TestCertificate.Pem(TestCertificate.Sign(new PublicKey(bitcoin))), bitcoin.ExportPkcs8PrivateKeyPem());
        Assert.That(Failure(), Does.Contain("ECDSA of 256 bits (secp256k1): clients of today do not offer this kind of key. RSA of").IgnoreCase);

        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        X509Certificate2 agreement = TestCertificate.Sign(new PublicKey(key), use: X509KeyUsageFlags.KeyAgreement);
        _files.Write(TestCertificate.Pem(agreement), key.ExportPkcs8PrivateKeyPem());
        Assert.That(Failure(), Does.Contain("not for signatures (its key usage): the server cannot sign with it. RSA of"));
    }

    [Test]
    public void A_key_of_another_certificate_is_called_so([Values] bool isRsa)
    {
        using RSA rsa = RSA.Create(2048);
        using ECDsa ec = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        File.WriteAllText(_files.Key, isRsa ? rsa.ExportRSAPrivateKeyPem() : ec.ExportECPrivateKeyPem());

        Assert.That(Failure(), Does.StartWith($"--tls-key {_files.Key}: the key does not belong to the certificate of --tls-cert {_files.Certificate}. "));
    }

    [Test]
    public void A_chain_in_the_wrong_order_is_called_so()
    {
        File.WriteAllText(_files.Certificate, TestCertificate.Pem(TestCertificate.Authority) + File.ReadAllText(_files.Certificate));

        Assert.That(
            Failure(),
            Is.EqualTo($"--tls-cert {_files.Certificate}: the chain is in the wrong order: the server's own certificate has to be the first, and is number 2."));
    }

    [TestCase("1.3.101.112", "Ed25519")]
    [TestCase("1.2.840.113549.1.1.10", "RSASSA-PSS")]
    [TestCase("1.2.3.4.5", "1.2.3.4.5")]
    public void A_kind_of_key_that_the_framework_does_not_know_is_named(string kind, string name)
    {
        var key = new PublicKey(new Oid(kind), null, new AsnEncodedData(new byte[32]));
        File.WriteAllText(_files.Certificate, TestCertificate.Pem(TestCertificate.Sign(key)));

        Assert.That(
            Failure(),
            Is.EqualTo($"--tls-cert {_files.Certificate}: the server cannot use this certificate, whose key is {name}. "
                + "RSA of 2048 bits or more can be used, and ECDSA on P-256, P-384 or P-521."));
    }

    [TestCase("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "the key is damaged, or of a kind")]
    [TestCase("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "passphrase")]
    [TestCase("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\nAAAA\n-----END RSA PRIVATE KEY-----\n", "passphrase")]
    [TestCase("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no whole -----BEGIN PRIVATE KEY----- to -----END PRIVATE KEY----- in it, only PUBLIC KEY")]
    [TestCase("no key", "no whole -----BEGIN PRIVATE KEY-----")]
    public void A_start_with_a_key_that_is_no_good_names_its_file_and_says_why(string content, string words)
    {
        File.WriteAllText(_files.Key, content);

        Assert.That(Failure(), Does.StartWith($"--tls-key {_files.Key}: ").And.Contain(words).And.Not.EndsWith(".."));
    }

    [Test]
    public void A_start_without_one_of_the_files_names_that_one()
    {
        File.Delete(_files.Key);
        Assert.That(Failure(), Is.EqualTo($"--tls-key {_files.Key}: there is no such file."));
    }

    [Test]
    public void The_chain_behind_the_certificate_is_sent()
    {
        File.AppendAllText(_files.Certificate, TestCertificate.Pem(TestCertificate.Authority));

        Assert.That(Open().Current.Names, Is.EqualTo(new[] { "localhost", "127.0.0.1" }), "the first certificate is that of the server");
    }

    private void WriteWeak()
    {
#pragma warning disable CA5385 // It is to be refused, even where OpenSSL allows 1024 bits.
        using RSA key = RSA.Create(512);
#pragma warning restore CA5385
        _files.Write(TestCertificate.Pem(TestCertificate.Sign(new PublicKey(key))), key.ExportPkcs8PrivateKeyPem());
    }

    private string Failure() => Assert.Throws<StartupException>(() => Open())!.Message;

    private CertificateStore Open() => new(_files.Certificate, _files.Key, _time, new ServerLog(_logger, _time));
}
