using System.Net;
using HeartbeatServer.Connections;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Hosting;

/// <summary>Hands over each request that an <see cref="HttpListener"/> gets, and outlives what goes wrong with one.</summary>
/// <param name="listener">Its owner closes it.</param>
/// <param name="handle">Answers a request.</param>
/// <param name="time">The clock.</param>
/// <param name="log">For what goes wrong.</param>
internal sealed class RequestLoop(HttpListener listener, Func<HttpListenerContext, Task> handle, TimeProvider time, ServerLog log)
{
    private static readonly TimeSpan AfterFailure = TimeSpan.FromMilliseconds(20);

    private Task _accepting = Task.CompletedTask;
    private volatile bool _stopping;

    public void Start() => _accepting = AcceptAsync();

    /// <summary>To be called before the listener is closed, which is how the loop ends.</summary>
    /// <returns>Its end.</returns>
    public Task Stop()
    {
        _stopping = true;
        return _accepting;
    }

    private async Task AcceptAsync()
    {
        while (!_stopping)
        {
            HttpListenerContext context;
            try
            {
                context = await listener.GetContextAsync();
            }
#pragma warning disable CA1031 // The loop never dies.
            catch (Exception e)
#pragma warning restore CA1031
            {
                if (_stopping)
                    return; // that is how HttpListener says so
                log.AcceptFailed(e);
                await Task.Delay(AfterFailure, time);
                continue;
            }
            _ = HandleAsync(context);
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
            context.Response.Abort();
        }
    }
}
