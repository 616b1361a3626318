using System.Net;
using System.Text;
using HeartbeatServer.Protocol;
using Serilog;
using Serilog.Core;
using Serilog.Events;

namespace HeartbeatServer.Telemetry;

/// <summary>Writes every line that the server logs. A property of a line has its unit in its name.</summary>
internal sealed class ServerLog(ILogger logger)
{
    /// <summary>So many characters of the method and of the target of a refused request are logged.</summary>
    private const int MostShown = 200;

    /// <summary>Whether pings and pongs are logged. Callers ask before they put a line together, since there are so many of them.</summary>
    public bool IsDebug => logger.IsEnabled(LogEventLevel.Debug);

    public void Listening(string url, string healthUrl, string heartbeat, string shutdown) => logger.Information(
        "Listening on {Url:l} (health: {HealthUrl:l}). {Heartbeat:l}. {Shutdown:l}.", url, healthUrl, heartbeat, shutdown);

    public void InternalsGone(string runtime, string gone) => logger.Warning(
        "{Runtime:l} has changed inside HttpListener: {Gone:l}. The server goes on with HttpListener's own sockets: "
        + "requests that do not end are not turned away, and an upgrade costs more",
        runtime,
        gone);

    public void AdminListening(string url) => logger.Information("Dashboard on {Url:l}, metrics on {Url:l}metrics, status on {Url:l}status", url, url, url);

    public void AdminExposed(string address) => logger.Warning(
        "--admin {Address:l} can be reached from other machines: it shows the addresses of clients, and asks for no password", address);

    public void AdminSlow(EndPoint? remote) => logger.Information(
        "An admin answer to {Remote:l} was not taken in time and is cut", Text(remote));

    public void Connected(long connection, EndPoint remote, int connections)
    {
        if (logger.IsEnabled(LogEventLevel.Information))
            logger.Information("#{Connection} {Remote:l} connected, {Connections} now", connection, Text(remote), connections);
    }

    public void Ended(long connection, EndPoint remote, Disconnect end, in ConnectionFigures figures)
    {
        LogEventLevel level = end.Error is null ? LogEventLevel.Information : LogEventLevel.Error;
        if (!logger.IsEnabled(level))
            return;
        var line = new StringBuilder();
        var properties = new List<object?>();

        Add(
            "#{Connection} {Remote:l} ended: {Cause:l} by {EndedBy:l} after {AgeSeconds:0.0}s, {Detail:l} | ",
            connection,
            Text(remote),
            end.Cause.Name(),
            end.Cause.EndedBy(),
            figures.Age.TotalSeconds,
            end.Detail);
        Add("pings {Pings} pongs {Pongs} missed {Missed} late {Late} | ", figures.Pings, figures.Pongs, figures.Missed, figures.Late);
        if (figures.AnswersOtherwise)
            Add("answers pings with another payload, {OtherPongs} times | ", figures.OtherPongs);
        // A count alone: clients put tokens into what they offer.
        if (figures.OffersNotSpoken > 0)
            Add("{OffersNotSpoken} subprotocol(s) offered, none spoken | ", figures.OffersNotSpoken);
        RoundTrips times = figures.RoundTrips;
        if (times.Count > 0)
        {
            Add(
                "round trip last {RoundTripLastMs:0.00} min {RoundTripMinMs:0.00} mean {RoundTripMeanMs:0.00} max {RoundTripMaxMs:0.00} "
                + "jitter {JitterMs:0.00}ms | ",
                times.Last.TotalMilliseconds,
                times.Min.TotalMilliseconds,
                times.Mean.TotalMilliseconds,
                times.Max.TotalMilliseconds,
                times.Jitter.TotalMilliseconds);
        }
        else
        {
            Add("no round trip | ");
        }
        if (end.Tcp is { } tcp)
            Add("kernel round trip {KernelRoundTripMs:0.00}ms retransmissions {Retransmissions} | ", tcp.RoundTrip.TotalMilliseconds, tcp.Retransmissions);
        Add(
            "in {MessagesIn} msg {BytesIn} B, out {MessagesOut} msg {BytesOut} B | last byte {LastByteSecondsAgo:0.0}s ago",
            figures.MessagesIn,
            figures.BytesIn,
            figures.MessagesOut,
            figures.BytesOut,
            figures.SinceLastByte.TotalSeconds);

        ILogger log = end.Verdict is { } verdict ? logger.ForContext("Verdict", verdict.Name()) : logger;
        log.Write(level, end.Error, line.ToString(), [.. properties]);

        void Add(string template, params ReadOnlySpan<object?> values)
        {
            line.Append(template);
            properties.AddRange(values);
        }
    }

    public void PingSent(long connection, ulong number) => logger.Debug("#{Connection} ping {Number}", connection, number);

    public void PongReceived(long connection, TimeSpan? roundTrip)
    {
        if (roundTrip is { } time)
            logger.Debug("#{Connection} pong, round trip {RoundTripMs:0.00}ms", connection, time.TotalMilliseconds);
        else
            logger.Debug("#{Connection} unsolicited pong", connection);
    }

    public void LatePong(long connection, EndPoint remote, TimeSpan roundTrip, int strikes) => logger.Warning(
        "#{Connection} {Remote:l} late pong, round trip {RoundTripMs:0.00}ms, {Strikes} strike(s) cleared",
        connection,
        Text(remote),
        roundTrip.TotalMilliseconds,
        strikes);

    public void Suspect(long connection, EndPoint remote, int strikes, int maxMissed, TimeSpan timeout, TimeSpan sinceLastByte) => logger.Warning(
        "#{Connection} {Remote:l} is suspect: no sign of life {TimeoutMs}ms after a ping, strike {Strikes} of {MaxMissed}, "
        + "last byte {LastByteSecondsAgo:0.0}s ago",
        connection,
        Text(remote),
        timeout.TotalMilliseconds,
        strikes,
        maxMissed,
        sinceLastByte.TotalSeconds);

    public void AliveAgain(long connection, EndPoint remote, int strikes) => logger.Information(
        "#{Connection} {Remote:l} is alive again, {Strikes} strike(s) cleared", connection, Text(remote), strikes);

    public void Refused(EndPoint? remote, string method, string url, in Refusal refusal) => logger.Information(
        "Refused {Method:l} {Url:l} from {Remote:l}: {Status} {Reason:l}, {Text:l}",
        Shortened(method),
        Shortened(url),
        Text(remote),
        refusal.Status,
        refusal.Reason.Name(),
        refusal.Text);

    /// <param name="option">The option that sets the limit.</param>
    /// <param name="remote">The last client that was refused.</param>
    /// <param name="refusal">What the client was told.</param>
    /// <param name="refused">How many clients were refused since the last such line.</param>
    public void LimitReached(string option, EndPoint remote, in Refusal refusal, long refused) => logger.Warning(
        "{Option:l} is reached: refused {Remote:l} with {Status} {Reason:l}, {Text:l} ({Refused} since the last such line)",
        option,
        Text(remote),
        refusal.Status,
        refusal.Reason.Name(),
        refusal.Text,
        refused);

    public void ProxyHeadersDisagree(EndPoint proxy) => logger.Warning(
        "X-Forwarded-For and Forwarded from the proxy {Proxy:l} name different clients: such a client counts as the proxy itself. "
        + "Have the proxy remove the header that it does not set. This is said once",
        Text(proxy));

    /// <param name="remote">Who sent the last of them.</param>
    /// <param name="status">HTTP status code.</param>
    /// <param name="reason">For a person.</param>
    /// <param name="count">How many there were since the last such line, this one included.</param>
    public void RequestRejected(EndPoint? remote, int status, string reason, long count = 1)
    {
        if (count == 1)
            logger.Information("Rejected a request from {Remote:l}: {Status} {Reason:l}", Text(remote), status, reason);
        else
            logger.Information("Rejected {Count} requests, the last from {Remote:l}: {Status} {Reason:l}", count, Text(remote), status, reason);
    }

    public void TooFewFiles(int wanted, int possible) => logger.Warning(
        "The limit of open files (ulimit -n) has room for {Possible} connection(s), --max-connections asks for {Wanted}", possible, wanted);

    public void NoRoom(int port, int connections, int limit) => logger.Warning(
        "No room: {Connections} connection(s), and the limit of open files (ulimit -n) allows {Limit}. Port {Port} lets nobody in until some leave.",
        connections,
        limit,
        port);

    public void LinesDropped(long lines) => logger.Warning(
        "{Lines} log line(s) were dropped: whoever reads the output is slower than the log", lines);

    public void RoomAgain(int port, int connections, int limit) => logger.Information(
        "Room again: {Connections} connection(s) of {Limit}. Port {Port} lets clients in.", connections, limit, port);

    public void UpgradeFailed(EndPoint? remote, Exception error) => logger.Information(
        "Upgrade of {Remote:l} failed: {Error:l}", Text(remote), error.Message);

    public void RequestFailed(Exception error) => logger.Error(error, "A request failed; the server goes on");

    public void RequestGone(Exception error) => logger.Debug(error, "A request was closed while it was being answered");

    public void AcceptFailed(Exception error) => logger.Error(error, "Accepting a request failed; the server goes on");

    public void ConnectionFailed(long connection, Exception error) => logger.Error(error, "#{Connection} failed; the server goes on", connection);

    public void LoopFailed(Exception error) => logger.Error(error, "A call on the thread of an event loop failed; the server goes on");

    /// <summary>An exception that nobody has caught, on a thread that is not ours.</summary>
    /// <returns>True: the server goes on.</returns>
    public bool Survived(Exception error)
    {
        try
        {
            logger.Error(error, "A call on a thread of the framework failed; the server goes on");
        }
        catch (OutOfMemoryException)
        {
            // There is no memory even for the line.
        }
        return true;
    }

    public void ChoreFailed(Exception error) => logger.Error(error, "A periodic chore failed; it goes on");

    public void Draining(string signal, int connections, TimeSpan window) => logger.Information(
        "{Signal:l}: draining, {Connections} connection(s) get Close 1001, at most {WindowSeconds:0.###}s. Again to cut at once.",
        signal,
        connections,
        window.TotalSeconds);

    public void CuttingRest(int connections) => logger.Warning(
        "{Connections} connection(s) did not close in time and are cut", connections);

    /// <param name="lateness">How late the beat is.</param>
    /// <param name="collector">How long the garbage collector paused the process meanwhile.</param>
    /// <param name="busy">How long the thread that beats ran meanwhile: it serves clients, too.</param>
    /// <param name="queued">Work items that wait in the thread pool.</param>
    public void BeatLate(TimeSpan lateness, TimeSpan collector, TimeSpan busy, long queued) => logger.Warning(
        "The beat was {LatenessMs:0.0}ms late. Likely reason: {Reason:l} (garbage collector {CollectorPauseMs:0.0}ms, {QueuedWork} waiting in the thread pool). "
        + "Deadlines move by as much",
        lateness.TotalMilliseconds,
        collector >= lateness / 2 ? "garbage collection" // first: it may run on this thread
            : busy >= lateness / 2 ? "this loop was busy with its clients"
            : queued > Environment.ProcessorCount ? "more work than this machine has processors for"
            : "the system did not let the process run",
        collector.TotalMilliseconds,
        queued);

    /// <summary>What the record says about the ends, or about many clients that were silent together.</summary>
    /// <param name="kind">Of the finding.</param>
    /// <param name="sentence">For a person.</param>
    public void Why(string kind, string sentence) => logger.Warning("Why ({Kind:l}): {Sentence:l}", kind, sentence);

    public void Stopped() => logger.Information("Stopped");

    public void Summary(ServerMetrics metrics, int connections, TimeSpan uptime, IReadOnlyList<Finding> why)
    {
        string causes = string.Join(
            ", ",
            DisconnectCauses.All.Where(cause => metrics.Ends(cause) > 0).Select(cause => $"{cause.Name()} {metrics.Ends(cause)}"));
        string reasons = string.Join(
            ", ",
            RefusalReasons.All.Where(reason => metrics.Refusals(reason) > 0).Select(reason => $"{reason.Name()} {metrics.Refusals(reason)}"));
        LatencyHistogram times = metrics.RoundTrips;
        LatencyHistogram beat = metrics.BeatLateness;
        logger.Information(
            "Summary after {UptimeSeconds:0.0}s\n"
            + "  connections  {Connections} now, {Peak} at most, {Opened} in all\n"
            + "  refused      {Refused}{Refusals:l}\n"
            + "  ends         {Ends:l}\n"
            + "  round trip   p50 {RoundTripP50Ms:0.00} p95 {RoundTripP95Ms:0.00} p99 {RoundTripP99Ms:0.00} max {RoundTripMaxMs:0.00}ms of {Pongs} pongs\n"
            + "  heartbeat    {Strikes} strikes, {LatePongs} late pongs\n"
            + "  beat late by p50 {LatenessP50Ms:0.00} p99 {LatenessP99Ms:0.00} max {LatenessMaxMs:0.00}ms\n"
            + "  why          {Why:l}",
            uptime.TotalSeconds,
            connections,
            metrics.Peak,
            metrics.Opened,
            metrics.Refused,
            reasons.Length == 0 ? "" : $": {reasons}",
            causes.Length == 0 ? "none" : causes,
            times.Quantile(0.5).TotalMilliseconds,
            times.Quantile(0.95).TotalMilliseconds,
            times.Quantile(0.99).TotalMilliseconds,
            times.Max.TotalMilliseconds,
            times.Count,
            metrics.Strikes,
            metrics.LatePongs,
            beat.Quantile(0.5).TotalMilliseconds,
            beat.Quantile(0.99).TotalMilliseconds,
            beat.Max.TotalMilliseconds,
            string.Join("\n               ", why.Select(finding => finding.Sentence)));
    }

    /// <summary>The beginning of what a client has sent, which may be 24 KiB.</summary>
    private static string Shortened(string text) => text.Length <= MostShown ? text : text[..MostShown] + "...";

    private static string Text(EndPoint? remote) => remote?.ToString() ?? "unknown";
}
