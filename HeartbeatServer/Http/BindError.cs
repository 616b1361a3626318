using System.Net;
using HeartbeatServer.Options;

namespace HeartbeatServer.Http;

/// <summary>Why the port could not be bound, for the person who started the server.</summary>
internal static class BindError
{
    /// <param name="host">As given to <c>--host</c>.</param>
    /// <param name="port">As given to <c>--port</c>.</param>
    /// <param name="error">Its code is the operating system's own: Linux, macOS, Windows sockets or http.sys.</param>
    public static string Describe(string host, int port, HttpListenerException error) => error.ErrorCode switch
    {
        98 or 48 or 10048 or 32 or 183 => $"--port {port}: the port is in use. Stop what listens there, or choose another port.",
        13 or 10013 or 5 => $"--port {port}: not allowed. Ports below 1024 need a privilege.",
        99 or 49 or 10049 => $"--host {host}: this machine has no such address.",
        // HttpListener's own, on every system.
        50 => $"--host {host}: the name does not resolve to an address.",
        _ => $"--host {host} --port {port}: {error.Message} (error {error.ErrorCode}).",
    };

    /// <inheritdoc cref="Describe(string, int, HttpListenerException)"/>
    /// <param name="address">As given to <c>--admin</c>.</param>
    /// <param name="error">As above.</param>
    public static string Describe(HostPort address, HttpListenerException error) => error.ErrorCode switch
    {
        98 or 48 or 10048 or 32 or 183 => $"--admin {address}: port {address.Port} is in use. Stop what listens there, or choose another port.",
        13 or 10013 or 5 => $"--admin {address}: port {address.Port} is not allowed. Ports below 1024 need a privilege.",
        99 or 49 or 10049 => $"--admin {address}: this machine has no such address.",
        50 => $"--admin {address}: the name does not resolve to an address.",
        _ => $"--admin {address}: {error.Message} (error {error.ErrorCode}).",
    };
}
