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
/// <param name="Name">Type and member.</param>
/// <param name="Exists">Whether this runtime has it, with the type that is expected.</param>
internal readonly record struct InternalMember(string Name, bool Exists);

/// <summary>
/// Which members inside HttpListener this runtime has. Everything that reaches into HttpListener is in this file: here the check at the start, below
/// the types that do it. docs/decisions/0001 says why, and what works when a member is gone.
/// </summary>
/// <remarks>
/// One of the fields that are written is declared readonly: <c>HttpConnection._stream</c>. It is written once, before anybody else has the object.
/// Compilers take a field that is readonly for a constant only if it is static: HttpListener's code reads this one each time. <c>_timer</c> of the
/// same object and <c>_socket</c> of HttpEndPointListener are readonly as well; they are only read here.
/// </remarks>
/// <param name="port">What <see cref="HttpPort"/> needs.</param>
/// <param name="upgrade">What an upgrade in <see cref="PlainRequests"/> needs.</param>
internal sealed class HttpListenerInternals(IReadOnlyList<InternalMember> port, IReadOnlyList<InternalMember> upgrade)
{
    internal const string Connection = "System.Net.HttpConnection, System.Net.HttpListener";
    internal const string EndPointListener = "System.Net.HttpEndPointListener, System.Net.HttpListener";
    internal const string ListenerPrefix = "System.Net.ListenerPrefix, System.Net.HttpListener";
    private const string WebSocketBase = "System.Net.WebSockets.WebSocketBase, System.Net.HttpListener";

    private const BindingFlags Instance = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic;

    /// <summary>Whether <see cref="PlainRequests"/> can bind one address and yet answer any Host header. It can do without.</summary>
    public static bool HasEndPoint { get; } = !OperatingSystem.IsWindows() && Gone(EndPointMembers()) is null;

    /// <summary>Looks by reflection, so a member that is gone throws nothing. The trimmer sees each name beside its type, and keeps the member.</summary>
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
    /// <param name="plain">Whether <see cref="PlainRequests"/> is wanted where <see cref="HttpPort"/> would do, too.</param>
    /// <param name="log">Is warned when a member that <see cref="HttpPort"/> needs is gone.</param>
    /// <param name="epoll">Whether the event loops get an epoll instance, and with it <see cref="HttpPort"/>.</param>
    /// <returns>Null; or why the server cannot start, for a person.</returns>
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
            Method("HttpEndPointListener.AddPrefix", prefix is null ? null : endPoint?.GetMethod("AddPrefix", Instance, [prefix, typeof(HttpListener)])),
            Method("HttpEndPointListener.Close", endPoint?.GetMethod("Close", Instance, [])),
        ];
    }

    private static InternalMember Field(string name, FieldInfo? field, Type type) => new(name, field?.FieldType == type);

    private static InternalMember Method(string name, MethodInfo? method) => new(name, method?.ReturnType == typeof(void));

    /// <returns>Which members are gone, for a person; null if all are there.</returns>
    private static string? Gone(IEnumerable<InternalMember> members)
    {
        string[] names = [.. members.Where(member => !member.Exists).Select(member => member.Name)];
        return names.Length == 0 ? null : $"{string.Join(", ", names)} {(names.Length == 1 ? "is" : "are")} gone";
    }

    /// <summary>The raw bytes below a WebSocket of http.sys.</summary>
    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_innerStream")]
    public static extern ref Stream StreamOf([UnsafeAccessorType(WebSocketBase)] object webSocket);
}

/// <summary>A connection of HttpListener's: what reads requests from a socket, and writes the responses.</summary>
internal readonly struct HttpConnection
{
    /// <summary>In bytes; what HttpListener reads into.</summary>
    private const int BufferSize = 8192;

    private readonly object _connection;

    private HttpConnection(object connection) => _connection = connection;

    /// <summary>Makes a connection, which closes the socket of the stream at its end.</summary>
    /// <param name="stream">It reads a request from it, and writes the response to it.</param>
    /// <param name="endPoint">Knows to which listener a request belongs.</param>
    public HttpConnection(RequestStream stream, HttpEndPoint endPoint)
    {
        stream.Socket.Blocking = true; // for the constructor of a NetworkStream, which is not used
        _connection = New(stream.Socket, endPoint.EndPoint, secure: false, certificate: null);
        stream.Socket.Blocking = false;
        ref Stream unused = ref StreamOf(_connection);
        unused.Dispose();
        unused = stream;
        TimerOf(_connection).Dispose(); // the time is ours to measure
        BufferOf(_connection) = ArrayPool<byte>.Shared.Rent(BufferSize);
    }

    public static HttpConnection Of(HttpListenerContext context) => new(ConnectionOf(context));

    /// <summary>Whether HttpListener has closed the connection, or was made to forget it.</summary>
    public bool IsClosed => SocketOf(_connection) is null;

    /// <summary>The client; null if the connection is closed.</summary>
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
                return null; // it is being closed
            }
        }
    }

    /// <summary>Bytes that came behind the request. To be asked before <see cref="Forget"/>.</summary>
    public ReadOnlyMemory<byte> ReadTooEarly
    {
        get
        {
            MemoryStream? input = InputOf(_connection);
            int position = InputPositionOf(_connection);
            return input is null ? default : input.GetBuffer().AsMemory(position, (int)input.Length - position);
        }
    }

    /// <summary>Reads a request, and then another if the response allows it.</summary>
    public void BeginReadRequest() => BeginReadRequest(_connection);

    /// <summary>
    /// The request that was read. HttpListener forgets it, so nobody else finds it, and closing the listener does not touch it. The response still
    /// goes through this connection.
    /// </summary>
    public HttpListenerContext TakeRequest()
    {
        Unbind(_connection);
        RemoveConnection(_connection);
        return ContextOf(_connection);
    }

    /// <summary>Takes the socket away from HttpListener, which forgets the connection; null if there is none any more.</summary>
    public Socket? TakeSocket()
    {
        Socket? socket = Interlocked.Exchange(ref SocketOf(_connection), null);
        Forget();
        return socket;
    }

    /// <summary>
    /// Makes HttpListener forget the connection, which it does not do by itself after some of its own answers. The socket is left as it is.
    /// </summary>
    public void Forget()
    {
        SocketOf(_connection) = null;
        Unbind(_connection);
        RemoveConnection(_connection);
    }

    /// <summary>To be called when the connection has read all that it wants to, and before the next request. Its buffer serves another.</summary>
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
/// An end point of HttpListener's that answers whatever Host header comes. With a prefix for one host HttpListener answers 404 to requests for others,
/// which breaks a reverse proxy that keeps the public name.
/// </summary>
internal readonly struct HttpEndPoint
{
    private HttpEndPoint(object endPoint) => EndPoint = endPoint;

    internal object EndPoint { get; }

    /// <summary>Binds an address. HttpListener listens on it, accepts and reads.</summary>
    /// <exception cref="SocketException">It could not be bound.</exception>
    public static HttpEndPoint Bind(HttpListener listener, IPAddress address, int port)
    {
        object endPoint = New(listener, address, port, secure: false);
        AddPrefix(endPoint, NewPrefix($"http://+:{port}/"), listener); // without one it would answer 404
        return new(endPoint);
    }

    /// <summary>For connections of ours: an end point that does not listen.</summary>
    /// <param name="listener">Started.</param>
    /// <param name="port">That is listened on by somebody else.</param>
    /// <exception cref="SocketException">No port or descriptor is left.</exception>
    public static HttpEndPoint WithoutSocket(HttpListener listener, int port)
    {
        // It listens for itself, and accepts before it is complete: so on a port that nobody knows, and no longer than that.
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
