using System.Diagnostics.CodeAnalysis;
using System.Net.Security;
using System.Security.Cryptography;
using System.Text;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Hosting;

/// <summary>
/// The certificate of the port. It is read anew when its files have changed. Handshakes that begin then get the new one, and connections that are open
/// stay. A new one that is no good, or serves clients worse, is not taken.
/// </summary>
/// <remarks>
/// The content of the files is compared from time to time. What the system tells of changed files would not be enough: certbot and Kubernetes put a link to
/// another file in their place, and network drives tell nothing.
/// </remarks>
internal sealed class CertificateStore
{
    /// <summary>How often the files are read.</summary>
    public static readonly TimeSpan Every = TimeSpan.FromSeconds(5);

    private const string CertificateOption = "--tls-cert";
    private const string KeyOption = "--tls-key";

    private static readonly TimeSpan WarnBefore = TimeSpan.FromDays(14);
    private static readonly TimeSpan WarnEvery = TimeSpan.FromDays(1);

    private readonly string _certificateFile;
    private readonly string _keyFile;
    private readonly TimeProvider _time;
    private readonly ServerLog _log;
    private volatile ServerCertificate _current;
    private Throttle _dateWarnings;

    // What the files had in them when the certificate was taken. It is compared, so a hash will do.
    private byte[] _taken = [];

    // What the last look found, if it is not taken.
    private Found? _waiting;
    private bool _isTold;

    /// <param name="certificateFile"><c>--tls-cert</c>.</param>
    /// <param name="keyFile"><c>--tls-key</c>.</param>
    /// <param name="time">The clock, and the calendar.</param>
    /// <param name="log">Gets a line for each certificate that is taken, and warnings.</param>
    /// <exception cref="StartupException">The files cannot be read, or are no good.</exception>
    public CertificateStore(string certificateFile, string keyFile, TimeProvider time, ServerLog log)
    {
        (_certificateFile, _keyFile, _time, _log) = (certificateFile, keyFile, time, log);
        Found first = Find();
        _current = first.Certificate ?? throw new StartupException($"{first.Fault}.");
        Take(_current, first.Content);
    }

    public ServerCertificate Current => _current;

    /// <summary>When the current certificate was taken, in UTC.</summary>
    public DateTime Loaded { get; private set; }

    /// <summary>The time until the current certificate ends. It is negative afterwards.</summary>
    public TimeSpan Left => _current.Validity.Left(Now);

    /// <summary>The whole days in <see cref="Left"/>.</summary>
    public int DaysLeft => _current.Validity.DaysLeft(Now);

    private DateTime Now => _time.GetUtcNow().UtcDateTime;

    /// <summary>Does the server's part of a handshake, with the certificate of this moment.</summary>
    public Task AuthenticateAsync(SslStream client) => client.AuthenticateAsServerAsync(_current.Handshake);

    /// <summary>Takes the certificate of the files if they have changed and it serves as well as the current one, and warns of the dates of what is in use.</summary>
    public void Look()
    {
        Found found = Find();
        if (found.Has(_taken))
            _waiting = null;
        else if ((found.Fault ?? WhyWorse(found.Certificate!)) is { } fault)
            Reject(found, fault);
        else
            Take(found.Certificate!, found.Content);
        WarnOfDates();
    }

    /// <summary>Why a certificate would serve clients worse than the current one; null if it would not.</summary>
    private string? WhyWorse(ServerCertificate next)
    {
        bool isEarly = !next.Validity.HasBegun(Now);
        if (!next.Validity.HasEnded(Now) && !(isEarly && _current.Validity.Contains(Now)))
            return null;
        return $"{CertificateOption} {_certificateFile}: {next.Validity.Words(Now)}{(isEarly ? ", and is taken then" : "")}";
    }

    [MemberNotNull(nameof(_dateWarnings))]
    private void Take(ServerCertificate certificate, byte[] content)
    {
        (_current, _taken, _waiting) = (certificate, content, null);
        Loaded = Now;
        _dateWarnings = new Throttle(_time, WarnEvery);
        _log.CertificateTaken(certificate.Names, certificate.Validity, _certificateFile);
        WarnOfReaders();
        WarnOfDates();
    }

    /// <summary>Warns of files that are not taken. They may be only half replaced, so the same content has to be seen twice.</summary>
    private void Reject(Found found, string fault)
    {
        bool isSame = _waiting?.Has(found.Content) == true;
        if (isSame && !_isTold)
            _log.CertificateRejected(_certificateFile, _keyFile, fault, _current.Validity);
        (_isTold, _waiting) = (isSame, found);
    }

    private void WarnOfDates()
    {
        Validity dates = _current.Validity;
        if ((!dates.HasBegun(Now) || dates.Left(Now) < WarnBefore) && _dateWarnings.TryPass(out _))
            _log.CertificateDates(_current.Names, dates, _certificateFile);
    }

    private void WarnOfReaders()
    {
        if (OperatingSystem.IsWindows())
            return;
        UnixFileMode mode = File.GetUnixFileMode(File.ResolveLinkTarget(_keyFile, returnFinalTarget: true)?.FullName ?? _keyFile);
        if ((mode & (UnixFileMode.OtherRead | UnixFileMode.OtherWrite)) != 0)
            _log.KeyExposed(_keyFile);
    }

    /// <summary>Reads the files. What has been read before is not tried again.</summary>
    private Found Find()
    {
        PemFile? key = null;
        PemFile? certificate = PemFile.Read(CertificateOption, _certificateFile, PemFile.Certificates, out string? fault);
        if (certificate is not null)
            key = PemFile.Read(KeyOption, _keyFile, PemFile.Keys, out fault);
        byte[] content = SHA256.HashData(Encoding.UTF8.GetBytes(fault ?? $"{certificate!.Text}\n{key!.Text}"));
        if (_waiting?.Has(content) == true)
            return _waiting;
        if (fault is not null || content.AsSpan().SequenceEqual(_taken))
            return new Found(content, null, fault);
        return new Found(content, ServerCertificate.Read(certificate!, key!, out fault), fault);
    }

    /// <summary>What is in the files.</summary>
    /// <param name="Content">A hash of it.</param>
    /// <param name="Certificate">Null if it cannot be used, or is the current one.</param>
    /// <param name="Fault">Why it cannot be used.</param>
    private sealed record Found(byte[] Content, ServerCertificate? Certificate, string? Fault)
    {
        public bool Has(byte[] content) => Content.AsSpan().SequenceEqual(content);
    }
}
