using System.Collections;
using System.Net;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using System.Text;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Connections;

/// <summary>
/// Takes an upgraded connection out of <see cref="HttpListener"/>, which then knows nothing of it any more: what Go calls Hijack.
/// Everything that reaches into HttpListener is in this file. docs/decisions/0001-takeover.md says why and what it saves.
/// </summary>
internal static class HttpTakeover
{
    private const string HttpConnection = "System.Net.HttpConnection, System.Net.HttpListener";
    private const string EndPointListener = "System.Net.HttpEndPointListener, System.Net.HttpListener";
    private const string ListenerPrefix = "System.Net.ListenerPrefix, System.Net.HttpListener";
    private const string SocketAsyncContext = "System.Net.Sockets.SocketAsyncContext, System.Net.Sockets";
    private const string SocketAsyncEngine = "System.Net.Sockets.SocketAsyncEngine, System.Net.Sockets";
    private const string WebSocketBase = "System.Net.WebSockets.WebSocketBase, System.Net.HttpListener";

    /// <summary>By reflection: an unsafe accessor cannot name the type of a field that is not visible.</summary>
    private static readonly FieldInfo? CachedReceive =
        typeof(Socket).GetField("_singleBufferReceiveEventArgs", BindingFlags.Instance | BindingFlags.NonPublic);

    /// <inheritdoc cref="CachedReceive"/>
    private static readonly FieldInfo? Unregistered =
        Type.GetType(EndPointListener)?.GetField("_unregisteredConnections", BindingFlags.Instance | BindingFlags.NonPublic);

    /// <inheritdoc cref="CachedReceive"/>
    private static readonly FieldInfo? Engine =
        Type.GetType(SocketAsyncContext)?.GetField("_asyncEngine", BindingFlags.Instance | BindingFlags.NonPublic);

    /// <summary>Checks that this runtime's HttpListener has every member that is used here.</summary>
    /// <exception cref="PlatformNotSupportedException">One is gone; the message says which.</exception>
    public static void CheckRuntime()
    {
        // The first hash loads the system's library for it: now, and not when there is no descriptor left to load it with.
        Handshake.WriteResponse("dGhlIHNhbXBsZSBub25jZQ==", new byte[Handshake.ResponseSize]);
        if (OperatingSystem.IsWindows())
        {
            Require("WebSocketBase._innerStream", static () => InnerStream(null!));
            return;
        }
        Require("HttpListenerContext.Connection", static () => ConnectionOf(null!));
        Require("HttpConnection._socket", static () => SocketOf(null!));
        Require("HttpConnection._memoryStream", static () => InputOf(null!));
        Require("HttpConnection._position", static () => InputPositionOf(null!));
        Require("HttpConnection._timer", static () => TimerOf(null!));
        Require("HttpConnection._stream", static () => StreamOf(null!));
        Require("HttpConnection.Unbind", static () => Unbind(null!));
        Require("HttpConnection.RemoveConnection", static () => RemoveConnection(null!));
        Require("Socket._singleBufferReceiveEventArgs", static () => _ = CachedReceive ?? throw new MissingFieldException());
        Require("Socket.PreferInlineCompletions", static () => PreferInlineCompletions(null!, true));
        Require("SafeSocketHandle.AsyncContext", static () => AsyncContextOf(null!));
        Require("SocketAsyncContext._asyncEngine", static () => _ = Engine ?? throw new MissingFieldException());
        Require("SocketAsyncEngine._port", static () => PortOf(null!));
        Require("HttpConnection._currentLine", static () => CurrentLineOf(null!));
        Require("HttpEndPointListener", static () => NewEndPointListener(null!, null!, 0, false));
        Require("HttpEndPointListener._socket", static () => ListeningSocketOf(null!));
        Require("HttpEndPointListener.AddPrefix", static () => AddPrefix(null!, null!, null!));
        Require("HttpEndPointListener.Close", static () => CloseEndPoint(null!));
        Require("HttpEndPointListener._unregisteredConnections", static () => _ = Unregistered ?? throw new MissingFieldException());
        Require("ListenerPrefix", static () => NewListenerPrefix("http://+:1/"));

        // On null, a member that exists answers with a NullReferenceException or its like, one that does not with a MissingMemberException.
        static void Require(string member, Action use)
        {
            try
            {
                use();
            }
            catch (Exception e) when (e is NullReferenceException or ArgumentNullException)
            {
            }
            catch (Exception e) when (e is MissingMemberException or TypeLoadException)
            {
                throw new PlatformNotSupportedException(
                    $"{RuntimeInformation.FrameworkDescription} has changed inside HttpListener: {member} is gone. "
                    + "This build of the server needs .NET 10 (seen to work: 10.0.12).",
                    e);
            }
        }
    }

    /// <summary>
    /// Binds the listener so that it answers whatever Host header comes. With a prefix for one host HttpListener answers 404 to requests
    /// for others, which breaks a reverse proxy that keeps the public name.
    /// </summary>
    /// <param name="listener">Started, and without prefixes.</param>
    /// <param name="host"><c>*</c> for every IPv4 interface, an address or a host name.</param>
    /// <param name="port">1 to 65535.</param>
    /// <exception cref="HttpListenerException">The port is taken, or the host is not ours.</exception>
    public static Binding Bind(HttpListener listener, string host, int port)
    {
        if (OperatingSystem.IsWindows())
        {
            string prefix = $"http://{(host == "*" ? "+" : host)}:{port}/";
            listener.Prefixes.Add(prefix);
            return new Binding(null, () => listener.Prefixes.Remove(prefix));
        }
        IPAddress address = host == "*" ? IPAddress.Any : Resolve(host);
        // The end point's constructor accepts before it is complete: a client that connects at that moment makes it fail, or the process. So it
        // is built on a port that nobody knows, gets its prefix, without which it would answer 404, and then the socket that is meant.
        Socket? socket = null;
        try
        {
#pragma warning disable CA2000 // The end point's, which the binding closes.
            socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
#pragma warning restore CA2000
            socket.Bind(new IPEndPoint(address, port));
            socket.Listen(); // whoever comes now waits
            object endPoint = NewEndPointListener(listener, IPAddress.Loopback, 0, secure: false);
            AddPrefix(endPoint, NewListenerPrefix($"http://+:{port}/"), listener);
            // Saves a thread switch for each connect. The thread is that of the framework's sockets, which serves no upgraded connection.
            PreferInlineCompletions(socket, true);
            using Socket unused = Interlocked.Exchange(ref ListeningSocketOf(endPoint), socket);
            return new Binding(endPoint, () => CloseEndPoint(endPoint));
        }
        catch (SocketException e)
        {
            socket?.Dispose();
            throw new HttpListenerException(e.ErrorCode, e.Message);
        }
    }

    private static IPAddress Resolve(string host)
    {
        try
        {
            return Dns.GetHostAddresses(host)[0];
        }
        catch (SocketException e)
        {
            const int notSupported = 50; // what HttpListener says
            throw new HttpListenerException(notSupported, e.Message);
        }
    }

    /// <summary>Whether HttpListener has answered a request by itself and closed the connection, but hands it out all the same.</summary>
    public static bool IsAnswered(HttpListenerContext context) => !OperatingSystem.IsWindows() && SocketOf(ConnectionOf(context)) is null;

    /// <summary>Answers 101 to a request that passed <see cref="Handshake.Check"/> and takes its connection.</summary>
    /// <param name="context">The request.</param>
    /// <param name="key">Its Sec-WebSocket-Key.</param>
    /// <param name="loop">That will serve the connection.</param>
    /// <returns>The bytes that follow the upgrade, both ways. Owns the connection.</returns>
    /// <exception cref="IOException">The client has gone.</exception>
    public static async ValueTask<Stream> UpgradeAsync(HttpListenerContext context, string key, EventLoop loop)
    {
        if (OperatingSystem.IsWindows())
            return await UpgradeOnWindowsAsync(context);

        SocketStream stream = TakeOver(context, loop);
        try
        {
            var response = new byte[Handshake.ResponseSize];
            Handshake.WriteResponse(key, response);
            await stream.WriteAsync(response);
            return stream;
        }
        catch
        {
            await stream.DisposeAsync();
            throw;
        }
    }

    private static SocketStream TakeOver(HttpListenerContext context, EventLoop loop)
    {
        object connection = ConnectionOf(context);
        Socket socket = Interlocked.Exchange(ref SocketOf(connection), null) ?? throw new IOException("the client has gone");

        // Frames that came along with the request, too early but not lost.
        MemoryStream? input = InputOf(connection);
        int position = InputPositionOf(connection);
        byte[]? readAhead = input is not null && position < input.Length
            ? input.GetBuffer().AsSpan(position, (int)input.Length - position).ToArray()
            : null;

        Unbind(connection);
        RemoveConnection(connection);
        // What has a finalizer and is not disposed of lives for two more collections, with all that it holds: the timer the whole request, the
        // operation of the last receive, which the socket would even keep, HttpListener's buffer of 8 KiB.
        TimerOf(connection).Dispose();
        StreamOf(connection).Dispose();
        ((IDisposable?)CachedReceive!.GetValue(socket))?.Dispose();
        CachedReceive.SetValue(socket, null);
        try
        {
            if (OperatingSystem.IsLinux())
            {
                Forget(socket);
                return new EpollStream(socket, loop.Epoll!, readAhead);
            }
            // Its continuations run on the thread that saw it ready: ours never block, which cannot be said of HttpListener's.
            PreferInlineCompletions(socket, true);
            return new PortableSocketStream(socket, readAhead);
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw new IOException(e.Message, e);
        }
    }

    /// <summary>The framework's own epoll instance would go on waking its thread for every byte of a socket that it has waited for once.</summary>
    [SupportedOSPlatform("linux")]
    private static void Forget(Socket socket)
    {
        object? engine = Engine!.GetValue(AsyncContextOf(socket.SafeHandle));
        if (engine is not null)
            Epoll.TryForget((int)PortOf(engine), (int)socket.Handle);
    }

    /// <summary>http.sys owns the socket; its WebSocket has a stream of the raw bytes inside. Compiled here, not tested.</summary>
    [SupportedOSPlatform("windows")]
    private static async ValueTask<Stream> UpgradeOnWindowsAsync(HttpListenerContext context)
    {
        // An offered subprotocol would be answered with an empty one, which browsers refuse.
        context.Request.Headers.Remove("Sec-WebSocket-Protocol");
        HttpListenerWebSocketContext upgraded = await context.AcceptWebSocketAsync(null, Timeout.InfiniteTimeSpan);
        return InnerStream(upgraded.WebSocket);
    }

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "get_Connection")]
    [return: UnsafeAccessorType(HttpConnection)]
    private static extern object ConnectionOf(HttpListenerContext context);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_socket")]
    private static extern ref Socket? SocketOf([UnsafeAccessorType(HttpConnection)] object connection);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_memoryStream")]
    private static extern ref MemoryStream? InputOf([UnsafeAccessorType(HttpConnection)] object connection);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_position")]
    private static extern ref int InputPositionOf([UnsafeAccessorType(HttpConnection)] object connection);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_timer")]
    private static extern ref Timer TimerOf([UnsafeAccessorType(HttpConnection)] object connection);

    /// <summary>Its NetworkStream, which does not own the socket.</summary>
    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_stream")]
    private static extern ref Stream StreamOf([UnsafeAccessorType(HttpConnection)] object connection);

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "Unbind")]
    private static extern void Unbind([UnsafeAccessorType(HttpConnection)] object connection);

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "RemoveConnection")]
    private static extern void RemoveConnection([UnsafeAccessorType(HttpConnection)] object connection);

    [UnsafeAccessor(UnsafeAccessorKind.Constructor)]
    [return: UnsafeAccessorType(EndPointListener)]
    private static extern object NewEndPointListener(HttpListener listener, IPAddress address, int port, bool secure);

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "Close")]
    private static extern void CloseEndPoint([UnsafeAccessorType(EndPointListener)] object endPoint);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_socket")]
    private static extern ref Socket ListeningSocketOf([UnsafeAccessorType(EndPointListener)] object endPoint);

    [UnsafeAccessor(UnsafeAccessorKind.Constructor)]
    [return: UnsafeAccessorType(ListenerPrefix)]
    private static extern object NewListenerPrefix(string prefix);

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "AddPrefix")]
    private static extern void AddPrefix(
        [UnsafeAccessorType(EndPointListener)] object endPoint, [UnsafeAccessorType(ListenerPrefix)] object prefix, HttpListener listener);

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "set_PreferInlineCompletions")]
    private static extern void PreferInlineCompletions(Socket socket, bool value);

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "get_AsyncContext")]
    [return: UnsafeAccessorType(SocketAsyncContext)]
    private static extern object AsyncContextOf(SafeSocketHandle handle);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_port")]
    private static extern ref nint PortOf([UnsafeAccessorType(SocketAsyncEngine)] object engine);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_currentLine")]
    private static extern ref StringBuilder? CurrentLineOf([UnsafeAccessorType(HttpConnection)] object connection);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_innerStream")]
    private static extern ref Stream InnerStream([UnsafeAccessorType(WebSocketBase)] object webSocket);

    /// <summary>A port that is listened on. Disposing of it does not touch the connections that were taken over.</summary>
    internal sealed class Binding(object? endPoint, Action unbind) : IDisposable
    {
        /// <summary>Connections that have not finished their first request, which HttpListener lets wait for ever.</summary>
        /// <remarks>Empty on Windows: http.sys has timeouts and limits of its own.</remarks>
        public List<PendingRequest> Pending()
        {
            if (endPoint is null)
                return [];
            var connections = (IEnumerable)Unregistered!.GetValue(endPoint)!;
            lock (connections)
                return [.. connections.Cast<object>().Select(connection => new PendingRequest(connection))];
        }

        /// <summary>Stops listening. Requests that are not complete get 503: HttpListener would answer them 200.</summary>
        public void Dispose()
        {
            if (endPoint is not null)
                ListeningSocketOf(endPoint).Dispose();
            foreach (PendingRequest request in Pending())
            {
                request.Reject(
                    "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"u8);
            }
            unbind();
        }
    }

    /// <summary>A request that is not complete.</summary>
    /// <param name="Connection">Its identity.</param>
    internal readonly record struct PendingRequest(object Connection)
    {
        /// <summary>Characters of the line that is coming in. HttpListener sets no limit to it.</summary>
        public int LineLength => CurrentLineOf(Connection)?.Length ?? 0;

        public EndPoint? Remote => RemoteOf(SocketOf(Connection));

        private static EndPoint? RemoteOf(Socket? socket)
        {
            try
            {
                return socket?.RemoteEndPoint;
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return null; // it went by itself
            }
        }

        /// <summary>Tells the client why, as far as that goes without waiting, and closes.</summary>
        /// <param name="response">A whole HTTP response.</param>
        public void Reject(ReadOnlySpan<byte> response)
        {
            // An upgrade may take it at the same moment: it is closed only by whoever got it.
            using Socket? socket = Interlocked.Exchange(ref SocketOf(Connection), null);
            if (socket is null)
                return;
            try
            {
                socket.Send(response, SocketFlags.None, out _);
            }
            catch (ObjectDisposedException)
            {
                // It went by itself.
            }
            TimerOf(Connection).Dispose();
            Unbind(Connection);
            RemoveConnection(Connection);
        }
    }
}
