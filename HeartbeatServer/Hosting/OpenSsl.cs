using System.Runtime.InteropServices;

namespace HeartbeatServer.Hosting;

/// <summary>
/// The library of the system that the framework hashes and encrypts with. The framework loads it when it is first needed, and without it ends the process
/// in the middle.
/// </summary>
internal static class OpenSsl
{
    /// <summary>A variable in which a user can tell the framework another version.</summary>
    private const string Override = "CLR_OPENSSL_VERSION_OVERRIDE";

    private static readonly string[] Names = ["libssl.so.3", "libssl.so.1.1", "libssl.so.1.0.2", "libssl.so.1.0.0", "libssl.so.10", "libssl.so"];

    /// <exception cref="StartupException">The library is not there.</exception>
    public static void Check(Func<string, bool>? tryLoad = null)
    {
        if (!OperatingSystem.IsLinux() || Environment.GetEnvironmentVariable(Override) is not null)
            return;
        tryLoad ??= name => NativeLibrary.TryLoad(name, out _);
        if (!Names.Any(tryLoad))
        {
            throw new StartupException(
                "OpenSSL is missing: the server needs libssl.so.3 (or 1.1), for the WebSocket handshake and for TLS. "
                + "Debian and Ubuntu have it in libssl3, Alpine in libssl3, Fedora in openssl-libs.");
        }
    }
}
