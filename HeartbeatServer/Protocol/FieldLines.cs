using System.Buffers;
using System.Collections;
using System.Text;

namespace HeartbeatServer.Protocol;

/// <summary>The field lines of a head (RFC 9112 section 5), in the order in which they came, with their names as they were written.</summary>
internal sealed class FieldLines : IReadOnlyList<(string Name, string Value)>
{
    /// <summary>All control characters but the tab.</summary>
    private static readonly SearchValues<byte> Controls =
        SearchValues.Create([.. Enumerable.Range(0, 32).Append(127).Where(c => c != '\t').Select(c => (byte)c)]);

    private readonly List<(string Name, string Value)> _lines = [];

    public FieldLines()
    {
    }

    public FieldLines(IEnumerable<(string Name, string Value)> lines) => _lines.AddRange(lines);

    public int Count => _lines.Count;

    /// <summary>A name and a value, without white space around the value.</summary>
    public (string Name, string Value) this[int index] => _lines[index];

    /// <summary>The values of all lines of a field, joined with commas (RFC 9110 section 5.3); null if the head has no such field.</summary>
    /// <param name="name">The name of the field. The case of its letters does not matter.</param>
    public string? this[string name]
    {
        get
        {
            string? first = null;
            StringBuilder? joined = null;
            foreach ((string each, string value) in _lines)
            {
                if (!each.Equals(name, StringComparison.OrdinalIgnoreCase))
                    continue;
                if (first is null)
                    first = value;
                else
                    (joined ??= new StringBuilder(first)).Append(", ").Append(value);
            }
            return joined?.ToString() ?? first;
        }
    }

    /// <summary>In how many lines a field stands.</summary>
    /// <param name="name">The name of the field. The case of its letters does not matter.</param>
    public int LinesOf(string name) => _lines.Count(line => line.Name.Equals(name, StringComparison.OrdinalIgnoreCase));

    /// <summary>
    /// The elements of a field that is a list (RFC 9110 section 5.6.1), without white space around them. Empty elements do not count. It is for lists of
    /// tokens: a comma in a quoted string would part it.
    /// </summary>
    /// <param name="value">The value of the field; null if the head has no such field.</param>
    public static string[] Elements(string? value) =>
        Array.FindAll(Array.ConvertAll((value ?? "").Split(','), element => element.Trim(' ', '\t')), element => element.Length > 0);

    /// <summary>Whether a field that is a list has a token. The case of its letters does not matter.</summary>
    /// <param name="value">The value of the field; null if the head has no such field.</param>
    /// <param name="token">The token.</param>
    public static bool HasToken(string? value, string token) =>
        Array.Exists(Elements(value), element => element.Equals(token, StringComparison.OrdinalIgnoreCase));

    /// <summary>
    /// Looks for the empty line at the end of a head, and for bytes that no head can have. Each byte is looked at once, however the bytes come.
    /// </summary>
    /// <param name="bytes">All bytes that came so far.</param>
    /// <param name="start">The index of the first line.</param>
    /// <param name="seen">How many bytes an earlier call has looked at without a result.</param>
    /// <param name="fault">What no head can have, worded to stand before "in the head"; null if there is nothing.</param>
    /// <returns>The index after the empty line; 0 if it has not come, or if there is a fault.</returns>
    public static int FindEnd(ReadOnlySpan<byte> bytes, int start, int seen, out string? fault)
    {
        fault = null;
        // A line end may have come in two pieces.
        int i = seen;
        while (i > start && bytes[i - 1] is (byte)'\r' or (byte)'\n')
            i--;
        for (i = Math.Max(i, start); ; i += 2)
        {
            int next = bytes[i..].IndexOfAny(Controls);
            if (next < 0)
                return 0;
            i += next;
            bool isLast = i + 1 == bytes.Length;
            if (bytes[i] != '\r' || (!isLast && bytes[i + 1] != '\n'))
                break;
            if (bytes[i..].StartsWith("\r\n\r\n"u8))
                return i + 4; // the bytes behind it do not belong to the head, and may be anything
            if (isLast)
                return 0;
        }
        // A line ends with CR and LF together (RFC 9112 section 2.2). The tab is the only other control character that is allowed (RFC 9110 section 5.5).
        fault = bytes[i] switch
        {
            (byte)'\r' => "a CR without LF",
            (byte)'\n' => "an LF without CR",
            _ => "a control character",
        };
        return 0;
    }

    /// <summary>Adds a line. It may not have a space before the colon, nor continue the line before (RFC 9112 section 5).</summary>
    /// <param name="line">The line without its end.</param>
    /// <returns>False if the line is no field.</returns>
    public bool TryAdd(string line)
    {
        int colon = line.IndexOf(':', StringComparison.Ordinal);
        if (colon <= 0 || !RequestHead.IsToken(line.AsSpan(0, colon)))
            return false;
        _lines.Add((line[..colon], line[(colon + 1)..].Trim(' ', '\t')));
        return true;
    }

    public IEnumerator<(string Name, string Value)> GetEnumerator() => _lines.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
