using HeartbeatServer.Protocol;


namespace HeartbeatServer.Connections;

/// <summary>What a connection has to know of the command line.</summary>
/// <param name="Timings">Of the heartbeat.</param>
/// <param name="Echo">Whether data messages are sent back, or discarded.</param>
/// <param name="MaxMessage">Longest message, in bytes.</param>
internal sealed record ConnectionOptions(HeartbeatTimings Timings, bool Echo, int MaxMessage);
