using System.Buffers;
using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;

namespace HeartbeatServer.Connections;

/// <summary>The connections that are open, by number; and what those did that have left.</summary>
internal sealed class ConnectionTable
{
    private readonly ConcurrentDictionary<long, Connection> _connections = new();

    // A connection's figures go from the table to the totals under this lock, which readers hold only to copy references.
    private readonly Lock _leaving = new();
    private ConnectionTotals _left;
    private long _lastId;
    private int _count;

    /// <summary>How many are open. Costs no lock, unlike the count of the dictionary.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>A number for the next connection, from 1.</summary>
    public long NextId() => Interlocked.Increment(ref _lastId);

    /// <returns>How many are open now.</returns>
    public int Add(Connection connection)
    {
        _connections[connection.Id] = connection;
        return Interlocked.Increment(ref _count);
    }

    /// <summary>Takes out a connection that has run to its end.</summary>
    public void Remove(Connection connection)
    {
        lock (_leaving)
        {
            if (!_connections.TryRemove(connection.Id, out _))
                return;
            _left = _left.Plus(connection.Figures());
        }
        Interlocked.Decrement(ref _count);
    }

    public bool TryGet(long id, [NotNullWhen(true)] out Connection? connection) => _connections.TryGetValue(id, out connection);

    /// <summary>Those that are open at about this time.</summary>
    public IEnumerable<Connection> Snapshot() => _connections.Select(pair => pair.Value);

    /// <summary>All connections that were ever here, at one moment. To be disposed of.</summary>
    public TableReading Read()
    {
        // Some may come in meanwhile.
        Connection[] open = ArrayPool<Connection>.Shared.Rent(Count + 64);
        int count = 0;
        lock (_leaving)
        {
            foreach ((_, Connection connection) in _connections)
            {
                if (count == open.Length)
                {
                    Connection[] larger = ArrayPool<Connection>.Shared.Rent(2 * count);
                    open.CopyTo(larger, 0);
                    ArrayPool<Connection>.Shared.Return(open, clearArray: true);
                    open = larger;
                }
                open[count++] = connection;
            }
            return new TableReading(open, count, _left);
        }
    }

    /// <summary>What all connections did since the start, those that are open included.</summary>
    public ConnectionTotals Totals()
    {
        using TableReading reading = Read();
        ConnectionTotals totals = reading.Left;
        foreach (Connection connection in reading.Open)
            totals = totals.Plus(connection.Figures());
        return totals;
    }
}
