using System.Net;
using System.Web;
using HeartbeatServer.Engine;
using HeartbeatServer.Http;
using HeartbeatServer.Options;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Admin;

/// <summary>
/// A second port, for people and machines that watch the server: the dashboard, /status, /metrics, /readyz. It shows, and changes nothing.
/// </summary>
internal sealed class AdminListener : IDisposable
{
    /// <summary>Requests that may be coming in, and answers that may be going out, at one time: descriptors are for clients.</summary>
    private const int MostAtOnce = 32;

    private static readonly TimeSpan RequestTimeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(10);

    /// <summary>No inline script or style, nothing from elsewhere, in no frame.</summary>
    private const string ContentSecurityPolicy =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    private readonly HostPort _address;
    private readonly TimeProvider _time;
    private readonly ServerLog _log;
    private readonly EventLoops _loops;
    private readonly Doorkeeper _door;
    private AdminRoutes? _routes;
    private int _answering;

    /// <param name="address">Where to listen.</param>
    /// <param name="time">The clock.</param>
    /// <param name="log">Tells.</param>
    public AdminListener(HostPort address, TimeProvider time, ServerLog log)
    {
        (_address, _time, _log) = (address, time, log);
        // Its own: the answers take longer than a heartbeat can wait.
        _loops = new EventLoops(() => new TimingWheel(time, RequestTimeout), count: 1);
        var door = new Door(address.Host, address.Port, RequestTimeout, MostAtOnce);
        _door = new Doorkeeper(door, _loops, HandleAsync, time, connections: () => 0, rejected: null, log);
    }

    /// <summary>Whether <see cref="Start"/> succeeded.</summary>
    public bool IsOpen { get; private set; }

    /// <summary>Binds the port and begins to answer.</summary>
    /// <param name="routes">What there is.</param>
    /// <exception cref="HttpListenerException">It could not be bound.</exception>
    public void Start(AdminRoutes routes)
    {
        _routes = routes;
        _loops.Start();
        _door.Open();
        IsOpen = true;
        _log.AdminListening(_address.Url("http", "/"));
        if (!_address.IsLoopback)
            _log.AdminExposed(_address.ToString());
    }

    public void Dispose()
    {
        _door.Dispose();
        _loops.Dispose();
    }

    private async Task HandleAsync(HttpListenerContext context)
    {
        try
        {
            // A probe is answered all the same: a server that is asked much is not one to be restarted.
            AdminAnswer answer = Interlocked.Increment(ref _answering) > MostAtOnce && !IsProbe(context.Request)
                ? AdminAnswer.Error(503, "too many requests at once")
                : await AnswerAsync(context.Request);
            await SendAsync(context, answer).WaitAsync(AnswerTimeout, _time);
        }
        catch (TimeoutException)
        {
            _log.AdminSlow(context.Request.RemoteEndPoint);
            HttpTakeover.Abort(context);
        }
        finally
        {
            Interlocked.Decrement(ref _answering);
        }
    }

    private static bool IsProbe(HttpListenerRequest request) => request.Url?.AbsolutePath is AdminRoutes.HealthPath or AdminRoutes.ReadyPath;

    private async Task<AdminAnswer> AnswerAsync(HttpListenerRequest request)
    {
        string path = request.Url?.AbsolutePath ?? "";
        if (!HostGuard.Answers(_address, request.Headers["Host"], path))
        {
            return AdminAnswer.Error(
                403, $"this Host header is not answered here, against DNS rebinding: use an IP address, localhost, or the host of --admin {_address}");
        }
        if (request.HttpMethod is not ("GET" or "HEAD"))
            return AdminAnswer.Error(405, "GET it");
        try
        {
            return await _routes!.AnswerAsync(path, HttpUtility.ParseQueryString(request.Url!.Query));
        }
        catch (BadQueryException e)
        {
            return AdminAnswer.Error(400, e.Message);
        }
#pragma warning disable CA1031 // A bug of ours is not the end of the server.
        catch (Exception e)
#pragma warning restore CA1031
        {
            _log.RequestFailed(e);
            return AdminAnswer.Error(500, "internal error; the server's log has the rest");
        }
    }

    private static async Task SendAsync(HttpListenerContext context, AdminAnswer answer)
    {
        HttpListenerResponse response = context.Response;
        bool isKnown = answer.ETag is not null && context.Request.Headers["If-None-Match"] == answer.ETag;
        response.StatusCode = isKnown ? 304 : answer.Status;
        response.ContentType = answer.ContentType;
        response.ContentLength64 = answer.Body.Length; // of HEAD and 304 too (RFC 9110 section 8.6)
        // One request a connection, as on the other port: HttpListener would wait for a second one for ever.
        response.KeepAlive = false;
        WebHeaderCollection headers = response.Headers;
        headers["Content-Security-Policy"] = ContentSecurityPolicy;
        headers["X-Content-Type-Options"] = "nosniff";
        headers["Referrer-Policy"] = "no-referrer";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";
        headers["Cache-Control"] = answer.ETag is null ? "no-store" : "no-cache";
        if (answer.ETag is not null)
            headers["ETag"] = answer.ETag;
        if (answer.Status == 405)
            headers["Allow"] = "GET, HEAD";
        if (answer.Status == 503)
            headers["Retry-After"] = "1";
        if (!isKnown && context.Request.HttpMethod != "HEAD")
            await response.OutputStream.WriteAsync(answer.Body);
        HttpTakeover.Finish(context);
    }
}
