using System.Collections.Concurrent;

namespace HeartbeatServer.Connections;

/// <summary>The connections that are open, by number.</summary>
internal sealed class ConnectionTable
{
    private readonly ConcurrentDictionary<long, Connection> _connections = new();
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

    public void Remove(Connection connection)
    {
        if (_connections.TryRemove(connection.Id, out _))
            Interlocked.Decrement(ref _count);
    }

    /// <summary>Those that are open at about this time.</summary>
    public IEnumerable<Connection> Snapshot() => _connections.Select(pair => pair.Value);
}
