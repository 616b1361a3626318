using System.Buffers;

namespace HeartbeatServer.Connections;

/// <summary>
/// All connections at one moment. Each connection is either among the open ones or in the totals of those that have left, never in both and never in
/// neither. So a sum over both never goes down from one snapshot to the next.
/// </summary>
/// <param name="rented">Holds the open connections. It goes back to the pool when the snapshot is disposed of.</param>
/// <param name="count">How many of the array's elements are open connections.</param>
/// <param name="left">The totals of the connections that had left by then.</param>
internal readonly struct TableSnapshot(Connection[] rented, int count, ConnectionTotals left) : IDisposable
{
    /// <summary>The connections that were open. Some may have ended since.</summary>
    public ReadOnlySpan<Connection> Open => rented.AsSpan(0, count);

    /// <summary>The totals of the connections that had left by then.</summary>
    public ConnectionTotals Left => left;

    public void Dispose() => ArrayPool<Connection>.Shared.Return(rented, clearArray: true);
}
