using System.Net;
using HeartbeatServer.Engine;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Http;

/// <summary>A request that has come in, and the ways to answer it. What HttpListener made of it stays in here.</summary>
internal abstract class HttpRequest
{
    private volatile bool _isAborted;

    /// <param name="context">HttpListener's.</param>
    /// <param name="head">What the client sent.</param>
    /// <param name="remote">The client, or the proxy before it.</param>
    /// <param name="loop">Serves the connection, if the request becomes one.</param>
    protected HttpRequest(HttpListenerContext context, RequestHead head, IPEndPoint remote, EventLoop loop) =>
        (Context, Head, Remote, Loop) = (context, head, remote, loop);

    /// <summary>What the client sent, as it was sent.</summary>
    public RequestHead Head { get; }

    public IPEndPoint Remote { get; }

    public EventLoop Loop { get; }

    /// <summary>The bytes of the head as they came, and what came behind it; empty where HttpListener reads from sockets of its own.</summary>
    public virtual ReadOnlyMemory<byte> Received => default;

    /// <summary>Whether the connection was closed, whatever was or was not answered.</summary>
    public bool IsAborted => _isAborted;

    protected HttpListenerContext Context { get; }

    /// <summary>Sends a reply, to HEAD without its body, and closes the connection.</summary>
    public async Task ReplyAsync(HttpReply reply)
    {
        HttpListenerResponse response = Context.Response;
        response.StatusCode = reply.Status;
        response.ContentType = reply.ContentType;
        response.ContentLength64 = reply.Body.Length; // of HEAD and 304 too (RFC 9110 section 8.6)
        // One request a connection. HttpListener would wait for the rest of a body here, and for ever for a second request that does not end.
        response.KeepAlive = false;
        foreach ((string name, string value) in reply.Headers)
            response.Headers[name] = value;
        if (Head.Method != "HEAD" && reply.Status != 304)
            await response.OutputStream.WriteAsync(reply.Body);
        BeforeClose();
        response.Close();
    }

    /// <summary>Answers 101 to a request that passed <see cref="Handshake.Check"/> and takes its connection.</summary>
    /// <param name="key">Its Sec-WebSocket-Key.</param>
    /// <param name="protocol">The one of its offered subprotocols that is spoken; null for none.</param>
    /// <returns>The bytes that follow the request, both ways. Owns the connection.</returns>
    /// <exception cref="IOException">The client has gone.</exception>
    public abstract ValueTask<Transport> UpgradeAsync(string key, string? protocol);

    /// <summary>Closes the connection, whatever was or was not answered, unless it was upgraded.</summary>
    public void Abort()
    {
        _isAborted = true;
        Close();
    }

    /// <summary>Closes the connection, unless that was done or it was upgraded.</summary>
    protected abstract void Close();

    /// <summary>Called before HttpListener closes the socket itself: another one may have its descriptor the next moment.</summary>
    protected virtual void BeforeClose()
    {
    }

    /// <summary>Sends the 101. The transport is closed if that fails.</summary>
    /// <param name="transport">Of the connection; nobody else's any more.</param>
    /// <param name="early">Frames that came along with the request, too early but not lost.</param>
    /// <param name="key">See <see cref="UpgradeAsync"/>.</param>
    /// <param name="protocol">See <see cref="UpgradeAsync"/>.</param>
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
