using System.Net;
using HeartbeatServer.Protocol;
using Serilog;
using Serilog.Core;
using Serilog.Events;

namespace HeartbeatServer.Telemetry;

/// <summary>Every line that the server logs. Properties have their unit in their name.</summary>
internal sealed class ServerLog(ILogger logger)
{
    /// <summary>Whether pings and pongs are logged: asked before a line is put together for each of them.</summary>
    public bool IsDebug => logger.IsEnabled(LogEventLevel.Debug);

    public void Listening(string url, string healthUrl, string heartbeat, string shutdown) => logger.Information(
        "Listening on {Url:l} (health: {HealthUrl:l}). {Heartbeat:l}. {Shutdown:l}.", url, healthUrl, heartbeat, shutdown);

    public void Connected(long connection, EndPoint remote, int connections) => logger.Information(
        "#{Connection} {Remote:l} connected, {Connections} now", connection, Text(remote), connections);

    public void Ended(long connection, EndPoint remote, Disconnect end, in ConnectionFigures figures)
    {
        const string who = "#{Connection} {Remote:l} ended: {Cause:l} by {EndedBy:l} after {AgeSeconds:0.0}s, {Detail:l} | ";
        const string beats = "pings {Pings} pongs {Pongs} missed {Missed} late {Late} | ";
        const string roundTrip = "round trip last {RoundTripLastMs:0.00}ms mean {RoundTripMeanMs:0.00}ms | ";
        const string traffic =
            "in {MessagesIn} msg {BytesIn} B, out {MessagesOut} msg {BytesOut} B | last byte {LastByteSecondsAgo:0.0}s ago";

        object?[] head = [connection, Text(remote), end.Cause.Name(), end.Cause.EndedBy(), figures.Age.TotalSeconds, end.Detail];
        object?[] heart = [figures.Pings, figures.Pongs, figures.Missed, figures.Late];
        object?[] tail = [figures.MessagesIn, figures.BytesIn, figures.MessagesOut, figures.BytesOut, figures.SinceLastByte.TotalSeconds];
        LogEventLevel level = end.Error is null ? LogEventLevel.Information : LogEventLevel.Error;
        if (figures.RoundTrips.Count == 0)
        {
            logger.Write(level, end.Error, who + beats + "no round trip | " + traffic, [.. head, .. heart, .. tail]);
            return;
        }
        object?[] times = [figures.RoundTrips.Last.TotalMilliseconds, figures.RoundTrips.Mean.TotalMilliseconds];
        logger.Write(level, end.Error, who + beats + roundTrip + traffic, [.. head, .. heart, .. times, .. tail]);
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

    public void Refused(EndPoint? remote, string method, string? url, int status, string reason) => logger.Information(
        "Refused {Method:l} {Url:l} from {Remote:l}: {Status} {Reason:l}", method, url, Text(remote), status, reason);

    public void RequestRejected(EndPoint? remote, int status, string reason) => logger.Information(
        "Rejected a request from {Remote:l}: {Status} {Reason:l}", Text(remote), status, reason);

    public void NoRoom(int connections, int limit) => logger.Warning(
        "No room: {Connections} connection(s), and the limit of open files (ulimit -n) allows {Limit}. The port is closed until some leave.",
        connections,
        limit);

    public void RoomAgain(int connections, int limit) => logger.Information(
        "Room again: {Connections} connection(s) of {Limit}. The port is open.", connections, limit);

    public void UpgradeFailed(EndPoint? remote, Exception error) => logger.Information(
        "Upgrade of {Remote:l} failed: {Error:l}", Text(remote), error.Message);

    public void RequestFailed(Exception error) => logger.Error(error, "A request failed; the server goes on");

    public void AcceptFailed(Exception error) => logger.Error(error, "Accepting a request failed; the server goes on");

    public void Draining(string signal, int connections, TimeSpan window) => logger.Information(
        "{Signal:l}: draining, {Connections} connection(s) get Close 1001, at most {WindowSeconds:0.###}s. Again to cut at once.",
        signal,
        connections,
        window.TotalSeconds);

    public void CuttingRest(int connections) => logger.Warning(
        "{Connections} connection(s) did not close in time and are cut", connections);

    public void Stopped(ServerMetrics metrics, TimeSpan uptime, TimeSpan maxLateness)
    {
        string causes = string.Join(
            ", ",
            DisconnectCauses.All.Where(cause => metrics.Ends(cause) > 0).Select(cause => $"{cause.Name()} {metrics.Ends(cause)}"));
        logger.Information(
            "Stopped after {UptimeSeconds:0.0}s: {Opened} connection(s), at most {Peak} at once, {Refused} refused. Ends: {Ends:l}. "
            + "Strikes {Strikes}, late pongs {LatePongs}. The beat was at most {MaxLatenessMs:0.0}ms late.",
            uptime.TotalSeconds,
            metrics.Opened,
            metrics.Peak,
            metrics.Refused,
            causes.Length == 0 ? "none" : causes,
            metrics.Strikes,
            metrics.LatePongs,
            maxLateness.TotalMilliseconds);
    }

    private static string Text(EndPoint? remote) => remote?.ToString() ?? "unknown";
}
