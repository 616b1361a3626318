using HeartbeatServer.Connections;
using HeartbeatServer.Engine;
using HeartbeatServer.Options;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Hosting;

/// <summary>What the server and those that watch it share. Program makes one.</summary>
/// <param name="Options">The command line.</param>
/// <param name="Time">The clock of everything that is not on a timing wheel.</param>
/// <param name="Loops">Serve the connections.</param>
/// <param name="Table">The connections that are open.</param>
/// <param name="Metrics">What is counted.</param>
/// <param name="Ends">The record of the last ends.</param>
/// <param name="Log">Where lines go.</param>
internal sealed record ServerContext(
    ServerOptions Options, TimeProvider Time, EventLoops Loops, ConnectionTable Table, ServerMetrics Metrics, EndLog Ends, ServerLog Log)
{
    /// <summary>The certificate of the port; null if it speaks plain HTTP.</summary>
    public CertificateStore? Certificate { get; init; }
}
