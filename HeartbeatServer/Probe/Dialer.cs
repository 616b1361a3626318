using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Text;
using System.Threading.Channels;
using HeartbeatServer.Options;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Probe;

/// <summary>Connects: name look-up, TCP, TLS, upgrade.</summary>
/// <param name="options">What was asked for.</param>
/// <param name="userAgent">What the probe says of itself.</param>
/// <param name="now">The clock of the run.</param>
/// <param name="events">Gets what the connections see.</param>
internal sealed class Dialer(ProbeOptions options, string userAgent, Func<TimeSpan> now, ChannelWriter<ProbeEvent> events)
{
    /// <summary>Each stage has so long.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    /// <summary>An address of several that does not answer holds up the next one for so long.</summary>
    private static readonly TimeSpan PatienceWithOne = TimeSpan.FromSeconds(3);

    /// <summary>The body of a refusal has so long to come.</summary>
    private static readonly TimeSpan PatienceWithBody = TimeSpan.FromSeconds(2);

    /// <summary>So much of the body of a refusal is read, in bytes.</summary>
    private const int MostOfBody = 16 * 1024;

    /// <summary>Connects; the caller starts the connection. Whatever keeps the server from being reached is in the result, and no exception.</summary>
    /// <param name="id">The number of the connection in its run.</param>
    /// <param name="known">The address of an earlier connection: all of them take one way. Null to look it up.</param>
    /// <param name="cancel">Gives up.</param>
    /// <exception cref="OperationCanceledException">The caller has given up.</exception>
    public async Task<Dialed> DialAsync(int id, IPEndPoint? known, CancellationToken cancel)
    {
        var dialed = new Dialed { Address = known };
        Socket? socket = null;
        Stream? stream = null;
        try
        {
            IPAddress[] addresses = known is not null
                ? [known.Address]
                : await InAsync(DialStage.LookUp, LookUpAsync);
            socket = await InAsync(DialStage.Connect, token => ConnectAsync(addresses, token));
            dialed.Address = (IPEndPoint)socket.RemoteEndPoint!;
#pragma warning disable CA2000 // The connection owns it. If there is none, it is disposed of below.
            var plain = new NetworkStream(socket, ownsSocket: true);
#pragma warning restore CA2000
            stream = plain;
            if (options.Url.IsTls)
                stream = await InAsync(DialStage.Tls, token => SecureAsync(plain, token));
            dialed.Line = await InAsync(DialStage.Upgrade, token => UpgradeAsync(id, dialed, socket, stream, token));
        }
        catch (DialException e)
        {
            dialed.Fault = e.Message;
        }
        finally
        {
            if (dialed.Line is null)
            {
                if (stream is not null)
                    await stream.DisposeAsync();
                socket?.Dispose();
            }
        }
        return dialed;

        async Task<T> InAsync<T>(DialStage stage, Func<CancellationToken, Task<T>> work)
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancel);
            limit.CancelAfter(Patience);
            TimeSpan start = now();
            try
            {
                T result = await work(limit.Token);
                dialed.Took[stage] = now() - start;
                return result;
            }
            catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
            {
                throw new DialException($"{Whom(stage, dialed.Address)}: no answer within {Duration.Format(Patience)}");
            }
            catch (Exception e) when (e is SocketException or IOException or AuthenticationException)
            {
                throw new DialException($"{Whom(stage, dialed.Address)}: {Reason(stage, e)}");
            }
        }
    }

    private string Whom(DialStage stage, IPEndPoint? address) => stage switch
    {
        DialStage.LookUp => $"the look-up of {options.Url.Host}",
        DialStage.Connect => $"{options.Url.Authority}",
        DialStage.Tls => $"TLS with {address}",
        _ => $"{address}",
    };

    private string Reason(DialStage stage, Exception e)
    {
        string message = (e.InnerException as SocketException ?? e).Message;
        // The framework ends some messages with a pointer to an exception that nobody sees here.
        message = message.Replace(", see inner exception.", $". {e.InnerException?.Message}", StringComparison.Ordinal);
        return stage switch
        {
            DialStage.Connect when e is SocketException { SocketErrorCode: SocketError.ConnectionRefused } => $"{message}. Nobody listens there.",
            DialStage.Upgrade => $"the connection ended without an answer to the upgrade: {message}{(options.Url.IsTls ? "" : ". Does the port want wss://?")}",
            DialStage.Tls when e is AuthenticationException && message.Contains("certificate", StringComparison.OrdinalIgnoreCase) && !options.IsInsecure =>
                $"{message.TrimEnd('.')}. --insecure takes the certificate as it is.",
            DialStage.Tls when e is not AuthenticationException || message.Contains("frame", StringComparison.OrdinalIgnoreCase) =>
                $"{message} Does the port want ws://?",
            _ => message,
        };
    }

    private async Task<IPAddress[]> LookUpAsync(CancellationToken cancel) =>
        await Dns.GetHostAddressesAsync(options.Url.Host, cancel) is { Length: > 0 } addresses
            ? addresses
            : throw new SocketException((int)SocketError.HostNotFound);

    /// <summary>Tries one address after the other. The kernel sends no keep-alive on the connection: it would break the silence.</summary>
    private async Task<Socket> ConnectAsync(IPAddress[] addresses, CancellationToken cancel)
    {
        for (int i = 0; ; i++)
        {
            var socket = new Socket(addresses[i].AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            bool isLast = i == addresses.Length - 1;
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancel);
            if (!isLast)
                limit.CancelAfter(PatienceWithOne);
            try
            {
                await socket.ConnectAsync(new IPEndPoint(addresses[i], options.Url.Port), limit.Token);
                return socket;
            }
            catch (Exception e) when (e is SocketException or OperationCanceledException)
            {
                socket.Dispose();
                if (isLast || cancel.IsCancellationRequested)
                    throw;
            }
        }
    }

    private async Task<Stream> SecureAsync(Stream stream, CancellationToken cancel)
    {
        var tls = new SslStream(stream);
        var authentication = new SslClientAuthenticationOptions { TargetHost = options.Url.Host, ApplicationProtocols = [SslApplicationProtocol.Http11] };
        if (options.IsInsecure)
        {
#pragma warning disable CA5359 // This is what --insecure asks for.
            authentication.RemoteCertificateValidationCallback = (_, _, _, _) => true;
#pragma warning restore CA5359
        }
        await tls.AuthenticateAsClientAsync(authentication, cancel);
        return tls;
    }

    /// <summary>Sends the request, and reads the answer.</summary>
    /// <returns>The connection; null if the server refuses it.</returns>
    private async Task<ProbeLine?> UpgradeAsync(int id, Dialed dialed, Socket socket, Stream stream, CancellationToken cancel)
    {
        byte[] bytes = ProbeRequest.Write(options, RandomNumberGenerator.GetBytes(ProbeRequest.KeySize), userAgent);
        RequestHead request = RequestHead.Read(bytes, out Refusal? refusal) ?? throw new DialException($"the request is no good: {refusal!.Value.Text}");
        await stream.WriteAsync(bytes, cancel);
        var reader = new AnswerReader();
        byte[] answer = new byte[AnswerHead.MaxLength + MostOfBody];
        int filled = 0;
        string? fault;
        while (!reader.TryRead(answer.AsSpan(0, filled), out fault))
        {
            if (fault is not null)
                throw new DialException($"{dialed.Address}: the answer is no good: {fault}");
            int count = await stream.ReadAsync(answer.AsMemory(filled), cancel);
            if (count == 0)
                throw new IOException(filled == 0 ? "no byte came" : "it broke off");
            filled += count;
        }
        dialed.Head = reader.Head!;
        if (dialed.Head.Status != 101)
        {
            dialed.Body = await ReadBodyAsync(dialed.Head, stream, answer, reader.Consumed, filled, cancel);
            return null;
        }
        if (UpgradeAnswer.Check(dialed.Head.Fields, request, out _) is { } misfit)
            throw new DialException($"{dialed.Address}: the answer is no good: {misfit}");
        return new ProbeLine(id, socket, stream, answer[reader.Consumed..filled], now, events);
    }

    /// <summary>Reads the beginning of a body: a person wants to see what it says, and its server may never end it.</summary>
    private static async Task<string> ReadBodyAsync(AnswerHead head, Stream stream, byte[] answer, int start, int filled, CancellationToken cancel)
    {
        if (AnswerBody.Of(head, out _) is not { } body)
            return "";
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        limit.CancelAfter(PatienceWithBody);
        try
        {
            bool isEnd = false;
            while (true)
            {
                if (body.TryRead(answer.AsSpan(start, filled - start), isEnd, out ReadOnlySpan<byte> whole, out string? fault))
                    return Encoding.UTF8.GetString(whole);
                if (fault is not null || isEnd || filled == answer.Length)
                    break;
                int count = await stream.ReadAsync(answer.AsMemory(filled), limit.Token);
                isEnd = count == 0;
                filled += count;
            }
        }
        catch (Exception e) when (e is IOException || (e is OperationCanceledException && !cancel.IsCancellationRequested))
        {
            // It broke off, or takes too long. What has come says enough.
        }
        return Encoding.UTF8.GetString(body.Begun(answer.AsSpan(start, filled - start)));
    }

    private sealed class DialException(string message) : Exception(message);
}
