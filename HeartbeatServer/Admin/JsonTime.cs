namespace HeartbeatServer.Admin;

/// <summary>Durations and instants as the JSON of /status shows them: rounded to what a person reads.</summary>
internal static class JsonTime
{
    /// <summary>In milliseconds, to a thousandth of one.</summary>
    public static double Ms(TimeSpan time) => Math.Round(time.TotalMilliseconds, 3);

    /// <summary>In seconds, to a thousandth of one.</summary>
    public static double Seconds(TimeSpan time) => Math.Round(time.TotalSeconds, 3);

    /// <summary>UTC, to the millisecond.</summary>
    public static DateTime Instant(DateTime time) => new(time.Ticks - (time.Ticks % TimeSpan.TicksPerMillisecond), DateTimeKind.Utc);
}
