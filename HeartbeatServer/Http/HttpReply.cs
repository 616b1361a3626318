using System.Text;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Http;

/// <summary>An HTTP reply. The server closes the connection after it.</summary>
/// <param name="Status">The HTTP status code.</param>
/// <param name="ContentType">The media type of the body; null if there is no body.</param>
/// <param name="Body">The whole body.</param>
internal sealed record HttpReply(int Status, string? ContentType = null, ReadOnlyMemory<byte> Body = default)
{
    /// <summary>Further headers, in the order in which they are sent.</summary>
    public IReadOnlyList<(string Name, string Value)> Headers { get; init; } = [];

    /// <summary>The value of a header among <see cref="Headers"/>; null if there is no header with this name.</summary>
    public string? this[string name] => Headers.FirstOrDefault(header => header.Name == name).Value;

    /// <summary>Makes a reply whose body is one line of text for a person.</summary>
    public static HttpReply Text(int status, string text) => new(status, "text/plain; charset=utf-8", Encoding.UTF8.GetBytes(text + "\n"));

    /// <summary>Makes the reply to a request that is refused.</summary>
    public static HttpReply To(in Refusal refusal) => Text(refusal.Status, refusal.Text) with
    {
        Headers = refusal.Status switch
        {
            405 => [("Allow", "GET")],
            426 => [("Upgrade", "websocket"), ("Sec-WebSocket-Version", Handshake.Version)],
            429 or 502 or 503 or 504 => [("Retry-After", "1")],
            _ => [],
        },
    };

    /// <summary>The bytes of the reply, for a connection to which HttpListener does not write.</summary>
    /// <param name="isToHead">Whether the request was a HEAD, whose reply has no body.</param>
    public byte[] ToBytes(bool isToHead = false)
    {
        var head = new StringBuilder($"HTTP/1.1 {Status} {Phrase}\r\n");
        if (ContentType is not null)
            head.Append(null, $"Content-Type: {ContentType}\r\n");
        foreach ((string name, string value) in Headers)
            head.Append(null, $"{name}: {value}\r\n");
        head.Append(null, $"Content-Length: {Body.Length}\r\nConnection: close\r\n\r\n");
        return [.. Encoding.ASCII.GetBytes(head.ToString()), .. isToHead ? default : Body.Span];
    }

    /// <summary>
    /// The reason phrase of the status (RFC 9110 section 15, RFC 6585 section 5). Clients ignore the phrase (RFC 9112 section 4), but a person
    /// who debugs reads it.
    /// </summary>
    private string Phrase => Status switch
    {
        400 => "Bad Request",
        408 => "Request Timeout",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    };
}
