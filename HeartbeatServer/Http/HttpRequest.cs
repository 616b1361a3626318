using System.Net;
using System.Runtime.Versioning;
using HeartbeatServer.Engine;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Http;

/// <summary>A complete request, and the ways to answer it. HttpListener's own objects for the request are visible only in here.</summary>
internal abstract class HttpRequest
{
    private volatile bool _isAborted;

    /// <param name="context">HttpListener's object for the request.</param>
    /// <param name="head">The head of the request as the client sent it.</param>
    /// <param name="remote">The address of the client, or of the proxy in front of the client.</param>
    /// <param name="loop">The event loop that serves the connection after an upgrade.</param>
    protected HttpRequest(HttpListenerContext context, RequestHead head, IPEndPoint remote, EventLoop loop) =>
        (Context, Head, Remote, Loop) = (context, head, remote, loop);

    /// <summary>The head of the request as the client sent it.</summary>
    public RequestHead Head { get; }

    public IPEndPoint Remote { get; }

    public EventLoop Loop { get; }

    /// <summary>
    /// The bytes of the head as they came, and the bytes that came after the head; empty where HttpListener reads from its own sockets.
    /// </summary>
    public virtual ReadOnlyMemory<byte> Received => default;

    /// <summary>Whether <see cref="Abort"/> was called.</summary>
    public bool IsAborted => _isAborted;

    protected HttpListenerContext Context { get; }

    /// <summary>Sends a reply and closes the connection. A reply to HEAD has no body.</summary>
    public async Task ReplyAsync(HttpReply reply)
    {
        HttpListenerResponse response = Context.Response;
        Begin(response, reply);
        bool hasBody = Head.Method != "HEAD" && reply.Status != 304;
        if (hasBody)
            await response.OutputStream.WriteAsync(reply.Body);
        BeforeClose(isWhole: hasBody && reply.Body.Length > 0);
        response.Close();
    }

    /// <summary>Gives HttpListener the head of a reply. It adds the Date.</summary>
    public static void Begin(HttpListenerResponse response, HttpReply reply)
    {
        response.StatusCode = reply.Status;
        response.ContentType = reply.ContentType;
        response.ContentLength64 = reply.Body.Length; // replies to HEAD and replies with 304 have this field, too (RFC 9110 section 8.6)
        // A connection serves one request. Otherwise HttpListener would wait for the rest of a body, and then without limit for a second request.
        response.KeepAlive = false;
        response.Headers["Server"] = HttpReply.Server;
        foreach ((string name, string value) in reply.Headers)
            response.Headers[name] = value;
    }

    /// <summary>Answers 101 to a request that has passed <see cref="Handshake.Check"/>, and takes its connection.</summary>
    /// <param name="key">The Sec-WebSocket-Key of the request.</param>
    /// <param name="protocol">The subprotocol that the server has chosen among those offered; null for none.</param>
    /// <returns>The transport for the bytes after the request and the response. It owns the connection.</returns>
    /// <exception cref="IOException">The client has gone.</exception>
    public abstract ValueTask<Transport> UpgradeAsync(string key, string? protocol);

    /// <summary>Takes the connection of a request from an <see cref="HttpPort"/>, for somebody who answers the client himself.</summary>
    /// <param name="early">The bytes that came behind the head.</param>
    /// <returns>The transport. The caller owns it, and begins to read from it on the thread of <see cref="Loop"/>.</returns>
    /// <exception cref="IOException">The client has gone.</exception>
    /// <exception cref="NotSupportedException">The request does not come from an <see cref="HttpPort"/>.</exception>
    [SupportedOSPlatform("linux")]
    public virtual EpollTransport TakeOver(out ReadOnlyMemory<byte> early) =>
        throw new NotSupportedException("the sockets of HttpListener itself are not served by epoll");

    /// <summary>Closes the connection, whether or not a reply was sent. A connection that was upgraded stays open.</summary>
    public void Abort()
    {
        _isAborted = true;
        Close();
    }

    /// <summary>Closes the connection. Does nothing if the connection is closed already or was upgraded.</summary>
    protected abstract void Close();

    /// <summary>
    /// Stops watching the socket. This is called before HttpListener closes the socket itself, because another socket may get its descriptor at once.
    /// </summary>
    /// <param name="isWhole">Whether the whole reply is written. If it has no body, HttpListener writes it when it closes.</param>
    protected virtual void BeforeClose(bool isWhole)
    {
    }

    /// <summary>Sends the 101. If that fails, the transport is closed.</summary>
    /// <param name="transport">The transport of the connection, which nobody else uses any more.</param>
    /// <param name="early">Frames that came together with the request. They are read first after the 101.</param>
    /// <param name="key">The Sec-WebSocket-Key of the request.</param>
    /// <param name="protocol">The subprotocol that the server has chosen; null for none.</param>
    protected static async ValueTask<Transport> SwitchProtocolsAsync(
        SocketTransport transport, ReadOnlyMemory<byte> early, string key, string? protocol)
    {
        if (!early.IsEmpty)
            transport.Unread(early.ToArray());
        try
        {
            await transport.WriteAsync(Handshake.Response(key, protocol));
            return transport;
        }
        catch
        {
            await transport.DisposeAsync();
            throw;
        }
    }
}
