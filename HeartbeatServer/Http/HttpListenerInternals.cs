using System.Buffers;
using System.Net;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using System.Security.Cryptography.X509Certificates;
using HeartbeatServer.Connections;
using HeartbeatServer.Engine;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Http;

/// <summary>
/// Lets <see cref="HttpListener"/> read requests from sockets of ours, and takes back those that are upgraded: what Go calls Hijack. Everything that
/// reaches into HttpListener is in this file. docs/decisions/0001-takeover.md says why and what it saves.
/// </summary>
internal static class HttpTakeover
{
    private const string HttpConnection = "System.Net.HttpConnection, System.Net.HttpListener";
    private const string EndPointListener = "System.Net.HttpEndPointListener, System.Net.HttpListener";
    private const string ListenerPrefix = "System.Net.ListenerPrefix, System.Net.HttpListener";
    /// <summary>In bytes; what HttpListener reads into.</summary>
    private const int BufferSize = 8192;

    private const string WebSocketBase = "System.Net.WebSockets.WebSocketBase, System.Net.HttpListener";

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
        Require("HttpConnection", static () => NewConnection(null!, null!, false, null));
        Require("HttpConnection._socket", static () => SocketOf(null!));
        Require("HttpConnection._stream", static () => StreamOf(null!));
        Require("HttpConnection._buffer", static () => BufferOf(null!));
        Require("HttpConnection._timer", static () => TimerOf(null!));
        Require("HttpConnection._memoryStream", static () => InputOf(null!));
        Require("HttpConnection._position", static () => InputPositionOf(null!));
        Require("HttpConnection.BeginReadRequest", static () => BeginReadRequest(null!));
        Require("HttpConnection.Unbind", static () => Unbind(null!));
        Require("HttpConnection.RemoveConnection", static () => RemoveConnection(null!));
        Require("HttpEndPointListener", static () => NewEndPointListener(null!, null!, 0, false));
        Require("HttpEndPointListener._socket", static () => ListeningSocketOf(null!));
        Require("HttpEndPointListener.AddPrefix", static () => AddPrefix(null!, null!, null!));
        Require("HttpEndPointListener.Close", static () => CloseEndPoint(null!));
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
            return new Binding(null, null, () => listener.Prefixes.Remove(prefix));
        }
        IPAddress address = host == "*" ? IPAddress.Any : Resolve(host);
        Socket? socket = null;
        try
        {
#pragma warning disable CA2000 // The binding's.
            socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
#pragma warning restore CA2000
            socket.NoDelay = true; // of each connection, too: they inherit it
            socket.Bind(new IPEndPoint(address, port));
            socket.Listen();
            // It listens for itself, and accepts before it is complete: so on a port that nobody knows, and no longer than that.
            object endPoint = NewEndPointListener(listener, IPAddress.Loopback, 0, secure: false);
            ListeningSocketOf(endPoint).Dispose();
            AddPrefix(endPoint, NewListenerPrefix($"http://+:{port}/"), listener); // without one it would answer 404
            return new Binding(socket, endPoint, () => CloseEndPoint(endPoint));
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

    /// <summary>The stream that a request came in on; null on Windows.</summary>
    public static RequestStream? StreamOf(HttpListenerContext context) =>
        OperatingSystem.IsWindows() ? null : StreamOf(ConnectionOf(context)) as RequestStream;

    /// <summary>Whether HttpListener has closed the connection.</summary>
    public static bool IsClosed(object connection) => SocketOf(connection) is null;

    /// <summary>To be called when a connection has read all that it wants to, and before the next request. Its buffer serves another.</summary>
    public static void ReturnBuffer(object connection)
    {
        if (Interlocked.Exchange(ref BufferOf(connection), null) is { } buffer)
            ArrayPool<byte>.Shared.Return(buffer);
    }

    /// <summary>Makes HttpListener forget a connection, which it does not do by itself after some of its own answers. The socket is left as it is.</summary>
    public static void Forget(object connection)
    {
        SocketOf(connection) = null;
        Unbind(connection);
        RemoveConnection(connection);
    }

    /// <summary>Sends what is to be sent of a response, and closes the connection.</summary>
    public static void Finish(HttpListenerContext context)
    {
        // It closes the socket itself, and another one may have its descriptor the next moment.
        StreamOf(context)?.StopWaiting();
        context.Response.Close();
    }

    /// <summary>Closes the connection of a request, whatever was or was not answered, unless it was upgraded.</summary>
    public static void Abort(HttpListenerContext context)
    {
        if (OperatingSystem.IsWindows())
        {
            context.Response.Abort();
            return;
        }
        // Before HttpListener does, which would send a header first that says 200.
        StreamOf(context)!.Dispose();
        Forget(ConnectionOf(context));
    }

    /// <summary>Answers 101 to a request that passed <see cref="Handshake.Check"/> and takes its connection.</summary>
    /// <param name="context">The request.</param>
    /// <param name="key">Its Sec-WebSocket-Key.</param>
    /// <returns>The bytes that follow the upgrade, both ways. Owns the connection.</returns>
    /// <exception cref="IOException">The client has gone.</exception>
    public static async ValueTask<Transport> UpgradeAsync(HttpListenerContext context, string key)
    {
        if (OperatingSystem.IsWindows())
            throw new PlatformNotSupportedException("Windows comes with the plain requests");

        object connection = ConnectionOf(context);
        SocketTransport stream = StreamOf(context)!.Take() ?? throw new IOException("the client has gone");
        Forget(connection);
        // Frames that came along with the request, too early but not lost.
        MemoryStream? input = InputOf(connection);
        int position = InputPositionOf(connection);
        if (input is not null && position < input.Length)
            stream.Unread(input.GetBuffer().AsSpan(position, (int)input.Length - position).ToArray());
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

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "get_Connection")]
    [return: UnsafeAccessorType(HttpConnection)]
    private static extern object ConnectionOf(HttpListenerContext context);

    [UnsafeAccessor(UnsafeAccessorKind.Constructor)]
    [return: UnsafeAccessorType(HttpConnection)]
    private static extern object NewConnection(
        Socket socket, [UnsafeAccessorType(EndPointListener)] object endPoint, bool secure, X509Certificate? certificate);

    /// <summary>Reads a request, and then another if the response allows it.</summary>
    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "BeginReadRequest")]
    public static extern void BeginReadRequest([UnsafeAccessorType(HttpConnection)] object connection);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_socket")]
    private static extern ref Socket? SocketOf([UnsafeAccessorType(HttpConnection)] object connection);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_memoryStream")]
    private static extern ref MemoryStream? InputOf([UnsafeAccessorType(HttpConnection)] object connection);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_position")]
    private static extern ref int InputPositionOf([UnsafeAccessorType(HttpConnection)] object connection);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_buffer")]
    private static extern ref byte[]? BufferOf([UnsafeAccessorType(HttpConnection)] object connection);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_timer")]
    private static extern ref Timer TimerOf([UnsafeAccessorType(HttpConnection)] object connection);

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

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_innerStream")]
    private static extern ref Stream InnerStream([UnsafeAccessorType(WebSocketBase)] object webSocket);

    /// <summary>A port that is listened on.</summary>
    /// <param name="socket">That listens; null on Windows, where http.sys does.</param>
    /// <param name="endPoint">HttpListener's.</param>
    /// <param name="unbind">Closes it.</param>
    internal sealed class Binding(Socket? socket, object? endPoint, Action unbind) : IDisposable
    {
        public Socket? Socket => socket;

        /// <summary>Makes a connection of HttpListener's, which closes the socket at its end.</summary>
        /// <param name="stream">That it reads a request from, and writes the response to.</param>
        public object Connection(RequestStream stream)
        {
            stream.Socket.Blocking = true; // for the constructor of a NetworkStream, which is not used
            object connection = NewConnection(stream.Socket, endPoint!, secure: false, certificate: null);
            stream.Socket.Blocking = false;
            ref Stream unused = ref StreamOf(connection);
            unused.Dispose();
            unused = stream;
            TimerOf(connection).Dispose(); // the time is ours to measure
            BufferOf(connection) = ArrayPool<byte>.Shared.Rent(BufferSize);
            return connection;
        }

        public void Dispose()
        {
            socket?.Dispose();
            unbind();
        }
    }
}
