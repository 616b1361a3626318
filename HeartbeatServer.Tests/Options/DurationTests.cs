using HeartbeatServer.Options;


namespace HeartbeatServer.Tests.Options;

[TestFixture]
public sealed class DurationTests
{
    [TestCase("0", 0)]
    [TestCase("0s", 0)]
    [TestCase("500ms", 0.5)]
    [TestCase("10s", 10)]
    [TestCase("1m", 60)]
    [TestCase("1m30s", 90)]
    [TestCase("1h30m", 5400)]
    [TestCase("1d", 86400)]
    [TestCase("1d12h", 129600)]
    [TestCase("2h", 7200)]
    [TestCase("1h2m3s4ms", 3723.004)]
    [TestCase("1.5h", 5400)]
    [TestCase("0.5s", 0.5)]
    [TestCase(".5s", 0.5)]
    [TestCase("1.s", 1)]
    [TestCase("1500ms", 1.5)]
    [TestCase("90s", 90)]
    [TestCase("1s1s", 2)]
    [TestCase("1s1h", 3601)]
    [TestCase("250us", 0.00025)]
    [TestCase("250µs", 0.00025)]
    [TestCase("1000ns", 0.000001)]
    [TestCase("007s", 7)]
    public void A_duration_is_read_as_Go_does(string text, double seconds)
    {
        Assert.That(Duration.TryParse(text, out TimeSpan duration), Is.True);
        Assert.That(duration, Is.EqualTo(TimeSpan.FromTicks((long)Math.Round(seconds * TimeSpan.TicksPerSecond))));
    }

    [TestCase("")]
    [TestCase(" ")]
    [TestCase("10")]
    [TestCase("00")]
    [TestCase("s")]
    [TestCase(".s")]
    [TestCase("ms")]
    [TestCase("-5s")]
    [TestCase("+5s")]
    [TestCase("10 s")]
    [TestCase(" 10s")]
    [TestCase("10s ")]
    [TestCase("10S")]
    [TestCase("10sec")]
    [TestCase("1D")]
    [TestCase("1day")]
    [TestCase("1m30")]
    [TestCase("1.2.3s")]
    [TestCase("1,5s")]
    [TestCase("1e3s")]
    [TestCase("0x10s")]
    [TestCase("٣s")]
    [TestCase("infinity")]
    [TestCase("00:00:10")]
    public void Anything_else_is_refused(string text) => Assert.That(Duration.TryParse(text, out _), Is.False);

    [TestCase("256204779h")]
    [TestCase("99999999999999999999h")]
    [TestCase("999999999999999999999999999999999999999999999999h")]
    [TestCase("256204778h256204778h")]
    [TestCase("922337203685.4775808s")]
    public void What_does_not_fit_is_refused_and_does_not_throw(string text) => Assert.That(Duration.TryParse(text, out _), Is.False);

    [TestCase("256204778h")]
    [TestCase("922337203685s")]
    public void The_longest_that_fits_is_read(string text) => Assert.That(Duration.TryParse(text, out _), Is.True);

    [TestCase(0, "0")]
    [TestCase(0.0000001, "0.0001ms")]
    [TestCase(0.0005, "0.5ms")]
    [TestCase(0.5, "500ms")]
    [TestCase(1, "1s")]
    [TestCase(1.5, "1.5s")]
    [TestCase(10, "10s")]
    [TestCase(60, "1m")]
    [TestCase(90, "1m30s")]
    [TestCase(90.25, "1m30.25s")]
    [TestCase(3600, "1h")]
    [TestCase(3600.5, "1h500ms")]
    [TestCase(7384, "2h3m4s")]
    [TestCase(90_000, "25h")]
    public void A_duration_is_written_in_its_shortest_form(double seconds, string expected) =>
        Assert.That(Duration.Format(TimeSpan.FromTicks((long)Math.Round(seconds * TimeSpan.TicksPerSecond))), Is.EqualTo(expected));

    [Test]
    public void What_was_written_is_read_back()
    {
        var random = new Random(1);
        for (int round = 0; round < 2_000; round++)
        {
            var duration = TimeSpan.FromTicks(random.NextInt64(1L << random.Next(1, 55)));
            Assert.That(Duration.TryParse(Duration.Format(duration), out TimeSpan read), Is.True, $"{duration}");
            Assert.That(read, Is.EqualTo(duration), Duration.Format(duration));
        }
    }
}
