using System.Buffers;
using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;

namespace HeartbeatServer.Connections;

/// <summary>The open connections by their numbers, the memory that they may hold together, and the totals of those that have left.</summary>
internal sealed class ConnectionTable
{
    private readonly ConcurrentDictionary<long, Connection> _connections = new();

    // A leaving connection moves its figures from the table to the totals under this lock. A snapshot takes it only to copy references.
    private readonly Lock _leaving = new();
    private ConnectionTotals _left;
    private long _lastId;
    private int _count;

    /// <param name="maxBuffered">See <see cref="BufferBudget"/>; in bytes.</param>
    public ConnectionTable(long maxBuffered = long.MaxValue) => Buffers = new BufferBudget(maxBuffered, this);

    public BufferBudget Buffers { get; }

    /// <summary>
    /// How many connections are open. Reading it takes no lock; reading the dictionary's count takes all of the dictionary's locks.
    /// </summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>The open connections. They may come and go while the caller enumerates.</summary>
    public IEnumerable<Connection> Open => _connections.Select(pair => pair.Value);

    /// <summary>Gives the number of the next connection. Numbers begin at 1.</summary>
    public long NextId() => Interlocked.Increment(ref _lastId);

    /// <returns>How many connections are open now.</returns>
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

    /// <summary>
    /// Takes a snapshot of all connections at one moment: the open ones, and the totals of those that have left. The caller disposes of the snapshot.
    /// </summary>
    public TableSnapshot Snapshot()
    {
        // Some connections may open before the lock is taken.
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
            return new TableSnapshot(open, count, _left);
        }
    }

    /// <summary>What all connections have done since the start, the open ones included.</summary>
    public ConnectionTotals Totals()
    {
        using TableSnapshot snapshot = Snapshot();
        ConnectionTotals totals = snapshot.Left;
        foreach (Connection connection in snapshot.Open)
            totals = totals.Plus(connection.Figures());
        return totals;
    }
}
