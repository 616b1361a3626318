using System.Net.Security;
using System.Net.Sockets;

namespace HeartbeatServer.Http;

/// <summary>Where a port listens for requests, and how long a request may take.</summary>
/// <param name="Host"><c>*</c> for every interface, or an address, or a host name.</param>
/// <param name="Port">1 to 65535.</param>
/// <param name="RequestTimeout">How long a client may take to send a whole request.</param>
/// <param name="MostPending">How many requests may be unfinished at one time. For one more, the server turns an older one away.</param>
/// <param name="Tune">
/// Sets the options of a listening socket, from which connections inherit them, or of a connection's own socket; null to set none.
/// </param>
internal sealed record ListenOptions(string Host, int Port, TimeSpan RequestTimeout, int MostPending = int.MaxValue, Action<Socket>? Tune = null)
{
    /// <summary>Does the server's part of a TLS handshake; null if the port speaks plain HTTP. Only <see cref="HttpPort"/> speaks TLS.</summary>
    public Func<SslStream, Task>? Tls { get; init; }

    /// <summary>How many descriptors a request may take once it is handed out, its own included.</summary>
    public int DescriptorsEach { get; init; } = 1;

    /// <summary>Whether <c>*</c> includes IPv6. On a machine without IPv6 it means IPv4 alone.</summary>
    public bool HasIPv6 { get; init; } = Socket.OSSupportsIPv6;
}
