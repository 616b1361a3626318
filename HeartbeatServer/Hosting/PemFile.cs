using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace HeartbeatServer.Hosting;

/// <summary>A file that an option names, and that has certificates or a key in PEM (RFC 7468).</summary>
internal sealed class PemFile
{
    /// <summary>The labels of private keys that are not encrypted.</summary>
    public static readonly string[] Keys = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];

    /// <summary>The labels of certificates.</summary>
    public static readonly string[] Certificates = ["CERTIFICATE"];

    /// <summary>The most bytes that are read: some files, such as /dev/zero, have no end. The authorities of a whole system take a quarter of it.</summary>
    private const int MaxLength = 1024 * 1024;

    /// <summary>The first byte of everything in ASN.1 that a certificate or a key could be: a SEQUENCE.</summary>
    private const byte Sequence = 0x30;

    private PemFile(string source, string text) => (Source, Text) = (source, text);

    /// <summary>The option and the path, for messages.</summary>
    public string Source { get; }

    public string Text { get; }

    /// <summary>Reads a file.</summary>
    /// <param name="option">The option that names it.</param>
    /// <param name="path">Where it is.</param>
    /// <param name="labels">What it has to have, one of them at least. Messages name the first.</param>
    /// <param name="fault">Why the file cannot be used, with the option and the path; null if it can.</param>
    /// <returns>Null if the file cannot be used.</returns>
    public static PemFile? Read(string option, string path, string[] labels, out string? fault)
    {
        string source = $"{option} {path}";
        string? text = null;
        fault = Load(path, out byte[] bytes) ?? FaultIn(text = Decode(bytes), bytes, path, labels);
        if (fault is null)
            return new PemFile(source, text!);
        fault = $"{source}: {fault}";
        return null;
    }

    /// <returns>Why the file cannot be read; null if it can.</returns>
    private static string? Load(string path, out byte[] bytes)
    {
        bytes = [];
        try
        {
            if (Directory.Exists(path))
                return "this is a directory, and the path of a file is needed";
            using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
            byte[] buffer = new byte[16 * 1024];
            int length = 0;
            while (file.Read(buffer, length, buffer.Length - length) is > 0 and int count)
            {
                length += count;
                if (length > MaxLength)
                    return $"this is no file in PEM: it is longer than {MaxLength / 1024 / 1024} MiB";
                if (length == buffer.Length)
                    Array.Resize(ref buffer, 2 * length);
            }
            bytes = buffer[..length];
            return null;
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return "there is no such file";
        }
        catch (UnauthorizedAccessException)
        {
            return "the user of the server may not read it";
        }
        catch (IOException e)
        {
            return $"it cannot be read: {e.Message.TrimEnd('.')}";
        }
    }

    /// <summary>Makes text of bytes. A mark at the beginning says if it is not UTF-8.</summary>
    private static string Decode(byte[] bytes)
    {
        using var reader = new StreamReader(new MemoryStream(bytes));
        return reader.ReadToEnd();
    }

    /// <returns>Why a file has nothing of what is needed; null if it has it.</returns>
    private static string? FaultIn(string text, byte[] bytes, string path, string[] labels)
    {
        List<string> found = [];
        ReadOnlySpan<char> rest = text;
        while (PemEncoding.TryFind(rest, out PemFields fields))
        {
            found.Add(rest[fields.Label].ToString());
            rest = rest[fields.Location.End..];
        }
        if (found.Intersect(labels).Any())
            return null;
        if (text.Contains("ENCRYPTED", StringComparison.Ordinal))
            return $"the key has a passphrase, which nobody could enter at a start: take it off (openssl pkey -in {path} -out FILE)";
        if (bytes.Length == 0)
            return "the file is empty";
        if (bytes[0] == Sequence)
            return OfBinary(bytes, path);
        string only = found.Count > 0 ? $", only {string.Join(", ", found.Distinct())}" : "";
        return $"there is no whole -----BEGIN {labels[0]}----- to -----END {labels[0]}----- in it{only}";
    }

    private static string OfBinary(byte[] bytes, string path)
    {
        try
        {
            if (X509Certificate2.GetCertContentType(bytes) == X509ContentType.Pkcs12)
                return $"this is a PKCS#12 file (.pfx, .p12), and PEM is needed: openssl pkcs12 -in {path} -noenc -out FILE makes it, for certificate and key";
        }
        catch (CryptographicException)
        {
            // No certificate in any form: a key may be.
        }
        return $"this is binary (DER), and PEM is needed: openssl x509 or openssl pkey -in {path} -inform der -out FILE makes it";
    }
}
