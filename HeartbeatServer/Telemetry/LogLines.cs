using HeartbeatServer.Protocol;
using Serilog.Events;
using static Serilog.Events.LogEventLevel;

namespace HeartbeatServer.Telemetry;

/// <summary>
/// Every kind of line that the server logs. What the server does to a client is a warning, and so is what the operator alone can mend. A bug of the server
/// is an error. docs/reference.md lists the names with their properties.
/// </summary>
internal static class LogLines
{
    private const string AndMore = "and {more:N0} more in {seconds:0.#}s: {what:l}";

    private static readonly List<LogLine> Added = [];

    // The server.
    public static readonly LogLine Listening =
        Add("listening", Information, "Listening on {url:l}{relaying:l} (health: {health_url:l}). {heartbeat:l}. {shutdown:l}.");
    public static readonly LogLine UnknownVariable = Add(
        "unknown_variable", Warning, "The variable {variable:l} is none of the server's, and is ignored{question:l}");
    public static readonly LogLine ServiceLinks = Add(
        "service_links",
        Warning,
        "Ignored {variables} variable(s) of the environment that Kubernetes sets for a Service, such as {variable:l}. "
            + "enableServiceLinks: false in the pod's spec leaves them out");
    public static readonly LogLine InternalsGone = Add(
        "internals_gone",
        Warning,
        "{runtime:l} has changed inside HttpListener: {gone:l}. The server goes on with HttpListener's own sockets: "
            + "requests that do not end are not turned away, and an upgrade costs more");
    public static readonly LogLine TooFewFiles = Add(
        "too_few_files",
        Warning,
        "The limit of open files (ulimit -n) has room for {possible} connection(s), --max-connections asks for {wanted}");
    public static readonly LogLine NoRoom = Add(
        "no_room",
        Warning,
        "No room: connections have {connections} descriptor(s), {unfinished} request(s) are unfinished, and the limit of open files (ulimit -n) allows {limit}. "
            + "Port {port} lets nobody in until some leave.");
    public static readonly LogLine CannotAccept = Add(
        "cannot_accept", Warning, "Port {port} cannot accept a client, and tries again and again: {error:l}");
    public static readonly LogLine RoomAgain = Add("room_again", Information, "Room again. Port {port} lets clients in.");
    public static readonly LogLine BeatLate = Add(
        "beat_late",
        Warning,
        "The beat was {lateness_ms:0.0}ms late. Likely reason: {reason:l} (garbage collector {collector_pause_ms:0.0}ms, "
            + "{queued_work} waiting in the thread pool). Deadlines move by as much");
    public static readonly LogLine Draining = Add(
        "draining",
        Information,
        "{signal:l}: draining, {connections} connection(s) get Close 1001, at most {window_seconds:0.###}s. Again to cut at once.");
    public static readonly LogLine CuttingRest =
        Add("cutting_rest", Warning, "{connections} connection(s) did not close in time and are cut");
    public static readonly LogLine Summary = Add(
        "summary",
        Information,
        "Summary after {uptime_seconds:0.0}s\n"
            + "  connections  {connections} now, {peak} at most, {opened} in all\n"
            + "  refused      {refused}{reasons:l}\n"
            + "  ends         {ends:l}\n"
            + "  round trip   p50 {round_trip_p50_ms:0.00} p95 {round_trip_p95_ms:0.00} p99 {round_trip_p99_ms:0.00} max {round_trip_max_ms:0.00}ms "
            + "of {pongs} pongs\n"
            + "  heartbeat    {missed} strikes, {late} late pongs\n"
            + "  beat late by p50 {lateness_p50_ms:0.00} p99 {lateness_p99_ms:0.00} max {lateness_max_ms:0.00}ms\n"
            + "  why          {sentences:l}");
    public static readonly LogLine Why = Add("why", Warning, "Why ({kind:l}): {sentence:l}");
    public static readonly LogLine Stopped = Add("stopped", Information, "Stopped");

    // The certificate of the port.
    public static readonly LogLine CertificateTaken = Add(
        "certificate_taken", Information, "The certificate for {names:l} in {file:l} is used from now on; {dates:l}");
    public static readonly LogLine CertificateRejected = Add(
        "certificate_rejected",
        Warning,
        "The files of the certificate have changed, and are not used. {fault:l}. The certificate of before stays; {dates:l}");
    public static readonly LogLine CertificateEnds = Add(
        "certificate_ends", Warning, "The certificate for {names:l} is near its end: {dates:l}. A new one in {file:l} is taken without a restart");
    public static readonly LogLine CertificateEnded = Add(
        "certificate_ended",
        Warning,
        "The certificate for {names:l} is no good any more: {dates:l}, and clients refuse it. A new one in {file:l} is taken without a restart");
    public static readonly LogLine CertificateNotYetValid = Add(
        "certificate_not_yet_valid",
        Warning,
        "The certificate for {names:l} is not good yet: {dates:l}, and clients refuse it until then. Is the clock of this machine right? "
            + "Another one in {file:l} is taken without a restart");
    public static readonly LogLine KeyExposed = Add(
        "key_exposed", Warning, "The private key {file:l} is open to every user of this machine: chmod o-rw it, and get another if others had access");

    public static readonly LogLine UpstreamInsecure = Add(
        "upstream_insecure",
        Warning,
        "--upstream-insecure: nobody verifies the certificate of {url:l}. Whoever is on the way there can read and change what passes");

    // The application behind a relay.
    public static readonly LogLine RelayFails = Add(
        "relay_fails", Warning, "Relaying fails: refused {refused} request(s), the last with {status} {reason:l}, {text:l}");
    public static readonly LogLine RelayWorks = Add("relay_works", Information, "Relaying works again: {refused} request(s) were refused in {seconds:0.0}s");

    // The log itself.
    public static readonly LogLine Collapsed = Add("lines_collapsed", Information, AndMore);
    public static readonly LogLine CollapsedWarnings = Add("lines_collapsed", Warning, AndMore);
    public static readonly LogLine CollapsedErrors = Add("lines_collapsed", Error, AndMore);
    public static readonly LogLine LinesDropped = Add(
        "lines_dropped", Warning, "{lines} log line(s) were dropped since the start: whoever reads the output is slower than the log");

    // The admin listener.
    public static readonly LogLine AdminListening =
        Add("admin_listening", Information, "Dashboard on {url:l}, metrics on {url:l}metrics, status on {url:l}status");
    public static readonly LogLine AdminExposed = Add(
        "admin_exposed",
        Warning,
        "--admin {address:l} can be reached from other machines: it shows the addresses of clients, and asks for no password");
    public static readonly LogLine AdminRejected =
        Add("admin_rejected", Information, "The admin listener rejected a request from {remote:l}: {status}, {text:l}");
    public static readonly LogLine AdminSlow = Add("admin_slow", Information, "An admin answer to {remote:l} was not taken in time and is cut");

    // Requests.
    public static readonly LogLine UpgradeFailed = Add("upgrade_failed", Information, "Upgrade of {remote:l} failed: {error:l}");
    public static readonly LogLine PagePassed = Add("page_passed", Debug, "Page {method:l} {target:l} for {remote:l}: {status}, {bytes_out} bytes{failure:l}");
    public static readonly LogLine PageCut = Add("page_cut", Warning, "Page {method:l} {target:l} for {remote:l} was cut: {text:l}");
    public static readonly LogLine ProxyHeadersDisagree = Add(
        "proxy_headers_disagree",
        Warning,
        "X-Forwarded-For and Forwarded from the proxy {remote:l} name different clients: such a client counts as the proxy itself. "
            + "Have the proxy remove the header that it does not set. This is said once");
    public static readonly LogLine RequestFailed = Add("request_failed", Error, "A request failed; the server goes on");
    public static readonly LogLine RequestGone = Add("request_gone", Debug, "A request was closed while it was being answered");
    public static readonly LogLine AcceptFailed = Add("accept_failed", Error, "Accepting a request failed; the server goes on");

    // Connections.
    public static readonly LogLine Connected =
        Add("connection_opened", Information, "#{connection} {remote:l} connected, {connections} now{client:l}");
    public static readonly LogLine PingSent = Add("ping_sent", Debug, "#{connection} ping {ping}");
    public static readonly LogLine PongReceived = Add("pong_received", Debug, "#{connection} pong, round trip {round_trip_ms:0.00}ms");
    public static readonly LogLine PongUnsolicited = Add("pong_unsolicited", Debug, "#{connection} unsolicited pong");
    public static readonly LogLine LatePong = Add(
        "pong_late", Information, "#{connection} {remote:l} late pong, round trip {round_trip_ms:0.00}ms, {strikes} strike(s) cleared");
    public static readonly LogLine FirstPong = Add(
        "first_pong", Information, "#{connection} {remote:l} first pong, round trip {round_trip_ms:0.00}ms");
    public static readonly LogLine InTimeAgain = Add(
        "client_in_time",
        Information,
        "#{connection} {remote:l} has answered {pings} pings in time again, round trip {round_trip_ms:0.00}ms");
    public static readonly LogLine Suspect = Add(
        "client_suspect",
        Warning,
        "#{connection} {remote:l} is suspect: no sign of life {timeout_ms}ms after a ping, strike {strikes} of {max_missed}, "
            + "last byte {last_byte_seconds:0.0}s ago");
    public static readonly LogLine AliveAgain =
        Add("client_alive", Information, "#{connection} {remote:l} is alive again, {strikes} strike(s) cleared");

    // What goes wrong in the server.
    public static readonly LogLine ConnectionFailed = Add("connection_failed", Error, "#{connection} failed; the server goes on");
    public static readonly LogLine LoopFailed =
        Add("loop_failed", Error, "A call on the thread of an event loop failed; the server goes on");
    public static readonly LogLine Survived = Add("thread_failed", Error, "A call on a thread of the framework failed; the server goes on");
    public static readonly LogLine ChoreFailed = Add("chore_failed", Error, "A periodic chore failed; it goes on");

    // One for each cause or reason.
    private static readonly LogLine[] Ends = [.. DisconnectCauses.All.Select(cause => Add(
        "connection_ended", LevelOf(cause), "#{connection} {remote:l} ended: {cause:l} after {age_seconds:0.0}s, {what:l}", cause.Name()))];
    private static readonly LogLine[] Refusals = [.. RefusalReasons.All.Select(reason => Add(
        "request_refused", Information, "Refused {method:l} {target:l} from {remote:l}: {status} {reason:l}, {text:l}", reason.Name()))];
    private static readonly LogLine[] Limits = [.. RefusalReasons.All.Select(reason => Add(
        "limit_reached", Warning, "{option:l} is reached: refused {remote:l} with {status} {reason:l}, {text:l}", reason.Name()))];
    private static readonly LogLine[] Rejections = [.. RefusalReasons.All.Select(reason => Add(
        "request_rejected", Information, "Rejected a request from {remote:l}: {status} {reason:l}, {text:l}", reason.Name()))];

    /// <summary>All kinds. Several may have one name, and then they have the same properties.</summary>
    public static IReadOnlyList<LogLine> All => Added;

    /// <summary>The end of a connection.</summary>
    public static LogLine Ended(DisconnectCause cause) => Ends[(int)cause];

    /// <summary>A complete request was refused.</summary>
    public static LogLine Refused(RefusalReason reason) => Refusals[(int)reason];

    /// <summary>A complete request was refused because of a limit.</summary>
    public static LogLine LimitReached(RefusalReason reason) => Limits[(int)reason];

    /// <summary>A request was turned away before it was complete, or because of its head.</summary>
    public static LogLine Rejected(RefusalReason reason) => Rejections[(int)reason];

    private static LogEventLevel LevelOf(DisconnectCause cause) => cause switch
    {
        DisconnectCause.InternalError => Error,
        DisconnectCause.ServerShutdown => Information,
        DisconnectCause.UpstreamProtocolError => Warning,
        _ => cause.EndedBy() == "server" ? Warning : Information,
    };

    private static LogLine Add(string name, LogEventLevel level, string template, string detail = "")
    {
        var line = new LogLine(name, level, template, detail);
        Added.Add(line);
        return line;
    }
}
