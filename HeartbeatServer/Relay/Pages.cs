using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Runtime.Versioning;
using System.Security.Authentication;
using System.Text;
using HeartbeatServer.Engine;
using HeartbeatServer.Http;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Relay;

/// <summary>
/// Sends the pages to the application, each on a connection of its own, through the framework's HttpClient. Nothing is added to a request, and nothing is taken
/// from an answer.
/// </summary>
[SupportedOSPlatform("linux")]
[SuppressMessage("Reliability", "CA2000", Justification = "HttpMessageInvoker owns its handler, and a page its message.")]
internal sealed class Pages : IDisposable
{
    /// <summary>The most pages under way. Each holds 64 KiB while its bytes pass, and more if it reads an answer ahead.</summary>
    private const int MostUnderWay = 10_000;

    /// <summary>Where a request has its page, for the connection that is made for it.</summary>
    public static readonly HttpRequestOptionsKey<Page> Key = new("page");

    private static readonly UriCreationOptions Verbatim = new() { DangerousDisablePathAndQueryCanonicalization = true };

    private readonly Upstream _upstream;
    private readonly string _authority;
    private readonly TimeProvider _time;
    private readonly HttpMessageInvoker _client;

    private readonly Lock _gate = new();
    private readonly HashSet<Page> _underWay = [];
    private int _count;
    private readonly CancellationTokenSource _stop = new();

    /// <param name="upstream">The application.</param>
    /// <param name="authority">Its host and port: the Host of a request that comes without.</param>
    /// <param name="patience">How long a client may stand still, and an application that does not take a body.</param>
    /// <param name="buffers">What pages hold for sides that do not read.</param>
    /// <param name="time">The clock.</param>
    public Pages(Upstream upstream, string authority, TimeSpan patience, PageBuffers buffers, TimeProvider time)
    {
        (_upstream, _authority, Patience, Buffers, _time) = (upstream, authority, patience, buffers, time);
        _client = new HttpMessageInvoker(new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            AutomaticDecompression = DecompressionMethods.None,
            UseCookies = false,
            UseProxy = false,
            MaxResponseDrainSize = 0,
            ActivityHeadersPropagator = null,
            RequestHeaderEncodingSelector = (_, _) => Encoding.Latin1,
            ResponseHeaderEncodingSelector = (_, _) => Encoding.Latin1,
            MaxResponseHeadersLength = AnswerHead.MaxLength / 1024,
            // With no time to be idle each request has a pool of its own, so that no other request gets the connection that was made for it.
            PooledConnectionIdleTimeout = TimeSpan.Zero,
            ConnectCallback = (context, cancel) => new(ConnectOnceAsync(PageOf(context.InitialRequestMessage), cancel)),
            // Above TLS, where there is TLS.
            PlaintextStreamFilter = (context, _) => new(PageOf(context.InitialRequestMessage).Filter(context.PlaintextStream)),
        });
    }

    /// <summary>
    /// How long a client may take no byte that waits for it, or send none that is awaited; and how long the application may take none of a body.
    /// </summary>
    public TimeSpan Patience { get; }

    public PageBuffers Buffers { get; }

    /// <summary>The present time, as HTTP writes it (RFC 9110 section 5.6.7).</summary>
    public string Date => _time.GetUtcNow().ToString("R", CultureInfo.InvariantCulture);

    /// <summary>How many pages are under way. Reading it takes no lock.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>Makes a page of a request, and takes the client's connection.</summary>
    /// <param name="request">The client's request.</param>
    /// <param name="peer">The other end of its connection.</param>
    /// <param name="refusal">Why the request cannot go on; null if it can.</param>
    /// <returns>Null if the request is refused.</returns>
    /// <exception cref="IOException">The client has gone.</exception>
    public Page? Open(HttpRequest request, in Peer peer, out Refusal? refusal)
    {
        BodyFraming framing = BodyFraming.OfRequest(request.Head, out refusal);
        if (refusal is not null || Write(request.Head, peer, out refusal) is not { } message)
            return null;
        message.Headers.TransferEncodingChunked = framing.End == BodyEnd.Chunks;
        message.Headers.ExpectContinue = framing.End != BodyEnd.None && request.Head.MinorVersion > 0
            && string.Equals(request.Head["Expect"], "100-continue", StringComparison.OrdinalIgnoreCase);
        var page = new Page(this, request, message, framing);
        lock (_gate)
        {
            _underWay.Add(page);
            _count = _underWay.Count;
        }
        return page;
    }

    /// <summary>Writes the request for the application, without what says how long its body is.</summary>
    /// <returns>Null if the request is refused.</returns>
    private HttpRequestMessage? Write(RequestHead head, in Peer peer, out Refusal? refusal)
    {
        refusal = null;
        if (Count >= MostUnderWay)
            refusal ??= new Refusal(RefusalReason.UpstreamQueue, "too many requests wait for the application; try again later");
        // A tunnel is for a proxy that clients choose. HttpClient knows no target without a path.
        if (head.Method == "CONNECT" || head.Target[0] != '/')
            refusal ??= new Refusal(RefusalReason.BadRequest, $"{head.Method} {head.ShownTarget} is no request for a page") { Status = 501 };
        // RFC 9110 section 9.1: case matters. HttpClient would make the known method of it, which a rule of a proxy in front may forbid.
        if (HttpMethod.Parse(head.Method).Method is var known && known != head.Method)
            refusal ??= new Refusal(RefusalReason.BadRequest, $"{head.Method} is no method; {known} is") { Status = 501 };
        if (refusal is not null || UpstreamRequest.Fields(head, _upstream.Instance, peer, out refusal) is not { } fields)
            return null;

        var message = new HttpRequestMessage(new HttpMethod(head.Method), new Uri($"http://{_authority}{head.Target}", Verbatim))
        {
            Version = HttpVersion.Version11,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        foreach ((string name, string value) in fields)
        {
            if (value.Length == 0 && name.Equals("Host", StringComparison.OrdinalIgnoreCase))
                continue; // the application's own name stands for none
            // HttpClient keeps the fields that describe a body with the body, and there may be none.
            if (!message.Headers.TryAddWithoutValidation(name, value))
                (message.Content ??= new ByteArrayContent([])).Headers.TryAddWithoutValidation(name, value);
        }
        message.Headers.ConnectionClose = true; // one request a connection, here too
        return message;
    }

    /// <summary>Sends a request to the application. The result has the head of the answer.</summary>
    /// <exception cref="HttpRequestException">There is no answer.</exception>
    public Task<HttpResponseMessage> SendAsync(HttpRequestMessage message, CancellationToken cancel) => _client.SendAsync(message, cancel);

    /// <summary>To be called when a page has ended.</summary>
    public void End(Page page)
    {
        lock (_gate)
        {
            _underWay.Remove(page);
            _count = _underWay.Count;
        }
    }

    /// <summary>Cuts the pages that are under way, and waits until there is none.</summary>
    public async Task CutAllAsync()
    {
        while (true)
        {
            Page[] underWay;
            lock (_gate)
                underWay = [.. _underWay];
            if (underWay.Length == 0)
                return;
            await _stop.CancelAsync();
            foreach (Page page in underWay)
                page.Cut();
            await Task.Delay(1, CancellationToken.None);
        }
    }

    public void Dispose()
    {
        _client.Dispose();
        _stop.Dispose();
    }

    private static Page PageOf(HttpRequestMessage message) =>
        message.Options.TryGetValue(Key, out Page? page) ? page : throw new InvalidOperationException("a request without a page");

    /// <remarks>HttpClient sends a request again, on a new connection, if the first one ended without an answer.</remarks>
    private Task<Stream> ConnectOnceAsync(Page page, CancellationToken cancel) => page.ConnectAsync(() => ConnectAsync(page, cancel));

    /// <summary>Connects to the first address that lets it, as a handshake does. Each address has its share of the time.</summary>
    private async Task<Stream> ConnectAsync(Page page, CancellationToken cancel)
    {
        using var limit = new CancellationTokenSource(_upstream.Timeout, _time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(cancel, limit.Token, _stop.Token);
        try
        {
            Socket socket = await ConnectAsync(await AddressesAsync(both.Token), both.Token);
            page.Leg = socket;
            var stream = new NetworkStream(socket, ownsSocket: true);
            return _upstream.Tls is { } tls ? await EncryptAsync(stream, tls, both.Token) : stream;
        }
        catch (OperationCanceledException) when (limit.IsCancellationRequested)
        {
            throw new UpstreamException(Refusals.Timeout("take the connection", _upstream.Timeout));
        }
    }

    /// <summary>Does the TLS handshake here, and not in HttpClient: it is the same as that of a WebSocket, with the same refusals.</summary>
    private static async ValueTask<Stream> EncryptAsync(NetworkStream stream, UpstreamTls tls, CancellationToken cancel)
    {
        var encrypted = new SslStream(stream);
        try
        {
            await tls.AuthenticateAsync(encrypted).WaitAsync(cancel);
            return encrypted;
        }
        catch (OperationCanceledException)
        {
            await encrypted.DisposeAsync();
            throw;
        }
        catch (Exception e) when (e is AuthenticationException or IOException)
        {
            await encrypted.DisposeAsync();
            throw new UpstreamException(Refusals.ByTls(e));
        }
    }

    private async ValueTask<IPEndPoint[]> AddressesAsync(CancellationToken cancel)
    {
        try
        {
            return await _upstream.Addresses.GetAsync().AsTask().WaitAsync(cancel);
        }
        catch (SocketException e)
        {
            throw new UpstreamException(Refusals.NoAddress(e));
        }
    }

    private async ValueTask<Socket> ConnectAsync(IPEndPoint[] addresses, CancellationToken cancel)
    {
        long start = _time.GetTimestamp();
        SocketError error = SocketError.Success;
        for (int i = 0; i < addresses.Length; i++)
        {
            TimeSpan share = (_upstream.Timeout - _time.GetElapsedTime(start)) / (addresses.Length - i);
            using var limit = new CancellationTokenSource(share > TimeSpan.Zero ? share : TimeSpan.Zero, _time);
            using var both = CancellationTokenSource.CreateLinkedTokenSource(cancel, limit.Token);
            try
            {
                Socket socket = await ConnectAsync(addresses[i], both.Token);
                _upstream.Addresses.Tried(addresses[i], SocketError.Success);
                return socket;
            }
            catch (SocketException e)
            {
                error = e.SocketErrorCode;
            }
            catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
            {
                error = SocketError.TimedOut;
            }
            _upstream.Addresses.Tried(addresses[i], error);
        }
        throw new UpstreamException(Refusals.Unreachable(error));
    }

    private static async ValueTask<Socket> ConnectAsync(IPEndPoint address, CancellationToken cancel)
    {
        var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            TcpOptions.KeepAlive(socket);
            await socket.ConnectAsync(address, cancel);
            return UpstreamSocket.IsLoop(socket, address) ? throw new UpstreamException(Refusals.Loop) : socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
