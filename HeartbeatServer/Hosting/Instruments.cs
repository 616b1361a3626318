using System.Diagnostics.Metrics;
using HeartbeatServer.Connections;
using HeartbeatServer.Options;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Hosting;

/// <summary>
/// Publishes what the server counts as instruments of the meter <c>HeartbeatServer</c>, for /metrics and for other listeners such as dotnet-counters
/// and OpenTelemetry. An instrument computes its value when a listener asks, so no ping and no message pays for it. Names and units follow the
/// conventions of OpenTelemetry.
/// </summary>
internal static class Instruments
{
    private static readonly KeyValuePair<string, object?> In = new("direction", "in");
    private static readonly KeyValuePair<string, object?> Out = new("direction", "out");

    /// <summary>Creates those that the options call for.</summary>
    /// <param name="context">What the server counts, and what the connections count themselves.</param>
    /// <param name="state">Asks the server for its state.</param>
    public static void Create(ServerContext context, Func<ServerState> state)
    {
        (ServerOptions options, _, _, ConnectionTable table, ServerMetrics metrics, _, _) = context;
        CreateAlways(metrics, table, options.MaxConnections, state);
        if (options.Upstream is not null)
            CreateUpstream(metrics, table);
        if (options.HasPages)
            CreatePages(metrics);
        if (context.Certificate is { } certificate)
            CreateCertificate(metrics, certificate);
    }

    private static void CreateAlways(ServerMetrics metrics, ConnectionTable table, int maxConnections, Func<ServerState> state)
    {
        Meter meter = metrics.Meter;
        meter.CreateObservableUpDownCounter("heartbeat.connections", () => table.Count, "{connection}", "Connections that are open");
        meter.CreateObservableGauge("heartbeat.connections.peak", () => metrics.Peak, "{connection}", "Most connections at one time");
        meter.CreateObservableGauge(
            "heartbeat.connections.limit", () => maxConnections, "{connection}", "Most connections that are let in; 0 for no limit");
        meter.CreateObservableGauge("heartbeat.connections.suspect", () => metrics.Suspects.Count, "{connection}", "Connections that missed their last pong");
        meter.CreateObservableCounter("heartbeat.connections.opened", () => metrics.Opened, "{connection}", "Connections that were upgraded");
        meter.CreateObservableCounter(
            "heartbeat.connections.ended",
            () => DisconnectCauses.All.SelectMany(cause => Ends(metrics, cause)),
            "{connection}",
            "Connections that ended, by cause, and a pong timeout by the kernel's verdict, too");
        meter.CreateObservableCounter(
            "heartbeat.upgrades.refused",
            () => RefusalReasons.All.Select(reason => Measured(metrics.Refusals(reason), "reason", reason.Name())),
            "{request}",
            "Requests that were refused, by reason");
        meter.CreateObservableCounter("heartbeat.pings", () => table.Totals().Pings, "{ping}", "Pings that were sent");
        meter.CreateObservableCounter("heartbeat.pongs", () => metrics.RoundTrips.Count, "{pong}", "Pongs that answered a ping, late ones included");
        meter.CreateObservableCounter("heartbeat.pongs.late", () => metrics.LatePongs, "{pong}", "Pongs that came after their deadline");
        meter.CreateObservableCounter("heartbeat.pongs.missed", () => metrics.Strikes, "{pong}", "Pings without a sign of life in time");
        meter.CreateObservableCounter("heartbeat.io", () => Bytes(table.Totals()), "By", "Bytes of WebSocket connections, headers of frames included");
        meter.CreateObservableCounter("heartbeat.messages", () => Messages(table.Totals()), "{message}", "Whole data messages");
        meter.CreateObservableGauge(
            "heartbeat.buffered", () => table.Buffers.Used, "By", "Memory of unfinished messages and of replies that wait for their clients");
        meter.CreateObservableGauge("heartbeat.buffered.limit", () => table.Buffers.Limit, "By", "Most such memory before a connection has to go");
        meter.CreateObservableCounter(
            "heartbeat.log.lines_dropped", () => metrics.LinesDropped(), "{line}", "Lines of the log that were dropped: the output is read too slowly");
        meter.CreateObservableGauge("heartbeat.draining", () => state() == ServerState.Draining ? 1 : 0, null, "1 while the server shuts down");
    }

    /// <summary>Adds the instrument of a port that speaks TLS.</summary>
    public static void CreateCertificate(ServerMetrics metrics, CertificateStore certificate) => metrics.Meter.CreateObservableGauge(
        "heartbeat.certificate.remaining", () => certificate.Left.TotalSeconds, "s", "Time until the certificate of the port ends; negative afterwards");

    /// <summary>Adds the instruments of a relay.</summary>
    public static void CreateUpstream(ServerMetrics metrics, ConnectionTable table)
    {
        metrics.CreateUpstream();
        metrics.Meter.CreateObservableCounter(
            "heartbeat.upstream.io", () => UpstreamBytes(table.Totals()), "By", "Bytes between the relay and the application, headers of frames included");
        metrics.Meter.CreateObservableCounter(
            "heartbeat.foreign_pings", () => metrics.ForeignPings, "{ping}", "Pings of the application that were passed to clients");
    }

    /// <summary>Adds the instruments of a relay that passes pages on, too.</summary>
    public static void CreatePages(ServerMetrics metrics)
    {
        metrics.Meter.CreateObservableUpDownCounter("heartbeat.pages.active", () => metrics.PagesUnderWay, "{request}", "Pages that are under way");
        metrics.Meter.CreateObservableCounter(
            "heartbeat.pages",
            () => ServerMetrics.StatusClasses.Select(each => Measured(metrics.Pages(each), "class", $"{each}xx")),
            "{request}",
            "Pages that the application has answered, by the class of the status");
        metrics.Meter.CreateObservableCounter(
            "heartbeat.pages.cut", () => metrics.PagesCut, "{request}", "Pages among them whose answer did not reach the client as a whole");
    }

    private static IEnumerable<Measurement<long>> UpstreamBytes(ConnectionTotals totals) =>
        [new(totals.UpstreamBytesIn, In), new(totals.UpstreamBytesOut, Out)];

    /// <summary>The ends by one cause. Only a pong timeout has a verdict; the others have an empty one, because all series need the same labels.</summary>
    private static IEnumerable<Measurement<long>> Ends(ServerMetrics metrics, DisconnectCause cause) => cause == DisconnectCause.PongTimeout
        ? PathVerdicts.All.Select(verdict => Ended(metrics.Verdicts(verdict), cause, verdict.Name()))
        : [Ended(metrics.Ends(cause), cause, "")];

    private static Measurement<long> Ended(long value, DisconnectCause cause, string verdict) =>
        new(value, new KeyValuePair<string, object?>("cause", cause.Name()), new KeyValuePair<string, object?>("verdict", verdict));

    private static IEnumerable<Measurement<long>> Bytes(ConnectionTotals totals) => [new(totals.BytesIn, In), new(totals.BytesOut, Out)];

    private static IEnumerable<Measurement<long>> Messages(ConnectionTotals totals) => [new(totals.MessagesIn, In), new(totals.MessagesOut, Out)];

    private static Measurement<long> Measured(long value, string tag, string text) => new(value, new KeyValuePair<string, object?>(tag, text));
}
