using System.Globalization;
using System.Net;
using HeartbeatServer.Connections;
using HeartbeatServer.Engine;
using HeartbeatServer.Hosting;
using HeartbeatServer.Options;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Admin;

/// <summary>Describes the server, its connections and their ends, for /status.</summary>
internal sealed class Status
{
    private readonly ServerOptions _options;
    private readonly TimeProvider _time;
    private readonly EventLoops _loops;
    private readonly ConnectionTable _table;
    private readonly ServerMetrics _metrics;
    private readonly EndLog _ends;
    private readonly CertificateStore? _certificate;
    private readonly WhyWatch _why;
    private readonly Func<ServerState> _state;

    // The start of the server: for the calendar, and on the clock of the wheels.
    private readonly DateTime _started;
    private readonly TimeSpan _startedAt;

    public Status(ServerContext context, WhyWatch why, Func<ServerState> state)
    {
        (_options, _time, _loops, _table, _metrics, _ends, _) = context;
        (_why, _state, _certificate) = (why, state, context.Certificate);
        (_started, _startedAt) = (_time.GetUtcNow().UtcDateTime, _loops.Now);
    }

    /// <summary>The whole server, and one page of its connections.</summary>
    /// <exception cref="BadQueryException">A parameter cannot be read.</exception>
    public StatusJson All(StatusQuery query)
    {
        var (offset, limit, search, state) = (query.Offset, query.Limit, query.Search, query.State);
        var page = new TopConnections(offset + limit, query.Sort, query.IsDescending);
        using TableSnapshot snapshot = _table.Snapshot();
        ConnectionTotals totals = snapshot.Left;
        int matching = 0;
        foreach (Connection connection in snapshot.Open)
        {
            ConnectionFigures figures = connection.Figures();
            totals = totals.Plus(figures);
            if ((state is not null && figures.State != state) || !Matches(search, connection.Id, connection.Remote, connection.Client))
                continue;
            matching++;
            page.Offer(connection, figures);
        }

        return new StatusJson
        {
            Version = BuildVersion.Text,
            Started = JsonTime.Instant(_started),
            Now = JsonTime.Instant(_time.GetUtcNow().UtcDateTime),
            UptimeSeconds = JsonTime.Seconds(_loops.Now - _startedAt),
            State = _state().Name(),
            Options = OptionTable.Texts(_options),
            Certificate = _certificate is { } certificate
                ? new CertificateJson(
                    certificate.Current.Names,
                    JsonTime.Instant(certificate.Current.Validity.NotBefore),
                    JsonTime.Instant(certificate.Current.Validity.NotAfter),
                    certificate.DaysLeft,
                    JsonTime.Instant(certificate.Loaded))
                : null,
            Totals = new TotalsJson
            {
                Connections = _table.Count,
                Peak = _metrics.Peak,
                Opened = _metrics.Opened,
                Ended = _metrics.Ended,
                Refused = _metrics.Refused,
                Ends = DisconnectCauses.All.ToDictionary(cause => cause.Name(), _metrics.Ends),
                Refusals = RefusalReasons.All.ToDictionary(reason => reason.Name(), _metrics.Refusals),
                Pings = totals.Pings,
                Pongs = _metrics.RoundTrips.Count,
                Missed = _metrics.Strikes,
                Late = _metrics.LatePongs,
                BytesIn = totals.BytesIn,
                BytesOut = totals.BytesOut,
                MessagesIn = totals.MessagesIn,
                MessagesOut = totals.MessagesOut,
                Suspect = _metrics.Suspects.Count,
                LogLinesDropped = _metrics.LinesDropped(),
            },
            Pages = Pages(),
            RoundTripMs = RoundTripQuantiles(),
            LatenessMs = Lateness(),
            Connections = new PageJson(matching, offset, limit, [.. page.From(offset).Select(Json)]),
        };
    }

    /// <summary>One connection; null if it is not open.</summary>
    public ConnectionJson? Open(long id) => _table.TryGet(id, out Connection? connection) ? Json(connection) : null;

    /// <summary>One connection that has ended; null if its end is not remembered.</summary>
    public EndedConnectionJson? Ended(long id) =>
        _ends.After(0).FirstOrDefault(end => end.Id == id) is { } end ? new EndedConnectionJson(id, Json(end)) : null;

    /// <summary>The latest ends, newest first. The total counts all that match, on the page or not.</summary>
    /// <exception cref="BadQueryException">A parameter cannot be read.</exception>
    public EndsJson Ends(StatusQuery query)
    {
        var (limit, search) = (query.Limit, query.Search);
        EndRecord[] found = [.. _ends.After(query.After).Where(IsFound)];
        return new EndsJson(found.Length, [.. found.Take(limit).Select(Json)]);

        bool IsFound(EndRecord end) =>
            Matches(search, end.Id, end.Remote, end.Client) || end.End.Cause.Name().Contains(search, StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>How long the round trips took, all since the start.</summary>
    public RoundTripsJson RoundTripsSinceStart()
    {
        (TimeSpan UpTo, long Count)[] filled = [.. _metrics.RoundTrips.Filled()];
        return new RoundTripsJson([.. filled.Select(bucket => JsonTime.Ms(bucket.UpTo))], [.. filled.Select(bucket => bucket.Count)]);
    }

    /// <summary>Why connections end, and why clients are silent.</summary>
    public WhyJson Why()
    {
        (DateTime now, TimeSpan moment) = (_time.GetUtcNow().UtcDateTime, _loops.Now);
        return new WhyJson(JsonTime.Instant(now), _table.Count, _ends.Count, [.. _why.Findings().Select(Json)]);

        FindingJson Json(Finding finding) => new()
        {
            Kind = finding.Kind.Name(),
            Sentence = finding.Sentence,
            Count = finding.Count,
            Of = finding.Of,
            Seconds = finding.Length is { } length ? JsonTime.Seconds(length) : null,
            From = Calendar(finding.From),
            To = Calendar(finding.To),
            Causes = finding.Causes,
            Candidates = finding.Candidates,
            Ping = finding.Ping,
        };

        DateTime? Calendar(TimeSpan? then) => then is { } known ? JsonTime.Instant(now - (moment - known)) : null;
    }

    /// <summary>
    /// Whether a search finds a connection: by a part of the client's address, by a part of what the client said of itself, or by the number of the
    /// connection, with or without #.
    /// </summary>
    private static bool Matches(string search, long id, EndPoint remote, ClientInfo client) =>
        search.Length == 0
        || (long.TryParse(search.AsSpan().TrimStart('#'), NumberStyles.None, CultureInfo.InvariantCulture, out long number) && number == id)
        || new[] { remote.ToString(), client.Path, client.UserAgent, client.Origin, client.Subprotocol }
            .Any(text => text?.Contains(search, StringComparison.OrdinalIgnoreCase) == true);

    private PagesJson? Pages() => !_options.HasPages
        ? null
        : new PagesJson(_metrics.PagesUnderWay, ServerMetrics.StatusClasses.ToDictionary(each => $"{each}xx", _metrics.Pages), _metrics.PagesCut);

    private QuantilesJson RoundTripQuantiles()
    {
        LatencyHistogram times = _metrics.RoundTrips;
        return times.Count == 0
            ? new QuantilesJson(null, null, null, null)
            : new QuantilesJson(
                JsonTime.Ms(times.Quantile(0.5)), JsonTime.Ms(times.Quantile(0.95)), JsonTime.Ms(times.Quantile(0.99)), JsonTime.Ms(times.Max));
    }

    private LatenessJson Lateness()
    {
        LatencyHistogram beat = _metrics.BeatLateness;
        return beat.Count == 0
            ? new LatenessJson(null, null, null)
            : new LatenessJson(JsonTime.Ms(_loops.Lateness), JsonTime.Ms(beat.Quantile(0.99)), JsonTime.Ms(beat.Max));
    }

    private ConnectionJson Json(Connection connection)
    {
        ConnectionFigures figures = connection.Figures();
        return new ConnectionJson
        {
            Id = connection.Id,
            Remote = connection.Remote.ToString()!,
            Path = connection.Client.Path,
            UserAgent = connection.Client.UserAgent,
            Origin = connection.Client.Origin,
            Subprotocol = connection.Client.Subprotocol,
            Opened = JsonTime.Instant(_started + (connection.Opened - _startedAt)),
            AgeSeconds = JsonTime.Seconds(figures.Age),
            State = figures.State,
            Strikes = figures.Strikes,
            Pings = figures.Pings,
            Pongs = figures.Pongs,
            Missed = figures.Missed,
            Late = figures.Late,
            OtherPongs = figures.OtherPongs,
            RoundTripMs = Json(figures.RoundTrips),
            RecentMs = [.. figures.RoundTrips.RecentMs().Select(time => Math.Round(time, 3))],
            BytesIn = figures.BytesIn,
            BytesOut = figures.BytesOut,
            MessagesIn = figures.MessagesIn,
            MessagesOut = figures.MessagesOut,
            LastByteSeconds = JsonTime.Seconds(figures.SinceLastByte),
            LastSentSeconds = JsonTime.Seconds(figures.SinceLastSent),
            Upstream = Json(figures.Upstream, connection.UpstreamTcp?.RoundTrip),
        };
    }

    private static UpstreamJson? Json(UpstreamFigures? leg, TimeSpan? kernelRoundTrip) => leg is null ? null : new UpstreamJson
    {
        Address = leg.Address,
        HandshakeMs = JsonTime.Ms(leg.Handshake),
        KernelRoundTripMs = kernelRoundTrip is { } time ? JsonTime.Ms(time) : null,
        BytesIn = leg.BytesIn,
        BytesOut = leg.BytesOut,
        LastByteSeconds = JsonTime.Seconds(leg.SinceLastByte),
        NotReadSeconds = leg.NotReadFor is { } wait ? JsonTime.Seconds(wait) : null,
        InsideFrame = leg.IsInsideFrame,
    };

    private static EndJson Json(EndRecord end) => new()
    {
        Seq = end.Sequence,
        Id = end.Id,
        At = JsonTime.Instant(end.At),
        Remote = end.Remote.ToString()!,
        Path = end.Client.Path,
        UserAgent = end.Client.UserAgent,
        Origin = end.Client.Origin,
        Subprotocol = end.Client.Subprotocol,
        Cause = end.End.Cause.Name(),
        By = end.End.Cause.EndedBy(),
        Detail = end.End.Detail,
        Verdict = end.End.Verdict?.Name(),
        AgeSeconds = JsonTime.Seconds(end.Figures.Age),
        Pings = end.Figures.Pings,
        Pongs = end.Figures.Pongs,
        Missed = end.Figures.Missed,
        Late = end.Figures.Late,
        OtherPongs = end.Figures.OtherPongs,
        SubprotocolsNotSpoken = end.Figures.OffersNotSpoken,
        RoundTripMs = Json(end.Figures.RoundTrips),
        KernelRoundTripMs = end.End.Tcp is { } tcp ? JsonTime.Ms(tcp.RoundTrip) : null,
        Retransmissions = end.End.Tcp?.Retransmissions,
        BytesIn = end.Figures.BytesIn,
        BytesOut = end.Figures.BytesOut,
        MessagesIn = end.Figures.MessagesIn,
        MessagesOut = end.Figures.MessagesOut,
        LastByteSeconds = JsonTime.Seconds(end.Figures.SinceLastByte),
        LastSentSeconds = JsonTime.Seconds(end.Figures.SinceLastSent),
        Upstream = Json(end.Figures.Upstream, end.Figures.Upstream?.KernelRoundTrip),
    };

    private static RoundTripJson? Json(in RoundTrips times) => times.Count == 0
        ? null
        : new RoundTripJson(JsonTime.Ms(times.Last), JsonTime.Ms(times.Min), JsonTime.Ms(times.Mean), JsonTime.Ms(times.Max), JsonTime.Ms(times.Jitter));
}
