using System.Collections.Specialized;
using System.Globalization;
using HeartbeatServer.Hosting;
using HeartbeatServer.Http;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Admin;

/// <summary>The pages of the admin listener, by path.</summary>
internal sealed class AdminRoutes(Status status, History history, PrometheusPage metrics, DashboardFiles files, Func<ServerState> state)
{
    public const string HealthPath = "/healthz";
    public const string ReadyPath = "/readyz";
    public const string MetricsPath = "/metrics";
    private const string StatusPath = "/status";
    private const string OneStatus = StatusPath + "/";

    /// <param name="path">The path of the request.</param>
    /// <param name="query">The query of the request, decoded.</param>
    /// <exception cref="BadQueryException">A parameter cannot be read.</exception>
    public ValueTask<HttpReply> AnswerAsync(string path, NameValueCollection query) => path switch
    {
        HealthPath => new(HttpReply.Text(200, "ok")),
        ReadyPath => new(HttpReply.Text(state() == ServerState.Serving ? 200 : 503, state().Name())),
        MetricsPath => MetricsAsync(),
        StatusPath => new(AdminAnswer.Json(status.All(new StatusQuery(query)), StatusJsonContext.Plain.StatusJson)),
        OneStatus + "ends" => new(AdminAnswer.Json(status.Ends(new StatusQuery(query)), StatusJsonContext.Plain.EndsJson)),
        OneStatus + "why" => new(AdminAnswer.Json(status.Why(), StatusJsonContext.Plain.WhyJson)),
        OneStatus + "history" => new(AdminAnswer.Json(history.After(new StatusQuery(query).After), StatusJsonContext.Plain.HistoryJson)),
        OneStatus + "round_trips" => new(AdminAnswer.Json(status.RoundTripsSinceStart(), StatusJsonContext.Plain.RoundTripsJson)),
        _ when path.StartsWith(OneStatus, StringComparison.Ordinal) => new(One(path[OneStatus.Length..])),
        _ => new(files.Find(path) is { } file ? AdminAnswer.File(file.ContentType, file.Content, file.ETag) : AdminAnswer.Error(404, "not found")),
    };

    private async ValueTask<HttpReply> MetricsAsync() => new(200, PrometheusPage.ContentType, await metrics.WriteAsync());

    private HttpReply One(string text)
    {
        if (!long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long id))
            return AdminAnswer.Error(404, "not found: the number of a connection stands behind /status/");
        if (status.Open(id) is { } open)
            return AdminAnswer.Json(open, StatusJsonContext.Plain.ConnectionJson);
        return status.Ended(id) is { } ended
            ? AdminAnswer.Json(ended, StatusJsonContext.Plain.EndedConnectionJson)
            : AdminAnswer.Error(404, $"#{id} is not open, and not among the last {EndLog.Length} ends");
    }
}
