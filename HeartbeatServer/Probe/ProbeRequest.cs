using System.Text;
using HeartbeatServer.Options;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Probe;

/// <summary>Writes the request of an upgrade (RFC 6455 section 4.1). Pure.</summary>
internal static class ProbeRequest
{
    /// <summary>The length of a key in bytes, before its Base64.</summary>
    public const int KeySize = 16;

    /// <param name="options">What was asked for.</param>
    /// <param name="key">16 random bytes, new for each request.</param>
    /// <param name="userAgent">What the probe says of itself.</param>
    /// <returns>The bytes of the head.</returns>
    public static byte[] Write(ProbeOptions options, ReadOnlySpan<byte> key, string userAgent)
    {
        (string Name, string Value)[] hosts = [.. options.Headers.Where(IsHost)];
        var text = new StringBuilder($"GET {options.Url.Target} HTTP/1.1\r\n");
        Add("Host", hosts.Length > 0 ? hosts[^1].Value : options.Url.Authority);
        Add("Connection", "Upgrade");
        Add("Upgrade", "websocket");
        Add("Sec-WebSocket-Version", Handshake.Version);
        Add("Sec-WebSocket-Key", Convert.ToBase64String(key));
        Add("User-Agent", userAgent);
        if (options.Origin is { } origin)
            Add("Origin", origin);
        if (options.Subprotocols.Count > 0)
            Add("Sec-WebSocket-Protocol", string.Join(", ", options.Subprotocols));
        foreach ((string name, string value) in options.Headers.Where(header => !IsHost(header)))
            Add(name, value);
        return Encoding.UTF8.GetBytes(text.Append("\r\n").ToString());

        void Add(string name, string value) => text.Append(null, $"{name}: {value}\r\n");
    }

    private static bool IsHost((string Name, string Value) header) => header.Name.Equals("Host", StringComparison.OrdinalIgnoreCase);
}
