using System.Globalization;

namespace HeartbeatServer.Telemetry;

/// <summary>From when until when a certificate is good (RFC 5280 section 4.1.2.5). Each time is in UTC.</summary>
/// <param name="NotBefore">When it begins.</param>
/// <param name="NotAfter">When it ends.</param>
internal readonly record struct Validity(DateTime NotBefore, DateTime NotAfter)
{
    public bool HasBegun(DateTime now) => now >= NotBefore;

    public bool HasEnded(DateTime now) => now > NotAfter;

    public bool Contains(DateTime now) => HasBegun(now) && !HasEnded(now);

    /// <summary>The time until the end. It is negative afterwards.</summary>
    public TimeSpan Left(DateTime now) => NotAfter - now;

    /// <summary>The whole days in <see cref="Left"/>.</summary>
    public int DaysLeft(DateTime now) => (int)Math.Floor(Left(now).TotalDays);

    /// <summary>What there is to say of the dates: <c>it ends in 20 day(s), on 2026-12-18</c>.</summary>
    public string Words(DateTime now)
    {
        if (!HasBegun(now))
            return $"it begins only in {Days(NotBefore - now)}, on {Day(NotBefore)}";
        return HasEnded(now) ? $"it ended {Days(now - NotAfter)} ago, on {Day(NotAfter)}" : $"it ends in {Days(NotAfter - now)}, on {Day(NotAfter)}";
    }

    /// <summary>A day as the log has it.</summary>
    public static string Day(DateTime time) => time.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);

    private static string Days(TimeSpan time) => time < TimeSpan.FromDays(1) ? "less than a day" : string.Create(CultureInfo.InvariantCulture, $"{(int)time.TotalDays} day(s)");
}
