using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Connections;

/// <summary>What all connections of a server share.</summary>
/// <param name="Timings">Of the heartbeat.</param>
/// <param name="Echo">Whether data messages are sent back; otherwise they are discarded.</param>
/// <param name="MaxMessage">The longest message from a client, in bytes.</param>
/// <param name="WriteTimeout">A client whose kernel takes no byte for so long, while bytes wait for it, is a slow consumer.</param>
/// <param name="Log">Tells of pings, pongs and strikes. The end is told by whoever awaits <see cref="Connection.RunAsync"/>.</param>
/// <param name="Metrics">Counts the same.</param>
internal sealed record ConnectionContext(
    HeartbeatTimings Timings, bool Echo, int MaxMessage, TimeSpan WriteTimeout, ServerLog Log, ServerMetrics Metrics)
{
    /// <summary>How often it is looked whether a client takes what waits for it.</summary>
    public TimeSpan LookEvery => WriteTimeout / 4;
}
