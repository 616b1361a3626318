using HeartbeatServer.Connections;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Admin;

/// <summary>
/// Keeps the first so many of the connections that are offered, in a chosen order, without sorting the others. Connections without a round trip come
/// last in an order by round trips. Equal connections come in the order of their numbers.
/// </summary>
/// <param name="count">How many connections are kept.</param>
/// <param name="sort">What the order goes by.</param>
/// <param name="descending">Whether the largest comes first.</param>
internal sealed class TopConnections(int count, SortKey sort, bool descending)
{
    /// <summary>The last of the kept connections is at the root of the queue, so that it is the one to go when a better one is offered.</summary>
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

    /// <summary>The kept connections in order, from a place on. The call empties the queue, so there is only one.</summary>
    /// <param name="offset">The place of the first one to be returned, from 0.</param>
    public IEnumerable<Connection> From(int offset)
    {
        var ordered = new Connection[Math.Max(0, _kept.Count - offset)];
        for (int i = ordered.Length - 1; i >= 0; i--)
            ordered[i] = _kept.Dequeue();
        return ordered;
    }

    private double Signed(double value) => descending ? -value : value;
}
