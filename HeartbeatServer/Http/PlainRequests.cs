using System.Net;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Runtime.Versioning;
using HeartbeatServer.Engine;
using HeartbeatServer.Options;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Http;

/// <summary>
/// The usual accept loop of <see cref="HttpListener"/>. The server uses it where there is no epoll, and in a runtime in which HttpListener has
/// changed inside.
/// </summary>
/// <remarks>
/// HttpListener accepts and reads by itself here. So a request that has begun and does not end is not timed out. A head without end is not turned
/// away at 24 KiB. Clients are accepted until no descriptor is left. <see cref="HttpRequest.Received"/> is empty. Outside Windows, HttpListener
/// answers 400 to an IPv6 address in the Host header. In a runtime in which its end points have changed as well, <c>*</c> means IPv4 alone.
/// </remarks>
internal sealed class PlainRequests(
    ListenOptions options, EventLoops loops, Func<HttpRequest, Task> handle, TimeProvider time, Action<RefusalReason>? turnedAway, ServerLog log)
    : RequestSource(handle, turnedAway, log)
{
    /// <summary>How long the loop waits after a failure. Its reason may last, and a loop without a pause would use a whole core.</summary>
    private static readonly TimeSpan PauseFor = TimeSpan.FromMilliseconds(100);

    private readonly TimeProvider _time = time;
    private readonly HttpListener _listener = new() { IgnoreWriteExceptions = true };
    private readonly List<HttpEndPoint> _endPoints = [];

    public override void Bind()
    {
        _listener.Start();
        if (!HttpListenerInternals.HasEndPoint)
        {
            string host = options.Host is "*" or "0.0.0.0" ? "+" : new HostPort(options.Host, options.Port).UrlHost;
            _listener.Prefixes.Add($"http://{host}:{options.Port}/");
            return;
        }
        // Each socket of HttpListener serves one address family only.
        IPAddress[] addresses = options.Host == "*" && options.HasIPv6 ? [IPAddress.Any, IPAddress.IPv6Any] : [AddressOf(options)];
        try
        {
            foreach (IPAddress address in addresses)
                _endPoints.Add(HttpEndPoint.Bind(_listener, address, options.Port));
        }
        catch (SocketException e)
        {
            throw new HttpListenerException(e.ErrorCode, e.Message);
        }
    }

    public override void Start(int most, int spare) => _ = AcceptAsync();

    public override void Dispose()
    {
        AbortInHand();
        _endPoints.ForEach(each => each.Close());
        ((IDisposable)_listener).Dispose();
    }

    private async Task AcceptAsync()
    {
        while (_listener.IsListening)
        {
            try
            {
                if (RequestOf(await _listener.GetContextAsync()) is { } request)
                    _ = HandleAsync(request);
            }
            catch (Exception e) when (e is ObjectDisposedException or HttpListenerException && !_listener.IsListening)
            {
                // The server has closed the port.
            }
#pragma warning disable CA1031 // One failure must not end the loop.
            catch (Exception e)
#pragma warning restore CA1031
            {
                Log.AcceptFailed(e);
                await Task.Delay(PauseFor, _time);
            }
        }
    }

    private HttpRequest? RequestOf(HttpListenerContext context)
    {
        if (RemoteOf(context) is not { } remote)
        {
            // HttpListener has already answered this request itself, for example with 411, and returns it all the same.
            HttpConnection.Of(context).Forget();
            return null;
        }
        HttpListenerRequest request = context.Request;
        IEnumerable<(string, string)> fields = request.Headers.AllKeys.Select(name => (name!, request.Headers[name]!));
        RequestHead? head = RequestHead.Of(request.HttpMethod, request.RawUrl ?? "", request.ProtocolVersion.Minor, fields, out Refusal? refusal);
        if (head is null)
        {
            OnTurnedAway(remote, refusal!.Value);
            HttpReply reply = HttpReply.To(refusal.Value);
            HttpRequest.Begin(context.Response, reply);
            context.Response.Close(reply.Body.ToArray(), willBlock: false);
            return null;
        }
        EventLoop loop = loops.Next();
        return OperatingSystem.IsWindows()
            ? new WindowsRequest(context, head, remote, loop)
            : new UnixRequest(context, head, HttpConnection.Of(context), remote, loop, options.Tune);
    }

    private static IPEndPoint? RemoteOf(HttpListenerContext context) =>
        OperatingSystem.IsWindows() ? context.Request.RemoteEndPoint : HttpConnection.Of(context).Remote;

    /// <summary>A request on Linux or macOS. The socket belongs to HttpListener until the 101.</summary>
    private sealed class UnixRequest(
        HttpListenerContext context, RequestHead head, HttpConnection connection, IPEndPoint remote, EventLoop loop, Action<Socket>? tune)
        : HttpRequest(context, head, remote, loop)
    {
        /// <remarks>
        /// This does not use AcceptWebSocketAsync: when no offered subprotocol is chosen, that method answers with an empty one, which browsers
        /// refuse.
        /// </remarks>
        public override ValueTask<Transport> UpgradeAsync(string key, string? protocol)
        {
            ReadOnlyMemory<byte> early = connection.ReadTooEarly;
            Socket socket = connection.TakeSocket() ?? throw new IOException("the client has gone");
#pragma warning disable CA2000 // The caller owns the transport. If the 101 cannot be sent, the transport is closed.
            SocketTransport transport;
            try
            {
                socket.NoDelay = true; // HttpListener does not set this option
                tune?.Invoke(socket);
                transport = Loop.Attach(socket);
            }
            catch (SocketException e)
            {
                socket.Dispose();
                throw new IOException(e.Message, e);
            }
            return SwitchProtocolsAsync(transport, early, key, protocol);
#pragma warning restore CA2000
        }

        protected override void Close() => connection.TakeSocket()?.Dispose();
    }

    /// <summary>A request on Windows. The socket belongs to http.sys for its whole life. This code is compiled, but no test runs it.</summary>
    [SupportedOSPlatform("windows")]
    private sealed class WindowsRequest(HttpListenerContext context, RequestHead head, IPEndPoint remote, EventLoop loop)
        : HttpRequest(context, head, remote, loop)
    {
        private bool _isUpgraded;

        public override async ValueTask<Transport> UpgradeAsync(string key, string? protocol)
        {
            // When no offered subprotocol is chosen, AcceptWebSocketAsync would answer with an empty one, which browsers refuse.
            if (protocol is null)
                Context.Request.Headers.Remove("Sec-WebSocket-Protocol");
            HttpListenerWebSocketContext upgraded;
            try
            {
                upgraded = await Context.AcceptWebSocketAsync(protocol, Timeout.InfiniteTimeSpan);
            }
            catch (Exception e) when (e is HttpListenerException or WebSocketException or ObjectDisposedException)
            {
                throw new IOException(e.Message, e);
            }
            _isUpgraded = true;
            return new WindowsTransport(HttpListenerInternals.StreamOf(upgraded.WebSocket));
        }

        protected override void Close()
        {
            if (!_isUpgraded)
                Context.Response.Abort();
        }
    }

    /// <summary>The stream of raw bytes below a WebSocket of http.sys.</summary>
    [SupportedOSPlatform("windows")]
    private sealed class WindowsTransport(Stream stream) : Transport
    {
        /// <summary>What the last wait has received: http.sys knows no wait without a buffer.</summary>
        private readonly byte[] _received = new byte[4 * 1024];
        private int _start;
        private int _end;
        private SocketError _error;

        public override SocketError Error => _error;
        public override int UnreadBytes => 0;
        public override TcpInfo? Tcp => null;

        /// <summary>
        /// Does nothing: http.sys cannot close one half of a connection. The read in progress goes on until the client closes, or the server aborts.
        /// </summary>
        public override void ShutdownSend()
        {
        }

        /// <summary>Closes the connection. http.sys decides whether it sends RST.</summary>
        public override void Abort() => Dispose();

        public override void CancelRead() => Abort();

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            try
            {
                return await stream.ReadAsync(buffer, cancellationToken);
            }
            catch (Exception e) when (e is HttpListenerException or IOException or ObjectDisposedException or OperationCanceledException)
            {
                _error = e is ObjectDisposedException or OperationCanceledException ? SocketError.OperationAborted : SocketError.ConnectionReset;
                return 0;
            }
        }

        public override async ValueTask<int> WaitReadableAsync(bool isBusy)
        {
            if (_start == _end)
                (_start, _end) = (0, await ReadAsync(_received));
            return 0;
        }

        public override int TryRead(Memory<byte> buffer)
        {
            int count = Math.Min(buffer.Length, _end - _start);
            _received.AsSpan(_start, count).CopyTo(buffer.Span);
            _start += count;
            return count;
        }

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            try
            {
                await stream.WriteAsync(buffer, cancellationToken);
            }
            catch (Exception e) when (e is HttpListenerException or ObjectDisposedException)
            {
                throw new IOException(e.Message, e);
            }
        }

        protected override void Dispose(bool disposing)
        {
            if (disposing)
                stream.Dispose();
            base.Dispose(disposing);
        }
    }
}
