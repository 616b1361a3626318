using System.Net;
using HeartbeatServer.Options;

namespace HeartbeatServer.Http;

/// <summary>Explains to the person who started the server why a port could not be bound.</summary>
internal static class BindError
{
    /// <param name="address">The address that the server tried to bind.</param>
    /// <param name="isAdmin">Whether the address comes from <c>--admin</c>, and not from <c>--host</c> and <c>--port</c>.</param>
    /// <param name="error">The failure. Its code is that of the operating system: of Linux, macOS, Windows sockets or http.sys.</param>
    public static string Describe(HostPort address, bool isAdmin, HttpListenerException error)
    {
        string host = isAdmin ? $"--admin {address}" : $"--host {address.Host}";
        string hostAndPort = isAdmin ? host : $"{host} --port {address.Port}";
        (string inUse, string notAllowed) = isAdmin
            ? ($"{host}: port {address.Port} is in use", $"{host}: port {address.Port} is not allowed")
            : ($"--port {address.Port}: the port is in use", $"--port {address.Port}: not allowed");
        return error.ErrorCode switch
        {
            98 or 48 or 10048 or 32 or 183 => $"{inUse}. Stop what listens there, or choose another port.",
            13 or 10013 or 5 => $"{notAllowed}. Ports below 1024 need a privilege.",
            // The last three of these codes mean that the machine has no IPv6 at all.
            99 or 49 or 10049 or 97 or 47 or 10047 => $"{host}: this machine has no such address.",
            // HttpListener itself uses this code, on every system.
            50 => $"{host}: the name does not resolve to an address.",
            _ => $"{hostAndPort}: {error.Message} (error {error.ErrorCode}).",
        };
    }
}
