using System.Buffers;

namespace HeartbeatServer.Protocol;

/// <summary>An element of the Sec-WebSocket-Extensions header (RFC 6455 section 9.1): <c>permessage-deflate; client_max_window_bits=10</c>.</summary>
/// <param name="Name">The name of the extension. The case of its letters matters.</param>
/// <param name="Parameters">Names and values of the parameters, without quotes; the value is null if there is none.</param>
/// <param name="Text">The element as it was written.</param>
internal sealed record Extension(string Name, IReadOnlyList<(string Name, string? Value)> Parameters, string Text)
{
    /// <summary>The field that offers extensions in a request, and has those agreed to in an answer.</summary>
    public const string Field = "Sec-WebSocket-Extensions";

    /// <summary>Compression of messages (RFC 7692).</summary>
    public const string Deflate = "permessage-deflate";

    /// <summary>What ends a token in the list.</summary>
    private static readonly SearchValues<char> Delimiters = SearchValues.Create(" \t,;=\"");

    /// <summary>Whether this is permessage-deflate.</summary>
    public bool IsDeflate => Name == Deflate;

    /// <summary>Whether a request offers permessage-deflate.</summary>
    public static bool OffersDeflate(RequestHead request) => ReadList(request[Field] ?? "")?.Exists(offer => offer.IsDeflate) ?? false;

    /// <summary>Reads a list of extensions. Empty elements do not count (RFC 9110 section 5.6.1).</summary>
    /// <returns>The extensions in their order; null if the text is no such list.</returns>
    public static List<Extension>? ReadList(string text)
    {
        List<Extension> list = [];
        ReadOnlySpan<char> rest = text;
        while (true)
        {
            rest = rest.TrimStart(" \t,");
            if (rest.IsEmpty)
                return list;
            ReadOnlySpan<char> element = rest;
            if (!TryTake(ref rest, out string name))
                return null;
            List<(string, string?)> parameters = [];
            while (rest is [';', ..])
            {
                rest = rest[1..].TrimStart(" \t");
                if (!TryTake(ref rest, out string parameter))
                    return null;
                string? value = null;
                if (rest is ['=', ..])
                {
                    rest = rest[1..].TrimStart(" \t");
                    if (!TryTakeValue(ref rest, out value))
                        return null;
                }
                parameters.Add((parameter, value));
            }
            if (rest is not ([] or [',', ..]))
                return null;
            list.Add(new Extension(name, parameters, element[..^rest.Length].TrimEnd(" \t").ToString()));
        }
    }

    /// <summary>Takes a token, and the white space behind it.</summary>
    private static bool TryTake(ref ReadOnlySpan<char> rest, out string token)
    {
        int end = rest.IndexOfAny(Delimiters);
        token = (end < 0 ? rest : rest[..end]).ToString();
        rest = rest[token.Length..].TrimStart(" \t");
        return RequestHead.IsToken(token);
    }

    /// <summary>Takes a value: a token, or a token in quotes (RFC 6455 section 9.1).</summary>
    private static bool TryTakeValue(ref ReadOnlySpan<char> rest, out string? value)
    {
        if (rest is not ['"', ..])
        {
            bool isToken = TryTake(ref rest, out string token);
            value = token;
            return isToken;
        }
        int end = rest[1..].IndexOf('"');
        value = end < 0 ? null : rest[1..(end + 1)].ToString();
        if (end < 0 || !RequestHead.IsToken(value))
            return false;
        rest = rest[(end + 2)..].TrimStart(" \t");
        return true;
    }
}
