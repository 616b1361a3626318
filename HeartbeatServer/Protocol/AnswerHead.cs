using System.Text;

namespace HeartbeatServer.Protocol;

/// <summary>
/// The head of the answer to an upgrade request (RFC 9112): the status line, and the field lines in their order. The reader is as strict as that of requests: a
/// head that two programs could read in two ways is no good.
/// </summary>
/// <param name="MinorVersion">The second digit of the HTTP version. The first digit is 1.</param>
/// <param name="Status">The status code, 100 to 599.</param>
/// <param name="Phrase">The reason phrase; may be empty.</param>
/// <param name="Fields">The fields.</param>
internal sealed record AnswerHead(int MinorVersion, int Status, string Phrase, FieldLines Fields)
{
    /// <summary>The longest head in bytes, with the interim answers before it.</summary>
    public const int MaxLength = 24 * 1024;

    /// <summary>Looks for the end of a head, and for what no head of an answer can have. Each byte is looked at once, however the bytes come.</summary>
    /// <param name="bytes">All bytes that came so far.</param>
    /// <param name="start">The index of the first byte of the head.</param>
    /// <param name="seen">How many bytes an earlier call has looked at without a result.</param>
    /// <param name="fault">What is wrong with the answer, worded to stand behind "the answer is no good"; null as long as nothing is.</param>
    /// <returns>The index after the head; 0 if the head is not complete, or is no good.</returns>
    public static int Find(ReadOnlySpan<byte> bytes, int start, int seen, out string? fault)
    {
        ReadOnlySpan<byte> version = "HTTP/1."u8;
        ReadOnlySpan<byte> first = bytes[start..];
        fault = null;
        if (first is [0x15 or 0x16, 0x03, ..])
            fault = "it is TLS, and a ws:// URL wants the port without";
        else if (!version.StartsWith(first[..Math.Min(first.Length, version.Length)]) && first is not [0x15 or 0x16])
            fault = "it is no HTTP/1.1";
        if (fault is not null)
            return 0;
        int end = FieldLines.FindEnd(bytes, start, seen, out fault);
        fault = fault is null ? null : $"{fault} in its head";
        return end;
    }

    /// <summary>Reads a whole head; null if it is no good.</summary>
    /// <param name="head">The bytes of the head. <see cref="Find"/> gives their end.</param>
    /// <param name="fault">What is wrong, as for <see cref="Find"/>.</param>
    public static AnswerHead? Read(ReadOnlySpan<byte> head, out string? fault)
    {
        fault = null;
        string[] lines = Encoding.Latin1.GetString(head[..^4]).Split("\r\n");
        // RFC 9112 section 4. Some applications leave out the space before a phrase that is empty.
        if (lines[0] is not ['H', 'T', 'T', 'P', '/', '1', '.', >= '0' and <= '9', ' ', >= '1' and <= '5', >= '0' and <= '9', >= '0' and <= '9', .. var rest]
            || rest is not ("" or [' ', ..]))
        {
            fault = "its first line is no status line: version, status and phrase";
            return null;
        }
        var fields = new FieldLines();
        if (!Array.TrueForAll(lines[1..], fields.TryAdd))
        {
            fault = "a line of its head is no field: a name, a colon right behind it, and a value";
            return null;
        }
        int status = (100 * (lines[0][9] - '0')) + (10 * (lines[0][10] - '0')) + (lines[0][11] - '0');
        return new AnswerHead(lines[0][7] - '0', status, rest.TrimStart(' '), fields);
    }

    /// <summary>Reads the Connection field.</summary>
    /// <returns>Null, and a fault, if it names a field that the client needs.</returns>
    public HopByHop? ReadConnection(out string? fault)
    {
        HopByHop? fields = HopByHop.Of(Fields, IsProtected, out string? hidden);
        fault = fields is null ? $"its Connection field names {hidden}, which the client needs" : null;
        return fields;
    }

    /// <summary>Writes the fields that go on to the client. The caller writes those that belong to the client's connection, and Content-Length.</summary>
    /// <param name="text">Gets the lines.</param>
    /// <param name="hopByHop">What <see cref="ReadConnection"/> has returned.</param>
    /// <param name="isDropped">Returns true for a name and a value that do not go on for another reason.</param>
    public void WriteEndToEnd(StringBuilder text, HopByHop hopByHop, Func<string, string, bool> isDropped)
    {
        foreach ((string name, string value) in Fields)
        {
            if (!hopByHop.Has(name) && !name.Equals("Content-Length", StringComparison.OrdinalIgnoreCase) && !isDropped(name, value))
                text.Append(null, $"{name}: {value}\r\n");
        }
    }

    /// <summary>Begins the head of an answer behind which the client's connection is closed: the status line, the fields that go on, and a date.</summary>
    /// <param name="hopByHop">What <see cref="ReadConnection"/> has returned.</param>
    /// <param name="date">The present date, for an answer that comes without one (RFC 9110 section 6.6.1).</param>
    public StringBuilder Begin(HopByHop hopByHop, string date)
    {
        StringBuilder text = new StringBuilder().Append(null, $"HTTP/1.1 {Status} {Phrase}\r\n");
        WriteEndToEnd(text, hopByHop, (_, _) => false);
        return hopByHop.Has("Date") || Fields["Date"] is null ? text.Append(null, $"Date: {date}\r\n") : text;
    }

    /// <summary>Ends the head of an answer behind which the client's connection is closed.</summary>
    /// <param name="text">Gets the lines.</param>
    public void WriteClose(StringBuilder text)
    {
        // RFC 9110 section 15.5.22: a 426 has to say what to upgrade to.
        if (Status == 426 && Fields["Upgrade"] is { } upgrade)
            text.Append(null, $"Upgrade: {upgrade}\r\nConnection: close, Upgrade\r\n\r\n");
        else
            text.Append("Connection: close\r\n\r\n");
    }

    private static bool IsProtected(string name) =>
        name.StartsWith("Sec-WebSocket-", StringComparison.OrdinalIgnoreCase) || name.Equals("Set-Cookie", StringComparison.OrdinalIgnoreCase);
}
