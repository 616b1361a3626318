using System.Net.Security;
using System.Security.Cryptography;
using System.Text;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Hosting;

/// <summary>
/// The certificate of the port. It is read anew when its files have changed. Handshakes that begin then get the new one, and connections that are open
/// stay. A new one that is no good is not taken.
/// </summary>
/// <remarks>
/// The content of the files is compared from time to time. What the system tells of changed files would not be enough: certbot and Kubernetes put a link to
/// another file in their place, and network drives tell nothing.
/// </remarks>
internal sealed class CertificateStore
{
    /// <summary>How often the files are read.</summary>
    public static readonly TimeSpan Every = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan WarnBefore = TimeSpan.FromDays(14);
    private static readonly TimeSpan WarnEvery = TimeSpan.FromDays(1);

    private readonly string _certificateFile;
    private readonly string _keyFile;
    private readonly TimeProvider _time;
    private readonly ServerLog _log;
    private readonly Throttle _endWarnings;
    private volatile ServerCertificate _current;

    // What the files had in them: when the certificate was taken, and at the last look if that was no good. It is compared, so a hash will do.
    private byte[] _taken;
    private byte[]? _seen;
    private bool _isTold;

    /// <param name="certificateFile"><c>--tls-cert</c>.</param>
    /// <param name="keyFile"><c>--tls-key</c>.</param>
    /// <param name="time">The clock, and the calendar.</param>
    /// <param name="log">Gets a line for each certificate that is taken, and warnings.</param>
    /// <exception cref="StartupException">The files cannot be read, or are no good.</exception>
    public CertificateStore(string certificateFile, string keyFile, TimeProvider time, ServerLog log)
    {
        (_certificateFile, _keyFile, _time, _log) = (certificateFile, keyFile, time, log);
        _endWarnings = new Throttle(time, WarnEvery);
        _taken = [];
        _current = Read(out byte[] content, out string? fault) ?? throw new StartupException($"--tls-cert {certificateFile}, --tls-key {keyFile}: {fault}.");
        _taken = Take(_current, content);
    }

    public ServerCertificate Current => _current;

    /// <summary>When the current certificate was taken, in UTC.</summary>
    public DateTime Loaded { get; private set; }

    /// <summary>The time until the current certificate ends. It is negative afterwards.</summary>
    public TimeSpan Left => _current.NotAfter - _time.GetUtcNow().UtcDateTime;

    /// <summary>The whole days in <see cref="Left"/>.</summary>
    public int DaysLeft => (int)Math.Floor(Left.TotalDays);

    /// <summary>Does the server's part of a handshake, with the certificate of this moment.</summary>
    public Task AuthenticateAsync(SslStream client) => client.AuthenticateAsServerAsync(_current.Handshake);

    /// <summary>Takes the certificate of the files if they have changed, and warns if the current one ends soon.</summary>
    public void Look()
    {
        ServerCertificate? read = Read(out byte[] content, out string? fault);
        if (content.AsSpan().SequenceEqual(_taken))
            _seen = null;
        else if (read is not null)
            (_taken, _seen) = (Take(read, content), null);
        else
            Reject(content, fault!);
        WarnOfEnd();
    }

    private byte[] Take(ServerCertificate certificate, byte[] content)
    {
        _current = certificate;
        Loaded = _time.GetUtcNow().UtcDateTime;
        _log.CertificateTaken(certificate.Names, certificate.NotAfter, DaysLeft, _certificateFile);
        WarnOfReaders();
        WarnOfEnd();
        return content;
    }

    /// <summary>Warns of files that are no good. They may be only half replaced, so the same content has to be seen twice.</summary>
    private void Reject(byte[] content, string fault)
    {
        bool isSame = _seen?.AsSpan().SequenceEqual(content) == true;
        if (isSame && !_isTold)
            _log.CertificateRejected(_certificateFile, _keyFile, fault, DaysLeft);
        (_isTold, _seen) = (isSame, content);
    }

    private void WarnOfEnd()
    {
        if (Left < WarnBefore && _endWarnings.TryPass(out _))
            _log.CertificateEnds(_current.Names, _current.NotAfter, DaysLeft, _certificateFile);
    }

    private void WarnOfReaders()
    {
        if (OperatingSystem.IsWindows())
            return;
        UnixFileMode mode = File.GetUnixFileMode(File.ResolveLinkTarget(_keyFile, returnFinalTarget: true)?.FullName ?? _keyFile);
        if ((mode & (UnixFileMode.OtherRead | UnixFileMode.OtherWrite)) != 0)
            _log.KeyExposed(_keyFile);
    }

    /// <returns>Null if the files cannot be used: <paramref name="fault"/> says why.</returns>
    private ServerCertificate? Read(out byte[] content, out string? fault)
    {
        string certificate, key;
        try
        {
            (certificate, key) = (File.ReadAllText(_certificateFile), File.ReadAllText(_keyFile));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            fault = e.Message.TrimEnd('.');
            content = SHA256.HashData(Encoding.UTF8.GetBytes(fault));
            return null;
        }
        content = SHA256.HashData(Encoding.UTF8.GetBytes($"{certificate}\n{key}"));
        fault = null;
        return content.AsSpan().SequenceEqual(_taken) ? null : ServerCertificate.Read(certificate, key, out fault);
    }
}
