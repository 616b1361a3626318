using System.Globalization;

namespace HeartbeatServer.Telemetry;

/// <summary>Durations as they stand in a sentence.</summary>
internal static class ReadableTime
{
    private const int ExactUpTo = 600;

    /// <summary>As it was measured: <c>3.3 s</c>, <c>60.0 s</c>, <c>30 min</c>, <c>30 min 12 s</c>, <c>2 h 4 min</c>.</summary>
    public static string Measured(TimeSpan time) => time.TotalSeconds < ExactUpTo - 0.05 ? Seconds(time.TotalSeconds, "0.0") : Long(time);

    /// <summary>As somebody will have set it: <c>3.3 s</c>, <c>60 s</c>, <c>30 min</c>. A measured time of 60.04 s was set to 60 s.</summary>
    public static string Set(TimeSpan time)
    {
        double whole = Math.Round(time.TotalSeconds);
        double seconds = Math.Abs(time.TotalSeconds - whole) < 0.1 ? whole : time.TotalSeconds;
        return seconds < ExactUpTo ? Seconds(seconds, "0.#") : Long(time);
    }

    /// <summary>How long ago something was: <c>12 s</c>, <c>3 min</c>, <c>5 h</c>, <c>2 d</c>.</summary>
    public static string Rough(TimeSpan time) => time switch
    {
        { TotalSeconds: < 60 } => Seconds(Math.Floor(time.TotalSeconds), "0"),
        { TotalHours: < 2 } => $"{Math.Floor(time.TotalMinutes):0} min",
        { TotalDays: < 2 } => $"{Math.Floor(time.TotalHours):0} h",
        _ => $"{Math.Floor(time.TotalDays):0} d",
    };

    private static string Seconds(double seconds, string format) => seconds.ToString(format, CultureInfo.InvariantCulture) + " s";

    private static string Long(TimeSpan time)
    {
        long seconds = (long)Math.Round(time.TotalSeconds);
        (long whole, string unit, long rest, string smaller) = seconds < 7200
            ? (seconds / 60, "min", seconds % 60, "s")
            : (seconds / 3600, "h", seconds % 3600 / 60, "min");
        return rest == 0 ? $"{whole} {unit}" : $"{whole} {unit} {rest} {smaller}";
    }
}
