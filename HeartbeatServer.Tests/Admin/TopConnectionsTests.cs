using System.Net;
using HeartbeatServer.Admin;
using HeartbeatServer.Connections;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;
using Serilog.Core;

namespace HeartbeatServer.Tests.Admin;

public sealed class TopConnectionsTests
{
    private readonly TestClock _clock = new();
    private readonly ServerMetrics _metrics = new();
    private readonly Logger _logger = new LogSink().Logger();

    [OneTimeTearDown]
    public void TearDown()
    {
        _metrics.Dispose();
        _logger.Dispose();
    }

    /// <summary>Compares the result with that of sorting all connections.</summary>
    [Test]
    public void A_page_is_the_same_as_if_all_had_been_sorted(
        [Values] SortOf sort, [Values] bool descending, [Values(0, 3, 190)] int offset, [Values(1, 20)] int limit)
    {
        var random = new Random(7);
        (Connection Connection, ConnectionFigures Figures)[] all = [.. Enumerable.Range(1, 200).Select(id => (Make(id), Figures(random)))];
        Func<ConnectionFigures, long, double> key = Key(sort);
        int sign = descending ? -1 : 1;
        IEnumerable<long> expected = all
            .OrderBy(each => sort is SortOf.RoundTrip && each.Figures.RoundTrips.Count == 0)
            .ThenBy(each => sign * key(each.Figures, each.Connection.Id))
            .ThenBy(each => sort is SortOf.Worst && each.Figures.RoundTrips.Count == 0)
            .ThenBy(each => sort is SortOf.Worst ? sign * each.Figures.RoundTrips.Last.Ticks : 0)
            .ThenBy(each => each.Connection.Id)
            .Skip(offset)
            .Take(limit)
            .Select(each => each.Connection.Id);

        var page = new TopConnections(offset + limit, Enum.Parse<SortKey>(sort.ToString()), descending);
        foreach ((Connection connection, ConnectionFigures figures) in all)
            page.Offer(connection, figures);

        Assert.That(page.From(offset).Select(connection => connection.Id), Is.EqualTo(expected));
    }

    [Test]
    public void The_worst_come_first_and_those_without_a_round_trip_last()
    {
        var page = new TopConnections(10, SortKey.Worst, descending: true);
        page.Offer(Make(1), With(strikes: 0, roundTripMs: 5));
        page.Offer(Make(2), With(strikes: 2, roundTripMs: null));
        page.Offer(Make(3), With(strikes: 2, roundTripMs: 1));
        page.Offer(Make(4), With(strikes: 0, roundTripMs: 900));
        page.Offer(Make(5), With(strikes: 0, roundTripMs: null));

        Assert.That(page.From(0).Select(connection => connection.Id), Is.EqualTo(new[] { 3, 2, 4, 1, 5 }));
    }

    /// <summary>Has the values of <see cref="SortKey"/>, because that type is internal and cannot be a parameter of a public test.</summary>
    public enum SortOf
    {
        Worst,
        Id,
        Age,
        RoundTrip,
        Strikes,
        Bytes,
        Late,
        Missed,
    }

    private static Func<ConnectionFigures, long, double> Key(SortOf sort) => sort switch
    {
        SortOf.Id => (_, id) => id,
        SortOf.Age => (figures, _) => figures.Age.Ticks,
        SortOf.RoundTrip => (figures, _) => figures.RoundTrips.Last.Ticks,
        SortOf.Bytes => (figures, _) => figures.BytesIn + figures.BytesOut,
        SortOf.Late => (figures, _) => figures.Late,
        SortOf.Missed => (figures, _) => figures.Missed,
        _ => (figures, _) => figures.Strikes,
    };

    private static ConnectionFigures Figures(Random random)
    {
        var times = new RoundTrips();
        if (random.Next(4) > 0)
            times.Add(TimeSpan.FromMilliseconds(random.Next(5)));
        return new ConnectionFigures
        {
            Age = TimeSpan.FromSeconds(random.Next(50)),
            Missed = random.Next(5),
            Late = random.Next(5),
            Strikes = random.Next(3),
            RoundTrips = times,
            BytesIn = random.Next(100),
            BytesOut = random.Next(100),
        };
    }

    private static ConnectionFigures With(int strikes, int? roundTripMs)
    {
        var times = new RoundTrips();
        if (roundTripMs is { } ms)
            times.Add(TimeSpan.FromMilliseconds(ms));
        return new ConnectionFigures { Strikes = strikes, RoundTrips = times };
    }

    private EchoConnection Make(long id) => new EchoConnection(
        id,
        new IPEndPoint(IPAddress.Loopback, 1),
        new PipeStream(),
        new ConnectionContext(new HeartbeatTimings(default, default, 1), Echo: true, MaxMessage: 1, WriteTimeout: default, new ConnectionTable().Buffers, new ServerLog(_logger), _metrics),
        0,
        _clock.Wheel);
}
