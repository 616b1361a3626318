using HeartbeatServer.Probe;

namespace HeartbeatServer.Tests.Probe;

public sealed class LadderTests
{
    private static readonly TimeSpan Enough = TimeSpan.FromHours(1);

    [Test]
    public void Its_steps_end_right_above_usual_limits()
    {
        var ladder = new Ladder();
        List<TimeSpan> taken = [];
        while (ladder.Next(TimeSpan.Zero, TimeSpan.FromMinutes(5), taken) is { } step)
            taken.Add(step);

        Assert.That(taken.Select(step => step.TotalSeconds), Is.SupersetOf(new[] { 31, 61, 91, 101, 121, 241 }).And.Ordered);
        Assert.That(taken[^1] + Ladder.Patience, Is.LessThanOrEqualTo(TimeSpan.FromMinutes(5)), "an answer still has its time");
    }

    [Test]
    public void What_is_survived_is_not_tried_again()
    {
        var ladder = new Ladder();
        ladder.Pass(TimeSpan.FromSeconds(31));

        Assert.That(ladder.Next(TimeSpan.Zero, Enough, []), Is.EqualTo(TimeSpan.FromSeconds(46)));
        Assert.That(ladder.Next(TimeSpan.FromSeconds(50), Enough, []), Is.EqualTo(TimeSpan.FromSeconds(61)), "it has been silent for longer already");
    }

    [Test]
    public void Within_a_bracket_each_takes_the_middle_of_the_widest_gap()
    {
        var ladder = new Ladder();
        ladder.Pass(TimeSpan.FromSeconds(31));
        ladder.Lose(TimeSpan.FromSeconds(61));
        List<TimeSpan> taken = [];
        for (int i = 0; i < 3; i++)
            taken.Add(ladder.Next(TimeSpan.Zero, Enough, taken)!.Value);

        Assert.That(taken.Select(each => each.TotalSeconds), Is.EquivalentTo(new[] { 46, 38.5, 53.5 }));
        Assert.That(ladder.Next(TimeSpan.FromSeconds(58), Enough, taken)!.Value.TotalSeconds, Is.EqualTo(59.5), "the part that is not over yet");
    }

    [TestCase(58, 60, true)]
    [TestCase(57, 60, false)]
    [TestCase(346, 352, true)]
    [TestCase(340, 352, false)]
    [TestCase(4.5, 6, true)]
    [TestCase(1, 2, false)]
    public void A_bracket_is_narrow_at_2_seconds_or_2_percent_or_a_quarter_of_a_short_one(double lower, double upper, bool isNarrow)
    {
        var ladder = new Ladder();
        ladder.Pass(TimeSpan.FromSeconds(lower));
        ladder.Lose(TimeSpan.FromSeconds(upper));

        Assert.That(ladder.IsNarrow, Is.EqualTo(isNarrow));
        Assert.That(ladder.Next(TimeSpan.Zero, Enough, []) is null, Is.EqualTo(isNarrow));
    }

    [Test]
    public void A_loss_below_a_longer_silence_that_passed_is_a_stray()
    {
        var ladder = new Ladder();
        ladder.Lose(TimeSpan.FromSeconds(31));
        ladder.Pass(TimeSpan.FromSeconds(61));

        Assert.That((ladder.Upper, ladder.Lost, ladder.Strays), Is.EqualTo(((TimeSpan?)null, 0, 1)));
    }

    [Test]
    public void What_does_not_fit_into_the_time_is_not_begun()
    {
        var ladder = new Ladder();
        ladder.Pass(TimeSpan.FromSeconds(31));

        Assert.That(ladder.Next(TimeSpan.Zero, TimeSpan.FromSeconds(50), []), Is.Null);
        ladder.Lose(TimeSpan.FromSeconds(61));
        Assert.That(ladder.Next(TimeSpan.Zero, TimeSpan.FromSeconds(50), []), Is.Null);
        Assert.That(ladder.Next(TimeSpan.FromSeconds(30), TimeSpan.FromSeconds(50), []), Is.EqualTo(TimeSpan.FromSeconds(46)));
    }
}
