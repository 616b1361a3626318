using HeartbeatServer.Connections;
using HeartbeatServer.Protocol;


namespace HeartbeatServer.Admin;

/// <summary>The first so many connections of an order, without sorting the others.</summary>
/// <param name="count">How many.</param>
/// <param name="sort">The order. What has no round trip comes last in an order by round trips; equals come by their number.</param>
/// <param name="descending">Largest first.</param>
internal sealed class PageOf(int count, SortKey sort, bool descending)
{
    /// <summary>The last of those that are kept is at the root, so that it is the one to go when a better one comes.</summary>
    private static readonly Comparer<(double, double, long)> LastFirst = Comparer<(double, double, long)>.Create((a, b) => b.CompareTo(a));

    private readonly PriorityQueue<Connection, (double, double, long)> _kept = new(LastFirst);

    public void Offer(Connection connection, in ConnectionFigures figures)
    {
        RoundTrips times = figures.RoundTrips;
        double roundTrip = times.Count > 0 ? Signed(times.Last.TotalMilliseconds) : double.PositiveInfinity;
        (double First, double Second) key = sort switch
        {
            SortKey.Id => (Signed(connection.Id), 0),
            SortKey.Age => (Signed(figures.Age.TotalSeconds), 0),
            SortKey.RoundTrip => (roundTrip, 0),
            SortKey.Strikes => (Signed(figures.Strikes), 0),
            SortKey.Bytes => (Signed(figures.BytesIn + figures.BytesOut), 0),
            SortKey.Late => (Signed(figures.Late), 0),
            SortKey.Missed => (Signed(figures.Missed), 0),
            _ => (Signed(figures.Strikes), roundTrip),
        };
        (double, double, long) place = (key.First, key.Second, connection.Id);
        if (_kept.Count < count)
            _kept.Enqueue(connection, place);
        else
            _kept.EnqueueDequeue(connection, place);
    }

    /// <summary>Those that are kept, in order, without the first so many. To be called once.</summary>
    public IEnumerable<Connection> From(int offset)
    {
        var ordered = new Connection[Math.Max(0, _kept.Count - offset)];
        for (int i = ordered.Length - 1; i >= 0; i--)
            ordered[i] = _kept.Dequeue();
        return ordered;
    }

    private double Signed(double value) => descending ? -value : value;
}
