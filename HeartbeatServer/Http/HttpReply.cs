using System.Text;

namespace HeartbeatServer.Http;

/// <summary>An HTTP reply. It ends its connection.</summary>
/// <param name="Status">HTTP status code.</param>
/// <param name="ContentType">Null without a body.</param>
/// <param name="Body">Whole.</param>
internal sealed record HttpReply(int Status, string? ContentType = null, ReadOnlyMemory<byte> Body = default)
{
    /// <summary>Further headers, in the order in which they are sent.</summary>
    public IReadOnlyList<(string Name, string Value)> Headers { get; init; } = [];

    /// <summary>A header among <see cref="Headers"/>; null if there is none of that name.</summary>
    public string? this[string name] => Headers.FirstOrDefault(header => header.Name == name).Value;

    /// <summary>A line for a person.</summary>
    public static HttpReply Text(int status, string text) => new(status, "text/plain; charset=utf-8", Encoding.UTF8.GetBytes(text + "\n"));

    /// <summary>The reply as it goes over a connection that HttpListener has not read a request from.</summary>
    public byte[] ToBytes()
    {
        var head = new StringBuilder($"HTTP/1.1 {Status} {Phrase}\r\n");
        if (ContentType is not null)
            head.Append(null, $"Content-Type: {ContentType}\r\n");
        foreach ((string name, string value) in Headers)
            head.Append(null, $"{name}: {value}\r\n");
        head.Append(null, $"Content-Length: {Body.Length}\r\nConnection: close\r\n\r\n");
        return [.. Encoding.ASCII.GetBytes(head.ToString()), .. Body.Span];
    }

    /// <summary>RFC 9110 section 15 and RFC 6585 section 5. A client does not read it (RFC 9112 section 4), a person who debugs does.</summary>
    private string Phrase => Status switch
    {
        400 => "Bad Request",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "",
    };
}
