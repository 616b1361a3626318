namespace HeartbeatServer.Http;

/// <summary>The head of a request: the request line and the header, as they came.</summary>
internal static class RequestHead
{
    /// <summary>
    /// Finds the end of a head, as HttpListener does: empty lines before the request line do not count (RFC 9112 section 2.2), a line ends with LF,
    /// and a CR is nothing anywhere.
    /// </summary>
    /// <param name="received">A whole head, and perhaps what came behind it.</param>
    /// <returns>Its bytes, with the empty line at its end; all that was received if there is no such line.</returns>
    public static int Length(ReadOnlySpan<byte> received)
    {
        bool hasRequestLine = false;
        for (int start = 0; ;)
        {
            int length = received[start..].IndexOf((byte)'\n');
            if (length < 0)
                return received.Length;
            bool isEmpty = !received.Slice(start, length).ContainsAnyExcept((byte)'\r');
            start += length + 1;
            if (isEmpty && hasRequestLine)
                return start;
            hasRequestLine |= !isEmpty;
        }
    }
}
