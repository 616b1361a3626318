namespace HeartbeatServer.Protocol;

/// <summary>The three numbers of a heartbeat.</summary>
/// <param name="Ping">Time between two pings on one connection; zero for no pings.</param>
/// <param name="Timeout">How long after a ping its pong counts as in time, at most <paramref name="Ping"/>; zero to never judge.</param>
/// <param name="MaxMissed">Strikes in a row after which the connection is dead; at least 1.</param>
internal readonly record struct HeartbeatTimings(TimeSpan Ping, TimeSpan Timeout, int MaxMissed);
