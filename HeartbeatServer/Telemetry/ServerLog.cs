using System.Net;
using System.Net.Sockets;
using HeartbeatServer.Protocol;
using Serilog;
using Serilog.Core;
using Serilog.Events;
using static HeartbeatServer.Telemetry.LogProperties;

namespace HeartbeatServer.Telemetry;

/// <summary>
/// Writes every line that the server logs: gives the <see cref="LogLines"/> their figures. A property of a line has its unit in its name.
/// </summary>
/// <remarks>
/// Lines past a rate become a count (<see cref="LineLimit"/>), whoever causes them, errors with their stacks as well. The lines of a log at debug, which was
/// asked for all of them, never do.
/// </remarks>
internal sealed class ServerLog
{
    private readonly ILogger _logger;
    private readonly TimeProvider _time;
    private readonly bool _keepsEnds;
    private readonly LineLimit _limit;

    /// <param name="logger">Gets the lines.</param>
    /// <param name="time">The clock; null for that of the system.</param>
    /// <param name="keepsEnds">Whether each end of a connection has its line, however many there are. Programs that read the log want that.</param>
    public ServerLog(ILogger logger, TimeProvider? time = null, bool keepsEnds = false)
    {
        (_logger, _time, _keepsEnds) = (logger, time ?? TimeProvider.System, keepsEnds);
        IsDebug = logger.IsEnabled(LogEventLevel.Debug);
        _limit = new LineLimit(_time, Collapsed);
    }

    /// <summary>Whether pings and pongs are logged. Callers ask before they put a line together, since there are so many of them.</summary>
    public bool IsDebug { get; }

    /// <summary>Writes the counts of the lines that are held back at the moment.</summary>
    public void Flush() => _limit.Flush();

    /// <param name="url">Where clients connect to.</param>
    /// <param name="healthUrl">Where it is asked how it is.</param>
    /// <param name="upstream">The application that it relays to; null for the echo server.</param>
    /// <param name="heartbeat">How it pings.</param>
    /// <param name="shutdown">How it stops.</param>
    public void Listening(string url, string healthUrl, string? upstream, string heartbeat, string shutdown) => Write(
        LogLines.Listening,
        [
            ("url", url),
            ("relaying", new TextOnly(upstream is null ? "" : $", relaying to {upstream}")),
            ("upstream", upstream),
            ("health_url", healthUrl),
            ("heartbeat", heartbeat),
            ("shutdown", shutdown),
        ]);

    /// <param name="variable">A variable of the environment that looks like one of an option.</param>
    /// <param name="meant">The variable that was perhaps meant; null if none is near.</param>
    public void UnknownVariable(string variable, string? meant) => Write(
        LogLines.UnknownVariable,
        [("variable", variable), ("meant", meant), ("question", new TextOnly(meant is null ? "" : $". Did you mean {meant}?"))]);

    public void ServiceLinks(IReadOnlyList<string> variables) => Write(LogLines.ServiceLinks, [("variable", variables[0]), ("variables", variables.Count)]);

    public void InternalsGone(string runtime, string gone) => Write(LogLines.InternalsGone, [("runtime", runtime), ("gone", gone)]);

    /// <param name="names">What the certificate is for.</param>
    /// <param name="validity">When it begins and ends.</param>
    /// <param name="file">Where it is.</param>
    public void CertificateTaken(IEnumerable<string> names, Validity validity, string file) =>
        Write(LogLines.CertificateTaken, OfCertificate(names, validity, file));

    /// <param name="file">The certificate's.</param>
    /// <param name="keyFile">Its key's.</param>
    /// <param name="fault">Why what they have is not taken.</param>
    /// <param name="validity">When the certificate that stays begins and ends.</param>
    public void CertificateRejected(string file, string keyFile, string fault, Validity validity) => Write(
        LogLines.CertificateRejected, [("file", file), ("key_file", keyFile), ("fault", fault), .. DatesOf(validity)]);

    /// <summary>Warns that a certificate ends soon, has ended, or has not begun.</summary>
    /// <inheritdoc cref="CertificateTaken"/>
    public void CertificateDates(IEnumerable<string> names, Validity validity, string file)
    {
        LogLine line = !validity.HasBegun(Now) ? LogLines.CertificateNotYetValid
            : validity.HasEnded(Now) ? LogLines.CertificateEnded
            : LogLines.CertificateEnds;
        Write(line, OfCertificate(names, validity, file));
    }

    public void UpstreamInsecure(string url) => Write(LogLines.UpstreamInsecure, [("url", url)]);

    public void KeyExposed(string file) => Write(LogLines.KeyExposed, [("file", file)]);

    public void AdminListening(string url) => Write(LogLines.AdminListening, [("url", url)]);

    public void AdminExposed(string address) => Write(LogLines.AdminExposed, [("address", address)]);

    public void AdminSlow(EndPoint? remote)
    {
        if (Passes(LogLines.AdminSlow))
            Write(LogLines.AdminSlow, Of(remote));
    }

    public void Connected(long connection, EndPoint remote, ClientInfo client, int connections)
    {
        if (!Passes(LogLines.Connected))
            return;
        Write(
            LogLines.Connected,
            [("connection", connection), .. Of(remote), ("connections", connections), ("client", new TextOnly(LogWords.Of(client))), .. Of(client)]);
    }

    public void Ended(long connection, EndPoint remote, ClientInfo client, Disconnect end, in ConnectionFigures figures)
    {
        LogLine line = LogLines.Ended(end.Cause);
        if (!Passes(line, isKept: _keepsEnds))
            return;
        RoundTrips? times = figures.RoundTrips.Count > 0 ? figures.RoundTrips : null;
        Write(
            line,
            [
                ("connection", connection),
                .. Of(remote),
                .. Of(client),
                ("cause", end.Cause.Name()),
                ("ended_by", end.Cause.EndedBy()),
                ("verdict", end.Verdict?.Name()),
                ("detail", end.Detail),
                ("what", new TextOnly(LogWords.End(end, figures) + LogWords.Of(figures.Upstream))),
                ("age_seconds", Seconds(figures.Age)),
                ("pings", figures.Pings),
                ("pongs", figures.Pongs),
                ("missed", figures.Missed),
                ("late", figures.Late),
                ("other_pongs", figures.OtherPongs),
                ("subprotocols_not_spoken", figures.OffersNotSpoken),
                ("round_trip_last_ms", Ms(times?.Last)),
                ("round_trip_min_ms", Ms(times?.Min)),
                ("round_trip_mean_ms", Ms(times?.Mean)),
                ("round_trip_max_ms", Ms(times?.Max)),
                ("jitter_ms", Ms(times?.Jitter)),
                ("kernel_round_trip_ms", Ms(end.Tcp?.RoundTrip)),
                ("retransmissions", end.Tcp?.Retransmissions),
                ("messages_in", figures.MessagesIn),
                ("bytes_in", figures.BytesIn),
                ("messages_out", figures.MessagesOut),
                ("bytes_out", figures.BytesOut),
                ("last_byte_seconds", Seconds(figures.SinceLastByte)),
                ("last_sent_seconds", Seconds(figures.SinceLastSent)),
                .. Of(figures.Upstream),
            ],
            end.Error);
    }

    public void PingSent(long connection, ulong number) => Write(LogLines.PingSent, [("connection", connection), ("ping", number)]);

    public void PongReceived(long connection, TimeSpan? roundTrip)
    {
        if (roundTrip is { } time)
            Write(LogLines.PongReceived, [("connection", connection), ("round_trip_ms", Ms(time))]);
        else
            Write(LogLines.PongUnsolicited, [("connection", connection)]);
    }

    public void LatePong(long connection, EndPoint remote, TimeSpan roundTrip, int strikes)
    {
        if (Passes(LogLines.LatePong))
            Write(LogLines.LatePong, [("connection", connection), .. Of(remote), ("round_trip_ms", Ms(roundTrip)), ("strikes", strikes)]);
    }

    public void FirstPong(long connection, EndPoint remote, TimeSpan roundTrip)
    {
        if (Passes(LogLines.FirstPong))
            Write(LogLines.FirstPong, [("connection", connection), .. Of(remote), ("round_trip_ms", Ms(roundTrip))]);
    }

    public void InTimeAgain(long connection, EndPoint remote, TimeSpan roundTrip)
    {
        if (!Passes(LogLines.InTimeAgain))
            return;
        Write(
            LogLines.InTimeAgain,
            [("connection", connection), .. Of(remote), ("pings", LateNews.PingsToRecover), ("round_trip_ms", Ms(roundTrip))]);
    }

    public void Suspect(long connection, EndPoint remote, int strikes, int maxMissed, TimeSpan timeout, TimeSpan sinceLastByte)
    {
        if (!Passes(LogLines.Suspect))
            return;
        Write(
            LogLines.Suspect,
            [
                ("connection", connection),
                .. Of(remote),
                ("strikes", strikes),
                ("max_missed", maxMissed),
                ("timeout_ms", Ms(timeout)),
                ("last_byte_seconds", Seconds(sinceLastByte)),
            ]);
    }

    public void AliveAgain(long connection, EndPoint remote, int strikes)
    {
        if (Passes(LogLines.AliveAgain))
            Write(LogLines.AliveAgain, [("connection", connection), .. Of(remote), ("strikes", strikes)]);
    }

    public void Refused(EndPoint? remote, string method, string target, in Refusal refusal)
    {
        LogLine line = LogLines.Refused(refusal.Reason);
        if (Passes(line))
            Write(line, [("method", PeerText.Shortened(method, LogWords.MostShown)), ("target", PeerText.Shortened(target, LogWords.MostShown)), .. Of(remote), .. Of(refusal)]);
    }

    /// <summary>A page has gone to its client, or a part of it has. If it is not the client that has ended it, that is a warning.</summary>
    /// <param name="remote">The client.</param>
    /// <param name="method">The method of the request.</param>
    /// <param name="target">The target as people may see it.</param>
    /// <param name="status">The status of the application's answer; 499 if the client went before it.</param>
    /// <param name="bytes">How many bytes of the answer's body have gone to the client.</param>
    /// <param name="failure">Why the rest has not; null if all has.</param>
    public void Page(EndPoint remote, string method, string target, int status, long bytes, Refusal? failure)
    {
        bool isCut = failure?.Reason is RefusalReason.UpstreamBadAnswer or RefusalReason.UpstreamTimeout or RefusalReason.BufferLimit;
        LogLine line = isCut ? LogLines.PageCut : LogLines.PagePassed;
        if (!IsDebug && !(isCut && Passes(line)))
            return;
        (string, object?)[] asked =
            [("method", PeerText.Shortened(method, LogWords.MostShown)), ("target", PeerText.Shortened(target, LogWords.MostShown)), .. Of(remote)];
        Write(line, isCut
            ? [.. asked, ("text", failure!.Value.Text)]
            :
            [
                .. asked,
                ("status", status),
                ("bytes_out", bytes),
                ("text", failure?.Text),
                ("failure", new TextOnly(failure is { } known ? $", {known.Text}" : "")),
            ]);
    }

    /// <param name="refused">How many requests, since the last such line, got nothing of the application.</param>
    /// <param name="last">What the last client was told.</param>
    public void RelayFails(long refused, in Refusal last) => Write(LogLines.RelayFails, [("refused", refused), .. Of(last)]);

    /// <param name="refused">How many requests got nothing of the application.</param>
    /// <param name="time">For how long that was so.</param>
    public void RelayWorks(long refused, TimeSpan time) => Write(LogLines.RelayWorks, [("refused", refused), ("seconds", Seconds(time))]);

    /// <param name="option">The option that sets the limit.</param>
    /// <param name="remote">The client that was refused.</param>
    /// <param name="refusal">What the client was told.</param>
    public void LimitReached(string option, EndPoint remote, in Refusal refusal)
    {
        LogLine line = LogLines.LimitReached(refusal.Reason);
        if (Passes(line))
            Write(line, [("option", option), .. Of(remote), .. Of(refusal)]);
    }

    public void ProxyHeadersDisagree(EndPoint proxy) => Write(LogLines.ProxyHeadersDisagree, Of(proxy));

    public void RequestRejected(EndPoint? remote, in Refusal refusal)
    {
        LogLine line = LogLines.Rejected(refusal.Reason);
        if (Passes(line))
            Write(line, [.. Of(remote), .. Of(refusal)]);
    }

    /// <summary>As <see cref="RequestRejected"/>, on the admin listener. It is another limit that turned the request away than those of clients.</summary>
    public void AdminRejected(EndPoint? remote, in Refusal refusal)
    {
        if (Passes(LogLines.AdminRejected))
            Write(LogLines.AdminRejected, [.. Of(remote), .. Of(refusal)]);
    }

    public void TooFewFiles(int wanted, int possible) => Write(LogLines.TooFewFiles, [("possible", possible), ("wanted", wanted)]);

    public void NoRoom(int port, int connections, int unfinished, int limit) =>
        Write(LogLines.NoRoom, [("connections", connections), ("unfinished", unfinished), ("limit", limit), ("port", port)]);

    public void CannotAccept(int port, SocketError error) =>
        Write(LogLines.CannotAccept, [("port", port), ("error", new SocketException((int)error).Message)]);

    public void LinesDropped(long lines) => Write(LogLines.LinesDropped, [("lines", lines)]);

    public void RoomAgain(int port) => Write(LogLines.RoomAgain, [("port", port)]);

    public void UpgradeFailed(EndPoint? remote, Exception error)
    {
        if (Passes(LogLines.UpgradeFailed))
            Write(LogLines.UpgradeFailed, [.. Of(remote), ("error", error.Message)]);
    }

    public void RequestFailed(Exception error) => Failed(LogLines.RequestFailed, [], error);

    public void RequestGone(Exception error) => Write(LogLines.RequestGone, [], error);

    public void AcceptFailed(Exception error) => Failed(LogLines.AcceptFailed, [], error);

    public void ConnectionFailed(long connection, Exception error) => Failed(LogLines.ConnectionFailed, [("connection", connection)], error);

    public void LoopFailed(Exception error) => Failed(LogLines.LoopFailed, [], error);

    /// <summary>An exception that nobody has caught, on a thread that is not ours.</summary>
    /// <returns>True: the server goes on.</returns>
    public bool Survived(Exception error)
    {
        try
        {
            Write(LogLines.Survived, [], error);
        }
        catch (OutOfMemoryException)
        {
            // There is no memory even for the line.
        }
        return true;
    }

    public void ChoreFailed(Exception error) => Failed(LogLines.ChoreFailed, [], error);

    public void Draining(string signal, int connections, TimeSpan window) => Write(
        LogLines.Draining, [("signal", signal), ("connections", connections), ("window_seconds", Seconds(window))]);

    public void CuttingRest(int connections) => Write(LogLines.CuttingRest, [("connections", connections)]);

    /// <param name="lateness">How late the beat is.</param>
    /// <param name="collector">How long the garbage collector paused the process meanwhile.</param>
    /// <param name="busy">How long the thread that beats ran meanwhile: it serves clients, too.</param>
    /// <param name="queued">Work items that wait in the thread pool.</param>
    public void BeatLate(TimeSpan lateness, TimeSpan collector, TimeSpan busy, long queued)
    {
        string reason = collector >= lateness / 2 ? "garbage collection" // first: it may run on this thread
            : busy >= lateness / 2 ? "this loop was busy with its clients"
            : queued > Environment.ProcessorCount ? "more work than this machine has processors for"
            : "the system did not let the process run";
        Write(
            LogLines.BeatLate,
            [("lateness_ms", Ms(lateness)), ("reason", reason), ("collector_pause_ms", Ms(collector)), ("queued_work", queued)]);
    }

    /// <summary>What the record says about the ends, or about many clients that were silent together.</summary>
    /// <param name="kind">Of the finding.</param>
    /// <param name="sentence">For a person.</param>
    public void Why(string kind, string sentence) => Write(LogLines.Why, [("kind", kind), ("sentence", sentence)]);

    public void Stopped() => Write(LogLines.Stopped, []);

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
        Write(
            LogLines.Summary,
            [
                ("uptime_seconds", Seconds(uptime)),
                ("connections", connections),
                ("peak", metrics.Peak),
                ("opened", metrics.Opened),
                ("refused", metrics.Refused),
                ("refusals", reasons.Length == 0 ? "none" : reasons),
                ("reasons", new TextOnly(reasons.Length == 0 ? "" : $": {reasons}")),
                ("ends", causes.Length == 0 ? "none" : causes),
                ("round_trip_p50_ms", Ms(times.Quantile(0.5))),
                ("round_trip_p95_ms", Ms(times.Quantile(0.95))),
                ("round_trip_p99_ms", Ms(times.Quantile(0.99))),
                ("round_trip_max_ms", Ms(times.Max)),
                ("pongs", times.Count),
                ("missed", metrics.Strikes),
                ("late", metrics.LatePongs),
                ("lateness_p50_ms", Ms(beat.Quantile(0.5))),
                ("lateness_p99_ms", Ms(beat.Quantile(0.99))),
                ("lateness_max_ms", Ms(beat.Max)),
                ("why", string.Join('\n', why.Select(finding => finding.Sentence))),
                ("sentences", new TextOnly(string.Join("\n               ", why.Select(finding => finding.Sentence)))),
            ]);
    }

    private DateTime Now => _time.GetUtcNow().UtcDateTime;

    private (string, object?)[] OfCertificate(IEnumerable<string> names, Validity validity, string file) =>
        [("names", string.Join(", ", names)), ("file", file), .. DatesOf(validity)];

    private (string, object?)[] DatesOf(Validity validity) =>
    [
        ("dates", new TextOnly(validity.Words(Now))),
        ("days_left", validity.DaysLeft(Now)),
        ("not_before", Validity.Day(validity.NotBefore)),
        ("not_after", Validity.Day(validity.NotAfter)),
    ];

    private void Collapsed(LogLine line, long more, TimeSpan time) => Write(
        line.Level switch
        {
            LogEventLevel.Error => LogLines.CollapsedErrors,
            LogEventLevel.Warning => LogLines.CollapsedWarnings,
            _ => LogLines.Collapsed,
        },
        [
            ("more", more),
            ("seconds", Seconds(time)),
            ("what", new TextOnly($"{line.Name} {line.Detail}".TrimEnd())),
            ("collapsed", line.Name),
            ("collapsed_detail", line.Detail.Length == 0 ? null : line.Detail),
        ]);

    /// <summary>Whether a line that clients can cause is written. If it is not, it is counted.</summary>
    /// <param name="line">The kind of the line.</param>
    /// <param name="isKept">Whether the line is written however many there are.</param>
    private bool Passes(LogLine line, bool isKept = false) =>
        _logger.IsEnabled(line.Level) && (IsDebug || isKept || _limit.TryPass(line));

    /// <summary>A bug shows whole in its first lines. A client that has found one must not fill the disk with them.</summary>
    private void Failed(LogLine line, ReadOnlySpan<(string Name, object? Value)> properties, Exception error)
    {
        if (Passes(line))
            Write(line, properties, error);
    }

    private void Write(LogLine line, ReadOnlySpan<(string Name, object? Value)> properties, Exception? error = null)
    {
        if (!_logger.IsEnabled(line.Level))
            return;
        var all = new List<LogEventProperty>(properties.Length + 1) { new("event", new ScalarValue(line.Name)) };
        foreach ((string name, object? value) in properties)
        {
            if (value is not null)
                all.Add(new LogEventProperty(name, new ScalarValue(value)));
        }
        _logger.Write(new LogEvent(_time.GetLocalNow(), line.Level, error, line.Template, all));
    }
}
