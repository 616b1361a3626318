using System.Globalization;
using System.Net;
using HeartbeatServer.Connections;
using HeartbeatServer.Engine;
using HeartbeatServer.Hosting;
using HeartbeatServer.Options;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Admin;

/// <summary>What the server can say of itself, its connections and their ends.</summary>
internal sealed class Status
{
    private readonly ServerOptions _options;
    private readonly TimeProvider _time;
    private readonly EventLoops _loops;
    private readonly ConnectionTable _table;
    private readonly ServerMetrics _metrics;
    private readonly EndLog _ends;
    private readonly Func<ServerState> _state;
    private readonly DateTime _started;
    private readonly TimeSpan _startedAt;

    public Status(
        ServerOptions options,
        TimeProvider time,
        EventLoops loops,
        ConnectionTable table,
        ServerMetrics metrics,
        EndLog ends,
        Func<ServerState> state)
    {
        (_options, _time, _loops, _table, _metrics, _ends, _state) = (options, time, loops, table, metrics, ends, state);
        (_started, _startedAt) = (time.GetUtcNow().UtcDateTime, loops.Now);
    }

    /// <summary>Everything, with a page of the connections.</summary>
    /// <exception cref="BadQueryException">A parameter cannot be read.</exception>
    public StatusJson All(StatusQuery query)
    {
        var (offset, limit, search) = (query.Offset, query.Limit, query.Search);
        var page = new TopConnections(offset + limit, query.Sort, query.IsDescending);
        using TableSnapshot snapshot = _table.Snapshot();
        ConnectionTotals totals = snapshot.Left;
        int suspect = 0;
        int matching = 0;
        foreach (Connection connection in snapshot.Open)
        {
            ConnectionFigures figures = connection.Figures();
            totals = totals.Plus(figures);
            if (figures.Strikes > 0)
                suspect++;
            if (!Matches(search, connection.Id, connection.Remote))
                continue;
            matching++;
            page.Offer(connection, figures);
        }

        return new StatusJson(
            BuildVersion.Text,
            JsonTime.Instant(_started),
            JsonTime.Instant(_time.GetUtcNow().UtcDateTime),
            JsonTime.Seconds(_loops.Now - _startedAt),
            _state().Name(),
            OptionTable.Texts(_options),
            new TotalsJson(
                _table.Count,
                _metrics.Peak,
                _metrics.Opened,
                _metrics.Ended,
                _metrics.Refused,
                DisconnectCauses.All.ToDictionary(cause => cause.Name(), _metrics.Ends),
                RefusalReasons.All.ToDictionary(reason => reason.Name(), _metrics.Refusals),
                totals.Pings,
                _metrics.RoundTrips.Count,
                _metrics.Strikes,
                _metrics.LatePongs,
                totals.BytesIn,
                totals.BytesOut,
                totals.MessagesIn,
                totals.MessagesOut,
                suspect),
            RoundTripQuantiles(),
            Lateness(),
            new PageJson(matching, offset, limit, [.. page.From(offset).Select(Json)]));
    }

    /// <summary>A connection that is open.</summary>
    public ConnectionJson? Open(long id) => _table.TryGet(id, out Connection? connection) ? Json(connection) : null;

    /// <summary>A connection that has ended and is remembered.</summary>
    public EndedConnectionJson? Ended(long id) =>
        _ends.After(0).FirstOrDefault(end => end.Id == id) is { } end ? new EndedConnectionJson(id, Json(end)) : null;

    /// <summary>The latest ends, newest first. The total is of all that match, not only of those on the page.</summary>
    /// <exception cref="BadQueryException">A parameter cannot be read.</exception>
    public EndsJson Ends(StatusQuery query)
    {
        var (limit, search) = (query.Limit, query.Search);
        EndRecord[] found =
            [.. _ends.After(query.After).Where(end => Matches(search, end.Id, end.Remote) || end.Cause.Name().Contains(search, StringComparison.OrdinalIgnoreCase))];
        return new EndsJson(found.Length, [.. found.Take(limit).Select(Json)]);
    }

    /// <summary>Whether a text is in the client's address, or is the number of the connection.</summary>
    private static bool Matches(string search, long id, EndPoint remote) =>
        search.Length == 0
        || (long.TryParse(search.AsSpan().TrimStart('#'), NumberStyles.None, CultureInfo.InvariantCulture, out long number) && number == id)
        || remote.ToString()!.Contains(search, StringComparison.OrdinalIgnoreCase);

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
        return new ConnectionJson(
            connection.Id,
            connection.Remote.ToString()!,
            JsonTime.Instant(_started + (connection.Opened - _startedAt)),
            JsonTime.Seconds(figures.Age),
            figures.State,
            figures.Strikes,
            figures.Pings,
            figures.Pongs,
            figures.Missed,
            figures.Late,
            Json(figures.RoundTrips),
            [.. figures.RoundTrips.RecentMs().Select(time => Math.Round(time, 3))],
            figures.BytesIn,
            figures.BytesOut,
            figures.MessagesIn,
            figures.MessagesOut,
            JsonTime.Seconds(figures.SinceLastByte));
    }

    private static EndJson Json(EndRecord end) => new(
        end.Sequence,
        end.Id,
        JsonTime.Instant(end.At),
        end.Remote.ToString()!,
        end.Cause.Name(),
        end.Cause.EndedBy(),
        end.Detail,
        end.Verdict?.Name(),
        JsonTime.Seconds(end.Figures.Age),
        end.Figures.Pings,
        end.Figures.Pongs,
        end.Figures.Missed,
        end.Figures.Late,
        Json(end.Figures.RoundTrips),
        end.Figures.BytesIn,
        end.Figures.BytesOut,
        end.Figures.MessagesIn,
        end.Figures.MessagesOut,
        JsonTime.Seconds(end.Figures.SinceLastByte));

    private static RoundTripJson? Json(in RoundTrips times) => times.Count == 0
        ? null
        : new RoundTripJson(JsonTime.Ms(times.Last), JsonTime.Ms(times.Min), JsonTime.Ms(times.Mean), JsonTime.Ms(times.Max), JsonTime.Ms(times.Jitter));
}
