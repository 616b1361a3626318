using System.Collections.Specialized;
using System.Globalization;

namespace HeartbeatServer.Admin;

internal enum SortKey
{
    /// <summary>Strikes, then the last round trip.</summary>
    Worst,
    Id,
    Age,
    RoundTrip,
    Strikes,
    Bytes,
    Late,
    Missed,
}

/// <summary>A parameter of a query that cannot be read; the message names it.</summary>
internal sealed class BadQueryException(string message) : Exception(message);

/// <summary>What the query of a status page asks for.</summary>
/// <param name="query">Decoded.</param>
internal sealed class StatusQuery(NameValueCollection query)
{
    private const int MaxLimit = 1000;
    private const int DefaultLimit = 50;

    private static readonly (string Name, SortKey Key)[] SortKeys =
    [
        ("worst", SortKey.Worst), ("id", SortKey.Id), ("age", SortKey.Age), ("round_trip", SortKey.RoundTrip), ("strikes", SortKey.Strikes),
        ("bytes", SortKey.Bytes), ("late", SortKey.Late), ("missed", SortKey.Missed),
    ];

    public int Offset => (int)Number("offset", 0, 0, int.MaxValue - MaxLimit);

    public int Limit => (int)Number("limit", DefaultLimit, 1, MaxLimit);

    /// <summary>Of a sequence of ends, or of samples: those that the client has.</summary>
    public long After => Number("after", 0, 0, long.MaxValue);

    public string Search => query["search"]?.Trim() ?? "";

    public SortKey Sort => Word("sort", SortKeys);

    public bool IsDescending => Word("order", [("desc", true), ("asc", false)]);

    private long Number(string name, long fallback, long least, long most)
    {
        if (query[name] is not { Length: > 0 } text)
            return fallback;
        if (long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long number) && number >= least && number <= most)
            return number;
        throw new BadQueryException($"{name}: '{text}' is not a whole number from {least} to {most}");
    }

    /// <summary>One of the words; without the parameter, the first.</summary>
    private T Word<T>(string name, (string Word, T Value)[] words)
    {
        if (query[name] is not { Length: > 0 } text)
            return words[0].Value;
        foreach ((string word, T value) in words)
        {
            if (word == text)
                return value;
        }
        throw new BadQueryException($"{name}: '{text}' is not one of {string.Join(", ", words.Select(each => each.Word))}");
    }
}
