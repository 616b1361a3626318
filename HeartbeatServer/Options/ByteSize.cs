using System.Globalization;

namespace HeartbeatServer.Options;

/// <summary>Sizes in bytes: <c>65536</c>, <c>64KiB</c>, <c>1MiB</c>, <c>1GiB</c>, and with the decimal units <c>64KB</c> (64,000), <c>1MB</c>, <c>1GB</c>.</summary>
internal static class ByteSize
{
    private static readonly (string Suffix, long Bytes)[] Units =
    [
        ("TiB", 1L << 40), ("GiB", 1L << 30), ("MiB", 1L << 20), ("KiB", 1L << 10),
        ("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000), ("B", 1), ("", 1),
    ];

    /// <returns>False if the text is no size, or is one that is too large for a <see cref="long"/>.</returns>
    public static bool TryParse(string text, out long bytes)
    {
        (string suffix, long unit) = Units.First(unit => text.EndsWith(unit.Suffix, StringComparison.OrdinalIgnoreCase));
        bool isGood = WholeNumber.TryParse(text.AsSpan(0, text.Length - suffix.Length), NumberStyles.None, 0, long.MaxValue / unit, out bytes);
        bytes *= unit;
        return isGood;
    }

    /// <summary>Writes a size in the unit that gives the smallest whole number: <c>1MiB</c>, <c>1MB</c>, <c>1500B</c>, and <c>0</c> without a unit.</summary>
    public static string Format(long bytes)
    {
        if (bytes == 0)
            return "0";
        (string suffix, long unit) = Units.Where(unit => (bytes % unit.Bytes == 0 && bytes >= unit.Bytes) || unit.Suffix == "B").MinBy(unit => bytes / unit.Bytes);
        return string.Create(CultureInfo.InvariantCulture, $"{bytes / unit}{suffix}");
    }
}
