using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Tests.Telemetry;

public sealed class ValidityTests
{
    private static readonly Validity March =
        new(new DateTime(2026, 3, 1, 0, 0, 0, DateTimeKind.Utc), new DateTime(2026, 3, 31, 12, 0, 0, DateTimeKind.Utc));

    [TestCase("2025-01-01", "it begins only in 424 day(s), on 2026-03-01")]
    [TestCase("2026-02-28T23:00", "it begins only in less than a day, on 2026-03-01")]
    [TestCase("2026-03-01", "it ends in 30 day(s), on 2026-03-31")]
    [TestCase("2026-03-31T12:00", "it ends in less than a day, on 2026-03-31")]
    [TestCase("2026-03-31T12:01", "it ended less than a day ago, on 2026-03-31")]
    [TestCase("2032-03-31T12:00", "it ended 2192 day(s) ago, on 2026-03-31")]
    public void The_words_are_right_before_within_and_after_it(DateTime now, string words) => Assert.That(March.Words(now), Is.EqualTo(words));

    [TestCase("2026-02-28", false, false, 31)]
    [TestCase("2026-03-15", true, false, 16)]
    [TestCase("2026-04-01", true, true, -1)]
    public void A_moment_is_before_within_or_after_it(DateTime now, bool hasBegun, bool hasEnded, int daysLeft)
    {
        Assert.That((March.HasBegun(now), March.HasEnded(now), March.DaysLeft(now)), Is.EqualTo((hasBegun, hasEnded, daysLeft)));
        Assert.That(March.Contains(now), Is.EqualTo(hasBegun && !hasEnded));
    }
}
