using HeartbeatServer.Protocol;

namespace HeartbeatServer.Tests.Protocol;

public sealed class LateNewsTests
{
    private LateNews _news;

    [SetUp]
    public void SetUp() => _news = default;

    [Test]
    public void A_client_that_is_always_late_is_told_once()
    {
        var told = new List<string>();
        for (ulong ping = 1; ping <= 600; ping++)
        {
            if (_news.OnStrike(ping, 1))
                told.Add($"strike at {ping}");
            if (_news.OnLatePong(ping, Ms(700)))
                told.Add($"late at {ping}");
            else if (_news.OnSignOfLife())
                told.Add($"alive at {ping}");
        }

        Assert.That(told, Is.EqualTo(new[] { "strike at 1", "late at 1" }));
    }

    [Test]
    public void More_strikes_in_a_row_than_were_told_are_news()
    {
        Assert.That(_news.OnStrike(1, 1), Is.True);
        Assert.That(_news.OnStrike(2, 1), Is.False);
        Assert.That(_news.OnStrike(3, 2), Is.True);
        Assert.That(_news.OnStrike(4, 3), Is.True);
        Assert.That(_news.OnStrike(8, 2), Is.False);
    }

    [Test]
    public void A_round_trip_of_more_than_twice_the_one_that_was_told_is_news()
    {
        Assert.That(_news.OnLatePong(1, Ms(600)), Is.True);
        Assert.That(_news.OnLatePong(2, Ms(1200)), Is.False);
        Assert.That(_news.OnLatePong(3, Ms(1201)), Is.True);
        Assert.That(_news.OnLatePong(4, Ms(2000)), Is.False);
        Assert.That(_news.OnLatePong(5, Ms(600)), Is.False);
    }

    [Test]
    public void After_a_strike_that_was_told_the_first_sign_of_life_is_told_and_no_other()
    {
        _news.OnStrike(1, 1);
        Assert.That(_news.OnSignOfLife(), Is.True);
        Assert.That(_news.OnSignOfLife(), Is.False);
        _news.OnStrike(2, 1);
        Assert.That(_news.OnSignOfLife(), Is.False);
    }

    [Test]
    public void A_late_pong_that_is_told_is_the_sign_of_life()
    {
        _news.OnStrike(1, 1);
        _news.OnLatePong(1, Ms(600));
        Assert.That(_news.OnSignOfLife(), Is.False);
    }

    [Test]
    public void A_late_pong_that_is_no_news_leaves_the_sign_of_life_to_be_told()
    {
        _news.OnLatePong(1, Ms(600));
        _news.OnStrike(3, 2);
        Assert.That(_news.OnLatePong(3, Ms(700)), Is.False);
        Assert.That(_news.OnSignOfLife(), Is.True);
    }

    [Test]
    public void Ten_pings_in_time_are_a_recovery_and_after_it_all_is_news_again()
    {
        _news.OnStrike(1, 1);
        _news.OnLatePong(1, Ms(700));
        for (ulong ping = 2; ping <= 10; ping++)
            Assert.That(_news.OnPongInTime(ping), Is.False, $"ping {ping}");

        Assert.That(_news.OnPongInTime(11), Is.True);
        Assert.That(_news.OnPongInTime(12), Is.False);
        Assert.That(_news.OnStrike(13, 1), Is.True);
        Assert.That(_news.OnLatePong(13, Ms(700)), Is.True);
    }

    [Test]
    public void A_client_that_is_late_now_and_then_has_not_recovered()
    {
        _news.OnLatePong(1, Ms(700));
        for (ulong ping = 2; ping <= 100; ping++)
            Assert.That(ping % 5 == 0 ? _news.OnLatePong(ping, Ms(700)) : _news.OnPongInTime(ping), Is.False, $"ping {ping}");
    }

    [Test]
    public void A_single_strike_needs_no_word_of_recovery()
    {
        _news.OnStrike(1, 1);
        _news.OnSignOfLife();

        Assert.That(_news.OnPongInTime(20), Is.False);
        Assert.That(_news.OnStrike(21, 1), Is.True);
    }

    [Test]
    public void A_client_that_is_never_late_is_no_news()
    {
        for (ulong ping = 1; ping <= 100; ping++)
            Assert.That(_news.OnPongInTime(ping), Is.False);
    }

    private static TimeSpan Ms(double milliseconds) => TimeSpan.FromMilliseconds(milliseconds);
}
