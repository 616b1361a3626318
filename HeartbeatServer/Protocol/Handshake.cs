using System.Security.Cryptography;
using System.Text;

namespace HeartbeatServer.Protocol;

/// <summary>The parts of an HTTP request that decide whether it may be upgraded.</summary>
/// <param name="Method">The method as it was sent.</param>
/// <param name="IsHttp11">Whether the version is HTTP/1.1 or later.</param>
/// <param name="HasBody">Whether the head announces a body.</param>
/// <param name="Connection">The Connection header, or null.</param>
/// <param name="Upgrade">The Upgrade header, or null.</param>
/// <param name="Version">The Sec-WebSocket-Version header, or null.</param>
/// <param name="Key">The Sec-WebSocket-Key header, or null.</param>
internal readonly record struct UpgradeRequest(
    string Method, bool IsHttp11, bool HasBody, string? Connection, string? Upgrade, string? Version, string? Key)
{
    /// <summary>All lines of the Sec-WebSocket-Protocol header, joined with commas; null if there is none.</summary>
    public string? Protocol { get; init; }
}

/// <summary>The server's side of the opening handshake (RFC 6455 section 4.2).</summary>
internal static class Handshake
{
    /// <summary>The only version of the protocol that is in use (section 4.1).</summary>
    public const string Version = "13";

    private const int KeySize = 24;

    /// <summary>Checks the rules of section 4.2.1 that a request to the right path must keep.</summary>
    /// <returns>The first rule that is broken, with its HTTP status; null if the request may be upgraded.</returns>
    public static Refusal? Check(in UpgradeRequest request)
    {
        // 4.1: "The method of the request MUST be GET, and the HTTP version MUST be at least 1.1."
        if (request.Method != "GET")
            return new Refusal(RefusalReason.MethodNotAllowed, "a WebSocket upgrade is a GET request");
        // RFC 9110 section 7.8: a server must ignore an Upgrade header in an HTTP/1.0 request.
        if (!request.IsHttp11 || !FieldLines.HasToken(request.Connection, "upgrade") || !FieldLines.HasToken(request.Upgrade, "websocket"))
            return new Refusal(
                RefusalReason.UpgradeRequired, "this is a WebSocket endpoint: send \"Connection: Upgrade\" and \"Upgrade: websocket\" over HTTP/1.1");
        if (request.Version is null)
            return new Refusal(RefusalReason.BadRequest, "the Sec-WebSocket-Version header is missing");
        if (request.Version != Version)
            return new Refusal(RefusalReason.UpgradeRequired, $"Sec-WebSocket-Version must be {Version}");
        if (request.Key is null)
            return new Refusal(RefusalReason.BadRequest, "the Sec-WebSocket-Key header is missing");
        if (!IsKey(request.Key))
            return new Refusal(RefusalReason.BadRequest, "Sec-WebSocket-Key must be 16 bytes in Base64");
        if (request.HasBody)
            return new Refusal(RefusalReason.BadRequest, "an upgrade request must not have a body");
        if (Subprotocols.Offers(request.Protocol) is null)
            return new Refusal(RefusalReason.BadRequest, "Sec-WebSocket-Protocol must be a list of tokens");
        return null;
    }

    /// <summary>The bytes of the 101 response (section 4.2.2). It accepts no extension.</summary>
    /// <param name="key">A key that has passed <see cref="Check"/>.</param>
    /// <param name="protocol">The subprotocol that the server has chosen among those offered; null for none.</param>
    /// <exception cref="ArgumentException">The subprotocol is not a token. It could add lines of its own to the response.</exception>
    public static byte[] Response(string key, string? protocol)
    {
        if (protocol is not null && !RequestHead.IsToken(protocol))
            throw new ArgumentException("The subprotocol is no token.", nameof(protocol));
        string chosen = protocol is null ? "" : $"Sec-WebSocket-Protocol: {protocol}\r\n";
        return Encoding.ASCII.GetBytes(
            $"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {Accept(key)}\r\n{chosen}\r\n");
    }

    /// <summary>The Sec-WebSocket-Accept that belongs to a key (section 4.2.2).</summary>
    /// <param name="key">A key that has passed <see cref="Check"/>.</param>
    public static string Accept(string key)
    {
        ReadOnlySpan<byte> guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"u8;
        Span<byte> text = stackalloc byte[KeySize + guid.Length];
        Encoding.ASCII.GetBytes(key, text);
        guid.CopyTo(text[KeySize..]);
        Span<byte> hash = stackalloc byte[SHA1.HashSizeInBytes];
#pragma warning disable CA5350 // The protocol demands SHA-1. The hash protects nothing (section 10.3).
        SHA1.HashData(text, hash);
#pragma warning restore CA5350
        return Convert.ToBase64String(hash);
    }

    private static bool IsKey(string key)
    {
        Span<byte> decoded = stackalloc byte[16];
        return key.Length == KeySize && Convert.TryFromBase64String(key, decoded, out int length) && length == 16;
    }
}
