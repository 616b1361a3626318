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

    private readonly FakeTimeProvider _time = new(Start);
    private LogSink _log = null!;
    private Logger _logger = null!;
    private CertificateFiles _files = null!;

    [SetUp]
    public void SetUp()
    {
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

    [TestCase("", "no -----BEGIN CERTIFICATE-----")]
    [TestCase("-----BEGIN CERTIFICATE-----\nno base64!\n-----END CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----")]
    [TestCase("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be used")]
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
        Assert.That(_log.Containing("Warning")[^1], Does.Contain("has ended on").And.Contain("clients refuse it"));
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
    public void A_start_with_files_that_are_no_good_fails_and_names_them()
    {
        using X509Certificate2 other = TestCertificate.Make();
        File.WriteAllText(_files.Key, TestCertificate.KeyPem(other));
        Assert.That(Failure(), Does.Contain(_files.Certificate).And.Contain(_files.Key).And.Contain("key"));

        File.WriteAllText(_files.Key, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
        Assert.That(Failure(), Does.Contain("passphrase"));

        File.WriteAllText(_files.Key, "no key");
        Assert.That(Failure(), Does.Contain("-----BEGIN PRIVATE KEY-----"));

        File.Delete(_files.Key);
        Assert.That(Failure(), Does.Contain("Could not find file"));

        string Failure() => Assert.Throws<StartupException>(() => Open())!.Message;
    }

    [Test]
    public void The_chain_behind_the_certificate_is_sent()
    {
        File.AppendAllText(_files.Certificate, TestCertificate.Pem(TestCertificate.Authority));

        Assert.That(Open().Current.Names, Is.EqualTo(new[] { "localhost", "127.0.0.1" }), "the first certificate is that of the server");
    }

    private CertificateStore Open() => new(_files.Certificate, _files.Key, _time, new ServerLog(_logger, _time));
}
