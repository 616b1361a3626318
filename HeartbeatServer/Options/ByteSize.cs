using System.Globalization;

namespace HeartbeatServer.Options;

/// <summary>Sizes in bytes: <c>65536</c>, <c>64KiB</c>, <c>1MiB</c>, <c>1GiB</c>.</summary>
internal static class ByteSize
{
    private static readonly (string Suffix, long Bytes)[] Units = [("GiB", 1L << 30), ("MiB", 1L << 20), ("KiB", 1L << 10), ("B", 1), ("", 1)];

    /// <returns>False if the text is no size, or is one that is too large for a <see cref="long"/>.</returns>
    public static bool TryParse(string text, out long bytes)
    {
        (string suffix, long unit) = Units.First(unit => text.EndsWith(unit.Suffix, StringComparison.OrdinalIgnoreCase));
        bool isGood = WholeNumber.TryParse(text.AsSpan(0, text.Length - suffix.Length), NumberStyles.None, 0, long.MaxValue / unit, out bytes);
        bytes *= unit;
        return isGood;
    }

    /// <summary>Writes a size in the largest unit that divides it: <c>1MiB</c>, <c>1500B</c>.</summary>
    public static string Format(long bytes)
    {
        (string suffix, long unit) = Units.First(unit => bytes % unit.Bytes == 0 && bytes >= unit.Bytes || unit.Suffix == "B");
        return string.Create(CultureInfo.InvariantCulture, $"{bytes / unit}{suffix}");
    }
}
