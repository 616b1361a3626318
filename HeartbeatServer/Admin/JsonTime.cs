namespace HeartbeatServer.Admin;

/// <summary>Durations and times for people: to a thousandth.</summary>
internal static class Rounded
{
    public static double Ms(TimeSpan time) => Math.Round(time.TotalMilliseconds, 3);

    public static double Seconds(TimeSpan time) => Math.Round(time.TotalSeconds, 3);

    /// <summary>To the millisecond.</summary>
    public static DateTime Time(DateTime time) => new(time.Ticks - (time.Ticks % TimeSpan.TicksPerMillisecond), DateTimeKind.Utc);
}
