using System.Globalization;
using System.Text;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Http;

/// <summary>An HTTP reply. The server closes the connection after it.</summary>
/// <param name="Status">The HTTP status code.</param>
/// <param name="ContentType">The media type of the body; null if there is no body.</param>
/// <param name="Body">The whole body.</param>
internal sealed record HttpReply(int Status, string? ContentType = null, ReadOnlyMemory<byte> Body = default)
{
    /// <summary>
    /// The Server field of a reply. An application behind the server has its own one in its answers, so the field says who has answered. Without a value
    /// HttpListener would write a version of .NET.
    /// </summary>
    public const string Server = "HeartbeatServer";

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
    /// <param name="time">The clock for the Date field (RFC 9110 section 6.6.1); that of the system by default.</param>
    public byte[] ToBytes(bool isToHead = false, TimeProvider? time = null)
    {
        var head = new StringBuilder($"HTTP/1.1 {Status} {Phrase}\r\nServer: {Server}\r\nDate: {DateOf(time)}\r\n");
        if (ContentType is not null)
            head.Append(null, $"Content-Type: {ContentType}\r\n");
        foreach ((string name, string value) in Headers)
            head.Append(null, $"{name}: {value}\r\n");
        head.Append(null, $"Content-Length: {Body.Length}\r\nConnection: close\r\n\r\n");
        return [.. Encoding.ASCII.GetBytes(head.ToString()), .. isToHead ? default : Body.Span];
    }

    /// <summary>The present time as a Date field has it (RFC 9110 section 5.6.7).</summary>
    /// <param name="time">The clock; that of the system by default.</param>
    public static string DateOf(TimeProvider? time = null) => (time ?? TimeProvider.System).GetUtcNow().ToString("R", CultureInfo.InvariantCulture);

    /// <summary>
    /// The reason phrase of the status (RFC 9110 section 15, RFC 6585 section 5). Clients ignore the phrase (RFC 9112 section 4), but a person
    /// who debugs reads it.
    /// </summary>
    private string Phrase => Status switch
    {
        400 => "Bad Request",
        405 => "Method Not Allowed",
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
