using System.Net;
using System.Net.Sockets;
using HeartbeatServer.Engine;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Http;

/// <summary>A port that gives each request to the handler. A failure with one request ends only that request.</summary>
internal abstract class RequestSource : IDisposable
{
    private readonly Func<HttpRequest, Task> _handle;
    private readonly Action<RefusalReason>? _turnedAway;

    // The set is null once the port is closed.
    private readonly Lock _gate = new();
    private HashSet<HttpRequest>? _inHand = [];

    protected RequestSource(Func<HttpRequest, Task> handle, Action<RefusalReason>? turnedAway, ServerLog log) =>
        (_handle, _turnedAway, Log, Rejected) = (handle, turnedAway, log, (remote, refusal) => log.RequestRejected(remote, refusal));

    /// <summary>Logs a request that the handler never sees: the port of the clients has another line than the admin listener.</summary>
    public Action<IPEndPoint, Refusal> Rejected { get; set; }

    /// <summary>Whether the port accepts nobody at the moment.</summary>
    public virtual bool IsFull => false;

    protected ServerLog Log { get; }

    /// <summary>Makes an <see cref="HttpPort"/> if the loops have epoll, else <see cref="PlainRequests"/>. No other place decides this.</summary>
    /// <param name="options">Where to listen, and the limits of a request.</param>
    /// <param name="loops">The event loops that serve the connections.</param>
    /// <param name="handle">Answers a request, on the thread of an event loop or of the thread pool.</param>
    /// <param name="time">The clock that limits how often a line is logged.</param>
    /// <param name="connections">Returns how many descriptors are in use beside those of pending requests.</param>
    /// <param name="turnedAway">Called for each request that is turned away before the handler sees it; null if nobody counts them.</param>
    /// <param name="log">Gets lines on requests that are turned away or fail, and on a full port.</param>
    public static RequestSource Create(
        ListenOptions options,
        EventLoops loops,
        Func<HttpRequest, Task> handle,
        TimeProvider time,
        Func<int> connections,
        Action<RefusalReason>? turnedAway,
        ServerLog log) =>
        loops.HasEpoll ? new HttpPort(options, loops, handle, time, connections, turnedAway, log)
            : new PlainRequests(options, loops, handle, time, turnedAway, log);

    /// <summary>Binds the port.</summary>
    /// <exception cref="HttpListenerException">The port is in use, or this machine does not have the address.</exception>
    public abstract void Bind();

    /// <summary>Begins to accept requests.</summary>
    /// <param name="most">How many descriptors there are for connections and pending requests together.</param>
    /// <param name="spare">How many more pending requests may take as long as nobody has read them.</param>
    public abstract void Start(int most, int spare);

    /// <summary>Closes the port, and the connections of requests that are not answered yet. Connections that were upgraded go on.</summary>
    public abstract void Dispose();

    /// <summary>The address to bind. For <c>*</c> it is the wildcard address of IPv6 if there is IPv6, else that of IPv4.</summary>
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
            const int notSupported = 50; // HttpListener uses the same code
            throw new HttpListenerException(notSupported, e.Message);
        }
    }

    /// <summary>Counts and logs a request that the handler never sees.</summary>
    protected void OnTurnedAway(IPEndPoint remote, in Refusal refusal)
    {
        _turnedAway?.Invoke(refusal.Reason);
        Rejected(remote, refusal);
    }

    /// <summary>Gives a request to the handler, and closes the request when the handler is done.</summary>
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
#pragma warning disable CA1031 // A failure with one request must not end the others.
        catch (Exception e)
#pragma warning restore CA1031
        {
            // When the connection is closed during the handler's work, the handler may fail with any exception. A client that resets it is no bug of ours.
            if (request.IsAborted || e is IOException { InnerException: SocketException })
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

    /// <summary>Closes the requests that are being handled, and takes no new ones. The caller closes the listener afterwards.</summary>
    protected void AbortInHand()
    {
        HashSet<HttpRequest>? inHand;
        lock (_gate)
            (inHand, _inHand) = (_inHand, null);
        foreach (HttpRequest request in inHand ?? [])
            request.Abort();
    }
}
