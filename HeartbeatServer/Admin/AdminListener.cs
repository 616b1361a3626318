using System.Net;
using System.Web;
using HeartbeatServer.Engine;
using HeartbeatServer.Hosting;
using HeartbeatServer.Http;
using HeartbeatServer.Options;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Admin;

/// <summary>
/// Answers on the second port, which is for people and machines that watch the server: the dashboard, /status, /metrics, /readyz. No request changes
/// anything.
/// </summary>
internal sealed class AdminListener : IDisposable
{
    /// <summary>Requests that may be coming in at one time, and answers that may be going out. The descriptors are for clients.</summary>
    private const int MostAtOnce = 32;

    private static readonly TimeSpan RequestTimeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(10);

    /// <summary>No inline script or style, nothing from another origin, and no page may show this one in a frame.</summary>
    private const string ContentSecurityPolicy =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    private readonly HostPort _address;
    private readonly AdminRoutes _routes;
    private readonly TimeProvider _time;
    private readonly ServerLog _log;
    private readonly EventLoops _loops;
    private readonly RequestSource _requests;
    private int _answering;

    public AdminListener(HostPort address, AdminRoutes routes, TimeProvider time, ServerLog log, bool epoll)
    {
        (_address, _routes, _time, _log) = (address, routes, time, log);
        // A loop of its own, because an answer takes longer than a heartbeat can wait.
        _loops = new EventLoops(() => new TimingWheel(time, RequestTimeout), count: 1, epoll, log.LoopFailed);
        var listen = new ListenOptions(address.Host, address.Port, RequestTimeout, MostAtOnce);
        _requests = RequestSource.Create(listen, _loops, HandleAsync, time, connections: () => 0, turnedAway: null, log);
        _requests.Rejected = (remote, refusal) => log.AdminRejected(remote, refusal);
    }

    /// <summary>Binds the port and begins to answer.</summary>
    /// <exception cref="HttpListenerException">The port could not be bound.</exception>
    public void Start()
    {
        _loops.Start();
        _requests.Bind();
        var files = new OpenFiles();
        _requests.Start(files.MaxConnections, files.Spare);
        _log.AdminListening(_address.Url("http", "/"));
        if (!_address.IsLoopback)
            _log.AdminExposed(_address.ToString());
    }

    public void Dispose()
    {
        _requests.Dispose();
        _loops.Dispose();
    }

    private async Task HandleAsync(HttpRequest request)
    {
        try
        {
            // Probes are answered all the same: an orchestrator would restart a server that does not answer them, and this one is only asked much.
            HttpReply answer = Interlocked.Increment(ref _answering) > MostAtOnce && !IsProbe(request)
                ? AdminAnswer.Error(503, "too many requests at once")
                : await AnswerAsync(request);
            await request.ReplyAsync(Guarded(answer, request.Head["If-None-Match"])).WaitAsync(AnswerTimeout, _time);
        }
        catch (TimeoutException)
        {
            _log.AdminSlow(request.Remote);
            request.Abort();
        }
        finally
        {
            Interlocked.Decrement(ref _answering);
        }
    }

    private static bool IsProbe(HttpRequest request) => request.Head.Path is AdminRoutes.HealthPath or AdminRoutes.ReadyPath;

    private async Task<HttpReply> AnswerAsync(HttpRequest request)
    {
        if (!HostGuard.Answers(_address, request.Head["Host"], request.Head.Path))
        {
            return AdminAnswer.Error(
                403, $"this Host header is not answered here, against DNS rebinding: use an IP address, localhost, or the host of --admin {_address}");
        }
        if (request.Head.Method is not ("GET" or "HEAD"))
            return AdminAnswer.Error(405, "only GET and HEAD are answered here");
        try
        {
            return await _routes.AnswerAsync(request.Head.Path, HttpUtility.ParseQueryString(request.Head.Query));
        }
        catch (BadQueryException e)
        {
            return AdminAnswer.Error(400, e.Message);
        }
#pragma warning disable CA1031 // A bug of ours must not end the server.
        catch (Exception e)
#pragma warning restore CA1031
        {
            _log.RequestFailed(e);
            return AdminAnswer.Error(500, "internal error; the server's log has the rest");
        }
    }

    /// <summary>Adds the headers that keep browsers safe.</summary>
    /// <param name="answer">Without them.</param>
    /// <param name="known">ETag of the file that the client has; null if it has none.</param>
    private static HttpReply Guarded(HttpReply answer, string? known)
    {
        string? etag = answer[AdminAnswer.ETag];
        return answer with
        {
            Status = etag is not null && etag == known ? 304 : answer.Status,
            Headers =
            [
                ("Content-Security-Policy", ContentSecurityPolicy),
                ("X-Content-Type-Options", "nosniff"),
                ("Referrer-Policy", "no-referrer"),
                ("Cross-Origin-Resource-Policy", "same-origin"),
                ("Cache-Control", etag is null ? "no-store" : "no-cache"),
                .. answer.Headers,
                .. ByStatus(answer.Status),
            ],
        };
    }

    private static (string Name, string Value)[] ByStatus(int status) => status switch
    {
        405 => [("Allow", "GET, HEAD")],
        503 => [("Retry-After", "1")],
        _ => [],
    };
}
