using System.Buffers;
using System.Net;
using System.Net.Sockets;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Security.Cryptography.X509Certificates;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Http;

/// <summary>A member of a type inside HttpListener.</summary>
/// <param name="Name">The names of the type and of the member.</param>
/// <param name="Exists">Whether this runtime has the member, with the type that the server expects.</param>
internal readonly record struct InternalMember(string Name, bool Exists);

/// <summary>
/// Knows which members inside HttpListener this runtime has. All code that reaches into HttpListener is in this file. This type does the check at the
/// start, and the types below use the members. docs/decisions/0001 says why the server does this, and what still works when a member is gone.
/// </summary>
/// <remarks>
/// The server writes one field that is declared readonly: <c>HttpConnection._stream</c>. It does so once, before anybody else has the object.
/// Compilers treat a readonly field as a constant only if the field is static, so HttpListener's code reads this field each time. <c>_timer</c>
/// of the same object and <c>_socket</c> of HttpEndPointListener are readonly as well. The server only reads them.
/// </remarks>
/// <param name="port">The members that <see cref="HttpPort"/> needs.</param>
/// <param name="upgrade">The members that an upgrade in <see cref="PlainRequests"/> needs.</param>
internal sealed class HttpListenerInternals(IReadOnlyList<InternalMember> port, IReadOnlyList<InternalMember> upgrade)
{
    internal const string Connection = "System.Net.HttpConnection, System.Net.HttpListener";
    internal const string EndPointListener = "System.Net.HttpEndPointListener, System.Net.HttpListener";
    internal const string ListenerPrefix = "System.Net.ListenerPrefix, System.Net.HttpListener";
    private const string WebSocketBase = "System.Net.WebSockets.WebSocketBase, System.Net.HttpListener";

    private const BindingFlags Instance = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic;

    /// <summary>
    /// Whether <see cref="PlainRequests"/> can bind one address and still answer requests with any Host header. It also works without these members.
    /// </summary>
    public static bool HasEndPoint { get; } = !OperatingSystem.IsWindows() && Gone(EndPointMembers()) is null;

    /// <summary>
    /// Looks for the members by reflection, so a missing member causes no exception. The trimmer sees each name next to its type, and keeps the
    /// member.
    /// </summary>
    public static HttpListenerInternals OfThisRuntime()
    {
        if (OperatingSystem.IsWindows())
            return new([], [Field("WebSocketBase._innerStream", Type.GetType(WebSocketBase)?.GetField("_innerStream", Instance), typeof(Stream))]);

        Type? type = Type.GetType(Connection);
        Type? endPoint = Type.GetType(EndPointListener);
        InternalMember socket = Field("HttpConnection._socket", type?.GetField("_socket", Instance), typeof(Socket));
        InternalMember unbind = Method("HttpConnection.Unbind", type?.GetMethod("Unbind", Instance, []));
        InternalMember removeConnection = Method("HttpConnection.RemoveConnection", type?.GetMethod("RemoveConnection", Instance, []));
        bool hasConstructor = endPoint is not null
            && type?.GetConstructor(Instance, [typeof(Socket), endPoint, typeof(bool), typeof(X509Certificate)]) is not null;
        bool hasConnection = type is not null && typeof(HttpListenerContext).GetMethod("get_Connection", Instance, [])?.ReturnType == type;
        return new(
            port:
            [
                new("HttpConnection's constructor", hasConstructor),
                socket,
                Field("HttpConnection._stream", type?.GetField("_stream", Instance), typeof(Stream)),
                Field("HttpConnection._buffer", type?.GetField("_buffer", Instance), typeof(byte[])),
                Field("HttpConnection._timer", type?.GetField("_timer", Instance), typeof(Timer)),
                Field("HttpConnection._context", type?.GetField("_context", Instance), typeof(HttpListenerContext)),
                Method("HttpConnection.BeginReadRequest", type?.GetMethod("BeginReadRequest", Instance, [])),
                unbind,
                removeConnection,
                Field("HttpEndPointListener._socket", endPoint?.GetField("_socket", Instance), typeof(Socket)),
                .. EndPointMembers(),
            ],
            upgrade:
            [
                new("HttpListenerContext.Connection", hasConnection),
                socket,
                Field("HttpConnection._memoryStream", type?.GetField("_memoryStream", Instance), typeof(MemoryStream)),
                Field("HttpConnection._position", type?.GetField("_position", Instance), typeof(int)),
                unbind,
                removeConnection,
            ]);
    }

    /// <summary>Decides once, at the start, where requests come from.</summary>
    /// <param name="plain">Whether the user wants <see cref="PlainRequests"/> even where <see cref="HttpPort"/> works.</param>
    /// <param name="log">Gets a warning when a member that <see cref="HttpPort"/> needs is gone.</param>
    /// <param name="epoll">Whether the event loops get an epoll instance. If they do, requests come from <see cref="HttpPort"/>.</param>
    /// <returns>Null; or, for the user, the reason why the server cannot start.</returns>
    public string? Choose(bool plain, ServerLog log, out bool epoll)
    {
        string? gone = Gone(port);
        epoll = OperatingSystem.IsLinux() && !plain && gone is null;
        if (epoll)
            return null;
        if (Gone(upgrade) is { } needed)
        {
            return $"{RuntimeInformation.FrameworkDescription} has changed inside HttpListener: {needed}. "
                + "This build of the server needs .NET 10 (seen to work: 10.0.12).";
        }
        if (OperatingSystem.IsLinux() && !plain)
            log.InternalsGone(RuntimeInformation.FrameworkDescription, gone!);
        return null;
    }

    private static InternalMember[] EndPointMembers()
    {
        Type? endPoint = Type.GetType(EndPointListener);
        Type? prefix = Type.GetType(ListenerPrefix);
        bool hasConstructor = endPoint?.GetConstructor(Instance, [typeof(HttpListener), typeof(IPAddress), typeof(int), typeof(bool)]) is not null;
        return
        [
            new("HttpEndPointListener's constructor", hasConstructor),
            new("ListenerPrefix's constructor", prefix?.GetConstructor(Instance, [typeof(string)]) is not null),
            Method(
                "HttpEndPointListener.AddPrefix",
                prefix is null ? null : endPoint?.GetMethod("AddPrefix", Instance, [prefix, typeof(HttpListener)])),
            Method("HttpEndPointListener.Close", endPoint?.GetMethod("Close", Instance, [])),
        ];
    }

    private static InternalMember Field(string name, FieldInfo? field, Type type) => new(name, field?.FieldType == type);

    private static InternalMember Method(string name, MethodInfo? method) => new(name, method?.ReturnType == typeof(void));

    /// <returns>A text for the user that names the missing members; null if none is missing.</returns>
    private static string? Gone(IEnumerable<InternalMember> members)
    {
        string[] names = [.. members.Where(member => !member.Exists).Select(member => member.Name)];
        return names.Length == 0 ? null : $"{string.Join(", ", names)} {(names.Length == 1 ? "is" : "are")} gone";
    }

    /// <summary>The stream of raw bytes below a WebSocket of http.sys.</summary>
    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_innerStream")]
    public static extern ref Stream StreamOf([UnsafeAccessorType(WebSocketBase)] object webSocket);
}

/// <summary>HttpListener's own connection object, which reads requests from a socket and writes the responses.</summary>
internal readonly struct HttpConnection
{
    /// <summary>The size in bytes of the buffer into which HttpListener reads.</summary>
    private const int BufferSize = 8192;

    private readonly object _connection;

    private HttpConnection(object connection) => _connection = connection;

    /// <summary>Makes a connection. At its end the connection closes the socket of the stream.</summary>
    /// <param name="stream">The stream from which the connection reads a request, and to which it writes the response.</param>
    /// <param name="endPoint">The end point that knows to which listener a request belongs.</param>
    public HttpConnection(RequestStream stream, HttpEndPoint endPoint)
    {
        stream.Socket.Blocking = true; // The constructor makes a NetworkStream, which wants this. Nobody uses that stream.
        _connection = New(stream.Socket, endPoint.EndPoint, secure: false, certificate: null);
        ref Stream unused = ref StreamOf(_connection);
        unused.Dispose();
        unused = stream;
        TimerOf(_connection).Dispose(); // PendingRequest has measured the time already
        BufferOf(_connection) = ArrayPool<byte>.Shared.Rent(BufferSize);
    }

    public static HttpConnection Of(HttpListenerContext context) => new(ConnectionOf(context));

    /// <summary>Whether HttpListener has closed the connection, or has forgotten it after a call of <see cref="Forget"/>.</summary>
    public bool IsClosed => SocketOf(_connection) is null;

    /// <summary>The client's address; null if the connection is closed.</summary>
    public IPEndPoint? Remote
    {
        get
        {
            try
            {
                return (IPEndPoint?)SocketOf(_connection)?.RemoteEndPoint;
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return null; // another thread is closing the connection
            }
        }
    }

    /// <summary>The bytes that came after the request. They are lost after <see cref="Forget"/>.</summary>
    public ReadOnlyMemory<byte> ReadTooEarly
    {
        get
        {
            MemoryStream? input = InputOf(_connection);
            int position = InputPositionOf(_connection);
            return input is null ? default : input.GetBuffer().AsMemory(position, (int)input.Length - position);
        }
    }

    /// <summary>Begins to read a request. After its response HttpListener reads another one, if the response allows that.</summary>
    public void BeginReadRequest() => BeginReadRequest(_connection);

    /// <summary>
    /// Takes the request that was read. HttpListener forgets the request, so nobody else gets it, and it survives the closing of the listener.
    /// The response still goes through this connection.
    /// </summary>
    public HttpListenerContext TakeRequest()
    {
        Unbind(_connection);
        RemoveConnection(_connection);
        return ContextOf(_connection);
    }

    /// <summary>Takes the socket away from HttpListener, which then forgets the connection.</summary>
    /// <returns>The socket; null if the connection has none any more.</returns>
    public Socket? TakeSocket()
    {
        Socket? socket = Interlocked.Exchange(ref SocketOf(_connection), null);
        Forget();
        return socket;
    }

    /// <summary>
    /// Makes HttpListener forget the connection. HttpListener does not do so by itself after some of its own answers. The socket stays as it is.
    /// </summary>
    public void Forget()
    {
        SocketOf(_connection) = null;
        Unbind(_connection);
        RemoveConnection(_connection);
    }

    /// <summary>
    /// Gives the buffer back to the pool. The caller does this after the connection has read the request, and before a next one.
    /// </summary>
    public void ReturnBuffer()
    {
        if (Interlocked.Exchange(ref BufferOf(_connection), null) is { } buffer)
            ArrayPool<byte>.Shared.Return(buffer);
    }

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "get_Connection")]
    [return: UnsafeAccessorType(HttpListenerInternals.Connection)]
    private static extern object ConnectionOf(HttpListenerContext context);

    [UnsafeAccessor(UnsafeAccessorKind.Constructor)]
    [return: UnsafeAccessorType(HttpListenerInternals.Connection)]
    private static extern object New(
        Socket socket, [UnsafeAccessorType(HttpListenerInternals.EndPointListener)] object endPoint, bool secure, X509Certificate? certificate);

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "BeginReadRequest")]
    private static extern void BeginReadRequest([UnsafeAccessorType(HttpListenerInternals.Connection)] object connection);

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "Unbind")]
    private static extern void Unbind([UnsafeAccessorType(HttpListenerInternals.Connection)] object connection);

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "RemoveConnection")]
    private static extern void RemoveConnection([UnsafeAccessorType(HttpListenerInternals.Connection)] object connection);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_socket")]
    private static extern ref Socket? SocketOf([UnsafeAccessorType(HttpListenerInternals.Connection)] object connection);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_stream")]
    private static extern ref Stream StreamOf([UnsafeAccessorType(HttpListenerInternals.Connection)] object connection);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_context")]
    private static extern ref HttpListenerContext ContextOf([UnsafeAccessorType(HttpListenerInternals.Connection)] object connection);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_buffer")]
    private static extern ref byte[]? BufferOf([UnsafeAccessorType(HttpListenerInternals.Connection)] object connection);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_timer")]
    private static extern ref Timer TimerOf([UnsafeAccessorType(HttpListenerInternals.Connection)] object connection);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_memoryStream")]
    private static extern ref MemoryStream? InputOf([UnsafeAccessorType(HttpListenerInternals.Connection)] object connection);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_position")]
    private static extern ref int InputPositionOf([UnsafeAccessorType(HttpListenerInternals.Connection)] object connection);
}

/// <summary>
/// HttpListener's own end point, here one that accepts any Host header. With a prefix for one host, HttpListener answers 404 to requests for
/// other hosts. That would break a reverse proxy that keeps the public name.
/// </summary>
internal readonly struct HttpEndPoint
{
    private HttpEndPoint(object endPoint) => EndPoint = endPoint;

    internal object EndPoint { get; }

    /// <summary>Binds an address. HttpListener listens on it, accepts connections and reads the requests.</summary>
    /// <exception cref="SocketException">The address could not be bound.</exception>
    public static HttpEndPoint Bind(HttpListener listener, IPAddress address, int port)
    {
        object endPoint = New(listener, address, port, secure: false);
        AddPrefix(endPoint, NewPrefix($"http://+:{port}/"), listener); // without a prefix HttpListener would answer 404
        return new(endPoint);
    }

    /// <summary>Makes an end point that does not listen, for the connections that <see cref="HttpPort"/> accepts.</summary>
    /// <param name="listener">The listener, which has started.</param>
    /// <param name="port">The port on which <see cref="HttpPort"/> listens.</param>
    /// <exception cref="SocketException">No port or descriptor is left.</exception>
    public static HttpEndPoint WithoutSocket(HttpListener listener, int port)
    {
        // The constructor listens and begins to accept. So the end point gets a port that nobody knows, and its socket is closed at once.
        object endPoint = New(listener, IPAddress.Loopback, 0, secure: false);
        SocketOf(endPoint).Dispose();
        AddPrefix(endPoint, NewPrefix($"http://+:{port}/"), listener);
        return new(endPoint);
    }

    public void Close() => Close(EndPoint);

    [UnsafeAccessor(UnsafeAccessorKind.Constructor)]
    [return: UnsafeAccessorType(HttpListenerInternals.EndPointListener)]
    private static extern object New(HttpListener listener, IPAddress address, int port, bool secure);

    [UnsafeAccessor(UnsafeAccessorKind.Constructor)]
    [return: UnsafeAccessorType(HttpListenerInternals.ListenerPrefix)]
    private static extern object NewPrefix(string prefix);

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "AddPrefix")]
    private static extern void AddPrefix(
        [UnsafeAccessorType(HttpListenerInternals.EndPointListener)] object endPoint,
        [UnsafeAccessorType(HttpListenerInternals.ListenerPrefix)] object prefix,
        HttpListener listener);

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "Close")]
    private static extern void Close([UnsafeAccessorType(HttpListenerInternals.EndPointListener)] object endPoint);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_socket")]
    private static extern ref Socket SocketOf([UnsafeAccessorType(HttpListenerInternals.EndPointListener)] object endPoint);
}
