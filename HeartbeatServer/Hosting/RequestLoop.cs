using System.Net;
using HeartbeatServer.Connections;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Hosting;

/// <summary>Hands over each request that an <see cref="HttpListener"/> has read, and outlives what goes wrong with one.</summary>
/// <param name="listener">Its owner closes it.</param>
/// <param name="handle">Answers a request.</param>
/// <param name="log">For what goes wrong.</param>
internal sealed class RequestLoop(HttpListener listener, Func<HttpListenerContext, Task> handle, ServerLog log)
{
    private readonly Lock _turn = new();
    private IAsyncResult? _next;
    private volatile bool _stopping;

    public void Start()
    {
        Begin();
        Poll();
    }

    /// <summary>To be called before the listener is closed.</summary>
    public void Stop() => _stopping = true;

    /// <summary>Hands over the requests that have been read since the last call, on this thread: HttpListener would use one of the pool.</summary>
    public void Poll()
    {
        while (Take() is { } context)
            _ = HandleAsync(context);
    }

    private void Begin() => _next = listener.BeginGetContext(OperatingSystem.IsWindows() ? OnContext : null, null);

    /// <summary>On Windows, where http.sys reads.</summary>
    private void OnContext(IAsyncResult result)
    {
        if (!result.CompletedSynchronously)
            Poll();
    }

    private HttpListenerContext? Take()
    {
        lock (_turn)
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
                    if (!_stopping) // that is how HttpListener says so
                        log.AcceptFailed(e);
                }
            }
            return null;
        }
    }

    private async Task HandleAsync(HttpListenerContext context)
    {
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
            HttpTakeover.Abort(context);
        }
        finally
        {
            if (HttpTakeover.StreamOf(context) is { } stream)
                await stream.DisposeAsync(); // if it was not upgraded;
        }
    }
}
