namespace HeartbeatServer.Options;

/// <summary>Variables that begin with <c>HEARTBEAT_</c>, and set no option.</summary>
/// <param name="Unknown">Those that are perhaps a mistake.</param>
/// <param name="ServiceLinks">The names of those that Kubernetes sets for a Service.</param>
internal sealed record StrayVariables(IReadOnlyList<UnknownVariable> Unknown, IReadOnlyList<string> ServiceLinks);

/// <param name="Name">The variable.</param>
/// <param name="Meant">The variable that was perhaps meant; null if none is near.</param>
internal sealed record UnknownVariable(string Name, string? Meant);
