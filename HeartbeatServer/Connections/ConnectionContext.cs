using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Connections;

/// <summary>What all connections of a server share.</summary>
/// <param name="Timings">The timings of the heartbeat.</param>
/// <param name="Echo">Whether the server sends data messages back; otherwise it discards them.</param>
/// <param name="MaxMessage">The longest message from a client, in bytes.</param>
/// <param name="WriteTimeout">A client whose kernel takes no byte for so long, while bytes wait for it, is a slow consumer.</param>
/// <param name="Buffers">The budget of memory that all connections share.</param>
/// <param name="Log">Gets lines on pings, pongs and strikes. Whoever awaits <see cref="Connection.RunAsync"/> logs the end.</param>
/// <param name="Metrics">Counts strikes, round trips and late pongs.</param>
internal sealed record ConnectionContext(
    HeartbeatTimings Timings, bool Echo, int MaxMessage, TimeSpan WriteTimeout, BufferBudget Buffers, ServerLog Log, ServerMetrics Metrics)
{
    /// <summary>How often a connection checks whether its client takes what waits for it.</summary>
    public TimeSpan LookEvery => WriteTimeout / 4;
}
