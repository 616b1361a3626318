using System.Net;

namespace HeartbeatServer.Telemetry;

/// <summary>The end point of a client behind a trusted proxy, for the log and the status.</summary>
/// <param name="client">The address that the proxy gives.</param>
/// <param name="proxy">The other end of the TCP connection.</param>
internal sealed class ForwardedEndPoint(IPAddress client, IPEndPoint proxy) : EndPoint
{
    public IPAddress Client => client;

    public IPEndPoint Proxy => proxy;

    /// <summary><c>192.0.2.7 via 10.0.0.2:5555</c>.</summary>
    public override string ToString() => $"{client} via {proxy}";
}
