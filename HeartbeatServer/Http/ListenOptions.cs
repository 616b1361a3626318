using System.Net.Sockets;

namespace HeartbeatServer.Http;

/// <summary>Where requests come in, and how long they may take.</summary>
/// <param name="Host"><c>*</c> for every interface, an address or a host name.</param>
/// <param name="Port">1 to 65535.</param>
/// <param name="RequestTimeout">How long a request may take to come in.</param>
/// <param name="MostPending">Requests that may be coming in at one time; for one more, the oldest is turned away.</param>
/// <param name="Tune">Sets the options of a socket that the connections are to have; null for none. They inherit those of the socket that listens.</param>
internal sealed record ListenOptions(string Host, int Port, TimeSpan RequestTimeout, int MostPending = int.MaxValue, Action<Socket>? Tune = null)
{
    /// <summary>Whether <c>*</c> is IPv6, too. It is IPv4 alone on a machine without IPv6.</summary>
    public bool HasIPv6 { get; init; } = Socket.OSSupportsIPv6;
}
