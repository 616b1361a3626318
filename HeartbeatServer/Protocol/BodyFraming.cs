using System.Globalization;

namespace HeartbeatServer.Protocol;

/// <summary>How the end of a body is found.</summary>
internal enum BodyEnd
{
    /// <summary>There is no body.</summary>
    None,
    /// <summary>The head gives the length.</summary>
    Length,
    /// <summary>The body is in chunks, and the last one is empty.</summary>
    Chunks,
    /// <summary>The body ends with the connection. Only an answer may do so.</summary>
    Connection,
}

/// <summary>
/// How long a body is, by its head (RFC 9112 section 6.3). The rules are strict: where two programs could find two lengths, one of them takes the rest of
/// a body for another message.
/// </summary>
/// <param name="End">How its end is found.</param>
/// <param name="Length">In bytes, if <paramref name="End"/> is <see cref="BodyEnd.Length"/>; else 0.</param>
internal readonly record struct BodyFraming(BodyEnd End, long Length = 0)
{
    private const string Encoding = "Transfer-Encoding";
    private const string LengthField = "Content-Length";

    /// <summary>Finds the length of a request's body.</summary>
    /// <param name="head">The head of the request. RequestHead has refused two lengths, a length beside an encoding, and a length that is no number.</param>
    /// <param name="refusal">Why the length cannot be told; null if it can.</param>
    public static BodyFraming OfRequest(RequestHead head, out Refusal? refusal)
    {
        refusal = null;
        if (head[Encoding] is { } encoding)
        {
            // RFC 9112 section 6.1: HTTP/1.0 has no encodings, and one that is not known is 501.
            if (head.MinorVersion == 0)
                refusal = new Refusal(RefusalReason.BadRequest, $"{Encoding} in a request of HTTP/1.0");
            else if (!IsChunked(encoding))
                refusal = new Refusal(RefusalReason.BadRequest, $"{Encoding} is not chunked alone") { Status = 501 };
            return new BodyFraming(BodyEnd.Chunks);
        }
        if (head[LengthField] is not { } length)
            return default; // RFC 9112 section 6.3: a request without either has no body
        if (!TryReadLength(length, out long bytes))
            refusal = new Refusal(RefusalReason.BadRequest, $"{LengthField} is larger than any body");
        return OfLength(bytes);
    }

    /// <summary>Finds the length of an answer's body.</summary>
    /// <param name="head">The head of the answer.</param>
    /// <param name="isToHead">Whether the request was a HEAD.</param>
    /// <param name="fault">Why the length cannot be told, worded to stand behind "the answer is no good"; null if it can.</param>
    public static BodyFraming OfAnswer(AnswerHead head, bool isToHead, out string? fault)
    {
        fault = null;
        string? length = head.Fields[LengthField];
        long bytes = 0;
        if (head.Fields[Encoding] is { } encoding)
        {
            // RFC 9112 section 6.3: such an answer may be an attempt to smuggle a second one past a proxy.
            fault = length is not null ? $"{LengthField} and {Encoding} in one head"
                : head.MinorVersion == 0 ? $"{Encoding} in an answer of HTTP/1.0"
                : !IsChunked(encoding) ? $"its {Encoding} is not chunked alone"
                : null;
        }
        else if (length is not null)
        {
            fault = head.Fields.LinesOf(LengthField) > 1 ? $"{LengthField} stands in its head more than once"
                : length.Length == 0 || length.AsSpan().ContainsAnyExceptInRange('0', '9') ? $"its {LengthField} is no number"
                : !TryReadLength(length, out bytes) ? $"its {LengthField} is larger than any body"
                : null;
        }
        return isToHead || head.Status is 204 or 304 ? default
            : head.Fields[Encoding] is not null ? new BodyFraming(BodyEnd.Chunks)
            : length is not null ? OfLength(bytes)
            : new BodyFraming(BodyEnd.Connection);
    }

    private static BodyFraming OfLength(long bytes) => bytes == 0 ? default : new BodyFraming(BodyEnd.Length, bytes);

    private static bool IsChunked(string encoding) => encoding.Equals("chunked", StringComparison.OrdinalIgnoreCase);

    private static bool TryReadLength(string digits, out long bytes) => long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out bytes);
}
