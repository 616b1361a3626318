using System.Collections.Concurrent;
using System.Net;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Http;

/// <summary>Hands over each request that an <see cref="HttpListener"/> has read, and outlives what goes wrong with one.</summary>
/// <param name="listener">Its owner closes it.</param>
/// <param name="handle">Answers a request.</param>
/// <param name="log">For what goes wrong.</param>
internal sealed class RequestLoop(HttpListener listener, Func<HttpListenerContext, Task> handle, ServerLog log)
{
    private readonly ConcurrentDictionary<HttpListenerContext, bool> _inHand = new();
    private readonly Lock _turn = new();
    private IAsyncResult? _next;
    private volatile bool _stopping;

    public void Start()
    {
        Begin();
        if (OperatingSystem.IsWindows())
            HandleAll();
    }

    /// <summary>To be called before the listener is closed, which would answer 200 to all that is in hand.</summary>
    public void Stop()
    {
        lock (_turn)
        {
            while (Take() is { } context)
                HttpTakeover.Abort(context);
            _stopping = true;
        }
        foreach ((HttpListenerContext context, _) in _inHand)
            HttpTakeover.Abort(context);
    }

    /// <summary>
    /// Hands over the request that was read from a stream, if it is complete, on the thread that read it. (HttpListener would use one of the pool.)
    /// </summary>
    public void HandOver(RequestStream stream)
    {
        HttpListenerContext? own;
        List<HttpListenerContext>? late = null;
        lock (_turn)
        {
            stream.HasLooked = true;
            // Those of others wait for their own threads, which come here next; or came already, while HttpListener was between two requests.
            while (Take() is { } context)
            {
                RequestStream other = HttpTakeover.StreamOf(context)!;
                if (other != stream && other.HasLooked)
                    (late ??= []).Add(context);
                else
                    other.Context = context;
            }
            (own, stream.Context) = (stream.Context, null);
        }
        if (own is not null)
            _ = HandleAsync(own);
        foreach (HttpListenerContext context in late ?? [])
            _ = HandleAsync(context);
    }

    private void Begin() => _next = listener.BeginGetContext(OperatingSystem.IsWindows() ? OnContext : null, null);

    /// <summary>On Windows, where http.sys reads.</summary>
    private void OnContext(IAsyncResult result)
    {
        if (!result.CompletedSynchronously)
            HandleAll();
    }

    private void HandleAll()
    {
        while (true)
        {
            HttpListenerContext? context;
            lock (_turn)
                context = Take();
            if (context is null)
                return;
            _ = HandleAsync(context);
        }
    }

    /// <summary>The next request that is complete. Under the lock.</summary>
    private HttpListenerContext? Take()
    {
        while (_next is { IsCompleted: true } done && !_stopping)
        {
            try
            {
                Begin();
                return listener.EndGetContext(done);
            }
#pragma warning disable CA1031 // The loop never dies.
            catch (Exception e)
#pragma warning restore CA1031
            {
                log.AcceptFailed(e);
            }
        }
        return null;
    }

    private async Task HandleAsync(HttpListenerContext context)
    {
        _inHand[context] = true;
        try
        {
            // Some HttpListener has answered by itself: 411, say.
            if (!HttpTakeover.IsAnswered(context))
                await handle(context);
        }
        catch (Exception e) when (e is NullReferenceException or ObjectDisposedException && HttpTakeover.IsAnswered(context))
        {
            // HttpListener has closed the connection meanwhile and forgotten its socket: the port is being closed, or the time was over.
            log.RequestGone(e);
        }
#pragma warning disable CA1031 // One request must not take the others down.
        catch (Exception e)
#pragma warning restore CA1031
        {
            if (!_stopping) // then HttpListener is gone, and its requests with it
                log.RequestFailed(e);
            if (OperatingSystem.IsWindows())
                HttpTakeover.Abort(context);
        }
        finally
        {
            if (!OperatingSystem.IsWindows())
                HttpTakeover.Abort(context); // what is not closed by now
            _inHand.TryRemove(context, out _);
        }
    }
}
