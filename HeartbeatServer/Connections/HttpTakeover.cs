using System.Net;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Connections;

/// <summary>
/// Takes an upgraded connection out of <see cref="HttpListener"/>, which then knows nothing of it any more: what Go calls Hijack.
/// Everything that reaches into HttpListener is in this file. docs/decisions/0001-takeover.md says why and what it saves.
/// </summary>
internal static class HttpTakeover
{
    private const string HttpConnection = "System.Net.HttpConnection, System.Net.HttpListener";
    private const string EndPointManager = "System.Net.HttpEndPointManager, System.Net.HttpListener";
    private const string EndPointListener = "System.Net.HttpEndPointListener, System.Net.HttpListener";
    private const string ListenerPrefix = "System.Net.ListenerPrefix, System.Net.HttpListener";
    private const string WebSocketBase = "System.Net.WebSockets.WebSocketBase, System.Net.HttpListener";

    /// <summary>By reflection: an unsafe accessor cannot name the type of a field that is not visible.</summary>
    private static readonly FieldInfo? CachedReceive =
        typeof(Socket).GetField("_singleBufferReceiveEventArgs", BindingFlags.Instance | BindingFlags.NonPublic);

    /// <summary>Checks that this runtime's HttpListener has every member that is used here.</summary>
    /// <exception cref="PlatformNotSupportedException">One is gone; the message says which.</exception>
    public static void CheckRuntime()
    {
        if (OperatingSystem.IsWindows())
        {
            Require("WebSocketBase._innerStream", static () => InnerStream(null!));
            return;
        }
        Require("HttpListenerContext.Connection", static () => ConnectionOf(null!));
        Require("HttpConnection._socket", static () => SocketOf(null!));
        Require("HttpConnection._memoryStream", static () => InputOf(null!));
        Require("HttpConnection._position", static () => InputPositionOf(null!));
        Require("HttpConnection.Unbind", static () => Unbind(null!));
        Require("HttpConnection.RemoveConnection", static () => RemoveConnection(null!));
        Require("Socket._singleBufferReceiveEventArgs", static () => _ = CachedReceive ?? throw new MissingFieldException());
        Require("HttpEndPointListener.AddPrefix", static () => AddPrefix(null!, null!, null!));
        Require("HttpEndPointListener.RemovePrefix", static () => RemovePrefix(null!, null!));
        Require("ListenerPrefix", static () => NewListenerPrefix("http://+:1/"));

        // On null, a member that exists answers with a NullReferenceException, one that does not with a MissingMemberException.
        static void Require(string member, Action use)
        {
            try
            {
                use();
            }
            catch (NullReferenceException)
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
    /// <returns>Stops listening, without touching the connections that were taken over.</returns>
    /// <exception cref="HttpListenerException">The port is taken, or the host is not ours.</exception>
    public static IDisposable Bind(HttpListener listener, string host, int port)
    {
        string anyHost = $"http://+:{port}/";
        if (host == "*" || OperatingSystem.IsWindows())
        {
            string prefix = host == "*" ? anyHost : $"http://{host}:{port}/";
            listener.Prefixes.Add(prefix);
            return new Binding(() => listener.Prefixes.Remove(prefix));
        }

        object endPoint = GetEndPointListener(null, host, port, listener, secure: false);
        object listenerPrefix = NewListenerPrefix(anyHost);
        AddPrefix(endPoint, listenerPrefix, listener);
        return new Binding(() => RemovePrefix(endPoint, listenerPrefix));
    }

    /// <summary>Answers 101 to a request that passed <see cref="Handshake.Check"/> and takes its connection.</summary>
    /// <returns>The bytes that follow the upgrade, both ways. Owns the connection.</returns>
    /// <exception cref="IOException">The client has gone.</exception>
    public static async ValueTask<Stream> UpgradeAsync(HttpListenerContext context, string key)
    {
        if (OperatingSystem.IsWindows())
            return await UpgradeOnWindowsAsync(context);

        SocketStream stream = TakeOver(context);
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

    private static SocketStream TakeOver(HttpListenerContext context)
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
        // The socket keeps the operation of its last receive, and with it HttpListener's 8 KiB buffer.
        CachedReceive!.SetValue(socket, null);
        return new SocketStream(socket, readAhead);
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

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "Unbind")]
    private static extern void Unbind([UnsafeAccessorType(HttpConnection)] object connection);

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "RemoveConnection")]
    private static extern void RemoveConnection([UnsafeAccessorType(HttpConnection)] object connection);

    [UnsafeAccessor(UnsafeAccessorKind.StaticMethod, Name = "GetEPListener")]
    [return: UnsafeAccessorType(EndPointListener)]
    private static extern object GetEndPointListener(
        [UnsafeAccessorType(EndPointManager)] object? manager, string host, int port, HttpListener listener, bool secure);

    [UnsafeAccessor(UnsafeAccessorKind.Constructor)]
    [return: UnsafeAccessorType(ListenerPrefix)]
    private static extern object NewListenerPrefix(string prefix);

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "AddPrefix")]
    private static extern void AddPrefix(
        [UnsafeAccessorType(EndPointListener)] object endPoint, [UnsafeAccessorType(ListenerPrefix)] object prefix, HttpListener listener);

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "RemovePrefix")]
    private static extern void RemovePrefix(
        [UnsafeAccessorType(EndPointListener)] object endPoint, [UnsafeAccessorType(ListenerPrefix)] object prefix);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_innerStream")]
    private static extern ref Stream InnerStream([UnsafeAccessorType(WebSocketBase)] object webSocket);

    private sealed class Binding(Action unbind) : IDisposable
    {
        public void Dispose() => unbind();
    }
}
