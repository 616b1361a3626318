using HeartbeatServer.Protocol;


namespace HeartbeatServer.Tests.Protocol;

[TestFixture]
public sealed class RoundTripsTests
{
    [Test]
    public void Without_a_round_trip_everything_is_zero()
    {
        var none = new RoundTrips();

        Assert.That(none.Count, Is.Zero);
        Assert.That(new[] { none.Last, none.Min, none.Max, none.Mean, none.Jitter }, Is.All.EqualTo(TimeSpan.Zero));
    }

    [Test]
    public void The_first_is_last_least_most_and_mean_and_has_no_jitter()
    {
        RoundTrips one = Of(20);

        Assert.That(one.Count, Is.EqualTo(1));
        Assert.That(new[] { one.Last, one.Min, one.Max, one.Mean }, Is.All.EqualTo(Ms(20)));
        Assert.That(one.Jitter, Is.EqualTo(TimeSpan.Zero));
    }

    [Test]
    public void Several_have_a_last_a_least_a_most_and_a_mean()
    {
        RoundTrips several = Of(20, 5, 80, 15);

        Assert.That(several.Count, Is.EqualTo(4));
        Assert.That((several.Last, several.Min, several.Max, several.Mean), Is.EqualTo((Ms(15), Ms(5), Ms(80), Ms(30))));
    }

    [Test]
    public void The_last_sixteen_are_kept_oldest_first()
    {
        Assert.That(new RoundTrips().RecentMs(), Is.Empty);
        Assert.That(Of(3, 1, 2).RecentMs(), Is.EqualTo(new[] { 3.0, 1, 2 }));
        Assert.That(Of([.. Enumerable.Range(1, 20)]).RecentMs(), Is.EqualTo(Enumerable.Range(5, 16).Select(each => (double)each)));
    }

    [Test]
    public void A_kept_one_has_three_digits_and_is_finite_however_long()
    {
        var times = new RoundTrips();
        times.Add(Ms(0.123));
        times.Add(TimeSpan.FromHours(2));

        Assert.That(times.RecentMs()[0], Is.EqualTo(0.123).Within(0.0005 * 0.123));
        Assert.That(times.RecentMs()[1], Is.EqualTo(65504));
    }

    [Test]
    public void Jitter_is_the_smoothed_difference_of_neighbours()
    {
        // RFC 3550 section 6.4.1: J += (|D| - J) / 16.
        Assert.That(Of(10, 26).Jitter, Is.EqualTo(Ms(1)));
        Assert.That(Of(26, 10).Jitter, Is.EqualTo(Ms(1)), "a difference has no sign");
        Assert.That(Of(10, 26, 26).Jitter, Is.EqualTo(Ms(15.0 / 16)));
        Assert.That(Of(10, 26, 59).Jitter, Is.EqualTo(Ms(1 + 32.0 / 16)));
    }

    [Test]
    public void Equal_round_trips_have_no_jitter() => Assert.That(Of(7, 7, 7, 7).Jitter, Is.EqualTo(TimeSpan.Zero));

    private static RoundTrips Of(params int[] milliseconds)
    {
        var roundTrips = new RoundTrips();
        foreach (int each in milliseconds)
            roundTrips.Add(Ms(each));
        return roundTrips;
    }

    private static TimeSpan Ms(double milliseconds) => TimeSpan.FromMilliseconds(milliseconds);
}
