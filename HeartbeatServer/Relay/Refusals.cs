using System.Globalization;
using System.Net.Sockets;
using System.Runtime.Versioning;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Relay;

/// <summary>What a client is told when there is no answer of the application that it can have.</summary>
[SupportedOSPlatform("linux")]
internal static class Refusals
{
    /// <summary>The most characters of what is wrong with an answer.</summary>
    private const int MostOfFault = 300;

    public static Refusal Gone => new(RefusalReason.ClientGone, "the client went before it had its whole answer");

    /// <param name="failure">What a read or a write of the client's connection has thrown: its TLS is no good, or it was reset.</param>
    public static Refusal Lost(IOException failure) => new(RefusalReason.ClientGone, $"the client's connection has failed: {failure.Message}");

    public static Refusal Loop => new(RefusalReason.UpstreamLoop, "a loop: the connection to the application has come back to itself");

    public static Refusal Dead => new(
        RefusalReason.UpstreamTimeout, $"the kernel of the application's host has acknowledged nothing for {UpstreamLeg.Patience.TotalSeconds:0}s");

    public static Refusal Unreachable(string why) => new(RefusalReason.UpstreamUnreachable, $"the application cannot be reached: {why}");

    /// <summary>The limit of open files leaves no descriptor for a connection to the application. That is no fault of the application's.</summary>
    public static Refusal NoDescriptor =>
        new(RefusalReason.ConnectionLimit, "no file is left for a connection to the application; try again later") { Limit = Refusal.OpenFiles };

    /// <param name="error">What has come of the last attempt to connect, or of the connection.</param>
    public static Refusal Unreachable(SocketError error) => error == SocketError.TooManyOpenSockets ? NoDescriptor : Unreachable(Words(error));

    /// <param name="failure">What has come of the look-up.</param>
    public static Refusal NoAddress(SocketException failure) => Unreachable($"its name has no address: {failure.Message}");

    /// <summary>Why there is no TLS with the application.</summary>
    /// <param name="failure">What SslStream has thrown.</param>
    public static Refusal ByTls(Exception failure) => failure is BadCertificateException bad
        ? new(RefusalReason.UpstreamBadCertificate, $"the application's certificate is no good: {bad.Message}")
        : Unreachable(TlsFailure.ByServer(failure));

    /// <summary>The application takes no more of a request's body.</summary>
    /// <param name="limit">For how long it has taken nothing.</param>
    /// <param name="isAnswering">Whether it waits for its answer to be taken first.</param>
    public static Refusal NotTaken(TimeSpan limit, bool isAnswering) => new(
        RefusalReason.UpstreamTimeout,
        $"the application took no byte of the body for {limit.TotalSeconds:0.###}s (--write-timeout)"
        + (isAnswering ? $"; its answer is longer than {UpstreamStream.MostAhead / 1024} KiB, and is passed on when the whole body has left" : ""));

    /// <param name="most">What pages may hold, in bytes.</param>
    public static Refusal BufferLimit(long most) => new(
        RefusalReason.BufferLimit,
        string.Create(CultureInfo.InvariantCulture, $"pages held more than {most / (1024.0 * 1024):0.0} MiB (half of --max-buffered), and this one had waited the longest"));

    /// <param name="fault">What is wrong. The framework's words quote the answer, which may have any length and any character.</param>
    public static Refusal BadAnswer(string fault) => new(
        RefusalReason.UpstreamBadAnswer, $"the application's answer is no good: {PeerText.Printable(PeerText.Shortened(fault, MostOfFault))}");

    /// <param name="verb">What it did not do.</param>
    /// <param name="limit">How long it had.</param>
    public static Refusal Timeout(string verb, TimeSpan limit) =>
        new(RefusalReason.UpstreamTimeout, $"the application did not {verb} within {limit.TotalSeconds:0.###}s");

    /// <summary>An error of a connection to the application, in words.</summary>
    private static string Words(SocketError error) => error switch
    {
        SocketError.ConnectionRefused => "it refused the connection",
        SocketError.ConnectionReset or SocketError.Shutdown => "it reset the connection",
        SocketError.AddressNotAvailable => "no local port is left for a connection to it",
        SocketError.TimedOut => "it did not take the connection in time",
        SocketError.HostUnreachable or SocketError.NetworkUnreachable => "there is no way to its host",
        _ => new SocketException((int)error).Message,
    };
}
