using System.Buffers;

namespace HeartbeatServer.Connections;

/// <summary>
/// All connections at one moment: each is either among the open ones or in the totals of those that left, never in both or neither. So a sum
/// over both never goes down from one reading to the next.
/// </summary>
/// <param name="rented">Holds the open ones.</param>
/// <param name="count">How many.</param>
/// <param name="left">What those did that have left.</param>
internal readonly struct TableReading(Connection[] rented, int count, ConnectionTotals left) : IDisposable
{
    /// <summary>Those that were open; some may have ended since.</summary>
    public ReadOnlySpan<Connection> Open => rented.AsSpan(0, count);

    /// <summary>What those did that have left.</summary>
    public ConnectionTotals Left => left;

    public void Dispose() => ArrayPool<Connection>.Shared.Return(rented, clearArray: true);
}
