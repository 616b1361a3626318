using System.Buffers;
using System.Globalization;
using System.Text;

namespace HeartbeatServer.Options;

/// <summary>
/// Durations as Go writes them: <c>500ms</c>, <c>1m30s</c>, <c>1.5h</c>, or <c>0</c> without a unit. The units are d, which Go does not have, h, m, s, ms,
/// us and ns.
/// </summary>
internal static class Duration
{
    private static readonly SearchValues<char> NumberCharacters = SearchValues.Create("0123456789.");

    private static readonly (string Name, decimal Ticks)[] Units =
    [
        // The first unit that fits is taken, so "ms" stands before "m".
        ("d", TimeSpan.TicksPerDay), ("h", TimeSpan.TicksPerHour), ("ms", TimeSpan.TicksPerMillisecond), ("m", TimeSpan.TicksPerMinute), ("s", TimeSpan.TicksPerSecond),
        ("us", TimeSpan.TicksPerMicrosecond), ("µs", TimeSpan.TicksPerMicrosecond), ("ns", 0.01m),
    ];

    /// <returns>False if the text is no duration, is negative, or is longer than a <see cref="TimeSpan"/> can be.</returns>
    public static bool TryParse(string text, out TimeSpan duration)
    {
        duration = TimeSpan.Zero;
        if (text == "0")
            return true;

        ReadOnlySpan<char> rest = text;
        decimal ticks = 0;
        do
        {
            int digits = rest.IndexOfAnyExcept(NumberCharacters);
            if (digits <= 0 || !decimal.TryParse(rest[..digits], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out decimal number))
                return false;
            rest = rest[digits..];
            decimal? unit = null;
            foreach ((string name, decimal size) in Units)
            {
                if (!rest.StartsWith(name, StringComparison.Ordinal))
                    continue;
                unit = size;
                rest = rest[name.Length..];
                break;
            }
            if (unit is null || number > (TimeSpan.MaxValue.Ticks - ticks) / unit)
                return false;
            ticks += number * unit.Value;
        }
        while (!rest.IsEmpty);

        duration = TimeSpan.FromTicks((long)ticks);
        return true;
    }

    /// <summary>The shortest form that <see cref="TryParse"/> reads: <c>1m30s</c>, <c>500ms</c>.</summary>
    public static string Format(TimeSpan duration)
    {
        if (duration == TimeSpan.Zero)
            return "0";
        var text = new StringBuilder();
        if (duration.Ticks / TimeSpan.TicksPerHour is > 0 and var hours)
            text.Append(CultureInfo.InvariantCulture, $"{hours}h");
        if (duration.Minutes > 0)
            text.Append(CultureInfo.InvariantCulture, $"{duration.Minutes}m");
        decimal seconds = (decimal)(duration.Ticks % TimeSpan.TicksPerMinute) / TimeSpan.TicksPerSecond;
        if (seconds >= 1)
            text.Append(CultureInfo.InvariantCulture, $"{seconds:0.#######}s");
        else if (seconds > 0)
            text.Append(CultureInfo.InvariantCulture, $"{seconds * 1000:0.####}ms");
        return text.ToString();
    }
}
