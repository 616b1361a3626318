using System.IO.Pipelines;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using HeartbeatServer.Engine;

namespace HeartbeatServer.Hosting;

/// <summary>
/// A TLS handshake in memory, with the server's part as all clients get it. So a certificate that OpenSSL does not serve is found when it is read, and
/// not by the first client.
/// </summary>
/// <remarks>The pipes call whoever waits at once, so both sides run on the thread of the caller, turn by turn.</remarks>
internal static class TrialHandshake
{
    private static readonly PipeOptions AtOnce = new(readerScheduler: PipeScheduler.Inline, writerScheduler: PipeScheduler.Inline, useSynchronizationContext: false);

    /// <param name="options">What the server does in a handshake.</param>
    /// <returns>What SslStream has thrown at the server; null if the handshake has gone well.</returns>
    public static async Task<Exception?> RunAsync(SslServerAuthenticationOptions options)
    {
        Pipe up = new(AtOnce), down = new(AtOnce);
        await using var server = new SslStream(new Side(up.Reader.AsStream(), down.Writer.AsStream()));
        await using var client = new SslStream(new Side(down.Reader.AsStream(), up.Writer.AsStream()));
        // Whoever fails ends its side, so that the other one does not wait for ever.
        Task<Exception?> serving = FailureOf(server.AuthenticateAsServerAsync(options), down.Writer);
        Exception? byClient = await FailureOf(client.AuthenticateAsClientAsync(AsClient(options)), up.Writer);
        return await serving ?? byClient;
    }

    private static async Task<Exception?> FailureOf(Task handshake, PipeWriter writer)
    {
        try
        {
            await handshake;
            return null;
        }
#pragma warning disable CA1031 // SslStream throws many kinds. The caller makes words of them.
        catch (Exception e)
#pragma warning restore CA1031
        {
            await writer.CompleteAsync();
            return e;
        }
    }

    /// <summary>A client that accepts every certificate, and asks nobody about it.</summary>
    private static SslClientAuthenticationOptions AsClient(SslServerAuthenticationOptions options) => new()
    {
        TargetHost = "localhost",
        EnabledSslProtocols = options.EnabledSslProtocols,
        ApplicationProtocols = options.ApplicationProtocols,
        CertificateChainPolicy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            DisableCertificateDownloads = true,
            RevocationMode = X509RevocationMode.NoCheck,
        },
#pragma warning disable CA5359 // Whether clients trust the certificate is not the question.
        RemoteCertificateValidationCallback = (_, _, _, _) => true,
#pragma warning restore CA5359
    };

    /// <summary>One side of the connection.</summary>
    private sealed class Side(Stream incoming, Stream outgoing) : DuplexStream
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            incoming.ReadAsync(buffer, cancellationToken);

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
            outgoing.WriteAsync(buffer, cancellationToken);
    }
}
