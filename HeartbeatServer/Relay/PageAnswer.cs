using System.Text;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Relay;

/// <summary>Checks the head of the application's answer to a page, and writes it anew for the client, whose connection ends behind it.</summary>
/// <param name="Head">The bytes of the head, up to and with the empty line.</param>
/// <param name="Framing">How the client finds the end of the body.</param>
internal sealed record PageAnswer(byte[] Head, BodyFraming Framing)
{
    /// <summary>Writes the answer.</summary>
    /// <param name="answer">The head that has come from the application.</param>
    /// <param name="request">The client's request.</param>
    /// <param name="date">The present date, for an answer that comes without one (RFC 9110 section 6.6.1).</param>
    /// <param name="fault">Why the answer cannot be passed on, worded to stand behind "the answer is no good"; null if it can.</param>
    /// <returns>Null if there is a fault.</returns>
    public static PageAnswer? Of(AnswerHead answer, RequestHead request, string date, out string? fault)
    {
        bool isToHead = request.Method == "HEAD";
        BodyFraming framing = BodyFraming.OfAnswer(answer, isToHead, out fault);
        HopByHop? hopByHop = fault is null ? answer.ReadConnection(out fault) : null;
        if (answer.Status is < 200 or > 599)
            fault ??= answer.Status == 101 ? "it switches protocols, and nobody has asked for that" : $"its status is {answer.Status}";
        if (fault is not null)
            return null;

        StringBuilder text = answer.Begin(hopByHop!, date);
        // RFC 9110 section 8.6: an answer to HEAD and a 304 may say how long the body of another answer would be. A 204 must not.
        string? length = answer.Fields["Content-Length"];
        if (length is not null && answer.Status != 204)
            text.Append(null, $"Content-Length: {length}\r\n");
        // Without a length the body goes on in chunks, so that a body that is cut does not look complete. HTTP/1.0 has no chunks (RFC 9112 section 6.1).
        if (framing.End is BodyEnd.Chunks or BodyEnd.Connection)
            framing = new BodyFraming(request.MinorVersion == 0 ? BodyEnd.Connection : BodyEnd.Chunks);
        if (framing.End == BodyEnd.Chunks)
            text.Append("Transfer-Encoding: chunked\r\n");
        answer.WriteClose(text);

        byte[] head = Encoding.Latin1.GetBytes(text.ToString());
        // HttpClient reads heads more leniently than we do. What it lets pass must still be one head for the client.
        int end = FieldLines.FindEnd(head, 0, 0, out fault);
        fault = fault is not null ? $"{fault} in its head" : end != head.Length ? "an empty line in its head" : null;
        return fault is null ? new PageAnswer(head, framing) : null;
    }
}
