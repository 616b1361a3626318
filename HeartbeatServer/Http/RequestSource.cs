using System.Net;
using System.Net.Sockets;
using HeartbeatServer.Engine;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Http;

/// <summary>A port, and the requests that come in on it. Each is handed to the handler; what goes wrong with one ends that one only.</summary>
internal abstract class RequestSource : IDisposable
{
    private readonly Func<HttpRequest, Task> _handle;

    // Null when the port is closed.
    private readonly Lock _gate = new();
    private HashSet<HttpRequest>? _inHand = [];

    protected RequestSource(Func<HttpRequest, Task> handle, ServerLog log) => (_handle, Log) = (handle, log);

    /// <summary>Whether nobody is let in at the moment.</summary>
    public virtual bool IsFull => false;

    protected ServerLog Log { get; }

    /// <summary>Makes an <see cref="HttpPort"/> if the loops have epoll, else <see cref="PlainRequests"/>. This is decided nowhere else.</summary>
    /// <param name="options">The port.</param>
    /// <param name="loops">Serve the connections.</param>
    /// <param name="handle">Answers a request: on the thread of an event loop, or of the pool.</param>
    /// <param name="time">The clock.</param>
    /// <param name="connections">How many descriptors are in use beside those of pending requests.</param>
    /// <param name="turnedAway">Called for each request that is turned away before the handler sees it; null if nobody counts them.</param>
    /// <param name="log">Tells.</param>
    public static RequestSource Create(
        ListenOptions options,
        EventLoops loops,
        Func<HttpRequest, Task> handle,
        TimeProvider time,
        Func<int> connections,
        Action<RefusalReason>? turnedAway,
        ServerLog log) =>
        loops.HasEpoll ? new HttpPort(options, loops, handle, time, connections, turnedAway, log)
            : new PlainRequests(options, loops, handle, turnedAway, log);

    /// <summary>Binds the port.</summary>
    /// <exception cref="HttpListenerException">The port is taken, or the host is not ours.</exception>
    public abstract void Bind();

    /// <summary>Begins to hand out requests.</summary>
    /// <param name="most">Descriptors that there are for connections and pending requests.</param>
    public abstract void Start(int most);

    /// <summary>Closes the port, and the connections of requests that are not answered. Those that were upgraded go on.</summary>
    public abstract void Dispose();

    /// <summary>The address to bind. That of <c>*</c> is the one of IPv6, if there is IPv6.</summary>
    /// <exception cref="HttpListenerException">The name does not resolve.</exception>
    protected static IPAddress AddressOf(ListenOptions options)
    {
        if (options.Host == "*")
            return options.HasIPv6 ? IPAddress.IPv6Any : IPAddress.Any;
        if (IPAddress.TryParse(options.Host, out IPAddress? address))
            return address;
        try
        {
            return Dns.GetHostAddresses(options.Host)[0];
        }
        catch (SocketException e)
        {
            const int notSupported = 50; // what HttpListener says
            throw new HttpListenerException(notSupported, e.Message);
        }
    }

    /// <summary>Hands a request out. It is closed when the handler is done with it.</summary>
    protected async Task HandleAsync(HttpRequest request)
    {
        bool isOpen;
        lock (_gate)
            isOpen = _inHand?.Add(request) == true;
        try
        {
            if (isOpen)
                await _handle(request);
        }
#pragma warning disable CA1031 // One request must not take the others down.
        catch (Exception e)
#pragma warning restore CA1031
        {
            // After its connection was closed under it, a handler may stumble over anything.
            if (request.IsAborted)
                Log.RequestGone(e);
            else
                Log.RequestFailed(e);
        }
        finally
        {
            request.Abort();
            lock (_gate)
                _inHand?.Remove(request);
        }
    }

    /// <summary>Closes the requests that are being handled, and takes no more. To be called before the listener is closed.</summary>
    protected void AbortInHand()
    {
        HashSet<HttpRequest>? inHand;
        lock (_gate)
            (inHand, _inHand) = (_inHand, null);
        foreach (HttpRequest request in inHand ?? [])
            request.Abort();
    }
}
