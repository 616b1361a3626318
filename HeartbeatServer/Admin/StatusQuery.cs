using System.Collections.Specialized;
using HeartbeatServer.Options;

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

    /// <summary>The texts of all connections are searched. None is kept that is longer.</summary>
    private const int LongestSearch = 2000;

    private static readonly Syntax<SortKey> SortKeys = Syntax.Word(
        StringComparison.Ordinal,
        ("worst", SortKey.Worst), ("id", SortKey.Id), ("age", SortKey.Age), ("round_trip", SortKey.RoundTrip), ("strikes", SortKey.Strikes),
        ("bytes", SortKey.Bytes), ("late", SortKey.Late), ("missed", SortKey.Missed));

    private static readonly Syntax<bool> Orders = Syntax.Word(StringComparison.Ordinal, ("desc", true), ("asc", false));

    // The words of ConnectionFigures.State; null is any.
    private static readonly Syntax<string?> States = Syntax.Word(
        StringComparison.Ordinal, ("any", (string?)null), ("healthy", "healthy"), ("late", "late"), ("suspect", "suspect"), ("closing", "closing"));

    public int Offset => Value("offset", Syntax.Digits(0, int.MaxValue - MaxLimit), 0);

    public int Limit => Value("limit", Syntax.Digits(1, MaxLimit), DefaultLimit);

    /// <summary>
    /// The sequence number of the last end, or the time of the last sample, that the client already has. Only later ones are returned.
    /// </summary>
    public long After => Value("after", Syntax.Digits(0, long.MaxValue), 0);

    public string Search => query["search"]?.Trim() is not { } text ? ""
        : text.Length <= LongestSearch ? text
        : throw new BadQueryException($"search: more than {LongestSearch} characters");

    /// <summary>The state in which a connection has to be; null for any.</summary>
    public string? State => Value("state", States, null);

    public SortKey Sort => Value("sort", SortKeys, SortKey.Worst);

    public bool IsDescending => Value("order", Orders, true);

    private T Value<T>(string name, Syntax<T> syntax, T fallback)
    {
        if (query[name] is not { Length: > 0 } text)
            return fallback;
        return syntax.Read(text, out T? value) is { } expected ? throw new BadQueryException($"{name}: '{text}' is not {expected}") : value!;
    }
}
