using HeartbeatServer.Probe;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Probe;

public sealed class CampaignTests
{
    [Test]
    public void It_never_has_more_than_24_connections_and_pauses_between_two()
    {
        foreach (double forgets in new[] { 2.0, 33, 170, 1000 })
        {
            var path = new SimulatedPath { Forgets = TimeSpan.FromSeconds(forgets) };

            path.Run(900);

            Assert.That(path.Peak, Is.LessThanOrEqualTo(24));
            Assert.That(path.Attempts.Zip(path.Attempts.Skip(1), (one, next) => (next - one).TotalMilliseconds), Is.All.GreaterThanOrEqualTo(250));
            Assert.That(path.Attempts, Has.Count.LessThanOrEqualTo(72));
        }
    }

    [Test]
    public void Three_are_silent_from_0_3_and_7_seconds_on_and_two_ping()
    {
        var path = new SimulatedPath();

        path.Run();

        Assert.That(
            path.Campaign.All.Where(each => each.Role == ProbeRole.Silent).Select(each => Math.Round(each.Opened!.Value.TotalSeconds)),
            Is.EqualTo(new[] { 0, 3, 7 }));
        Watched[] controls = [.. path.Campaign.All.Where(each => each.Role == ProbeRole.Control)];
        Assert.That(controls.Select(each => each.Pongs), Is.All.InRange(148, 150), "one every 2 s");
        Assert.That(controls, Has.Length.EqualTo(2));
    }

    [TestCase(1)]
    [TestCase(2)]
    [TestCase(3)]
    [TestCase(5)]
    [TestCase(8)]
    [TestCase(20)]
    public void A_server_with_room_for_few_keeps_its_verdict(int most)
    {
        var path = new SimulatedPath { Most = most, Idle = TimeSpan.FromSeconds(60) };

        Verdict verdict = path.Run();

        Assert.That(verdict.Kind, Is.EqualTo(VerdictKind.Silence), path.Say(verdict));
        Assert.That(verdict.Length!.Value.TotalSeconds, Is.EqualTo(60).Within(0.1));
        Assert.That(path.Peak, Is.LessThanOrEqualTo(most));
        Assert.That(path.Campaign.Busy, Is.InRange(1, 6), "it does not knock for ever");
    }

    [Test]
    public void It_waits_for_as_long_as_the_server_asks()
    {
        Campaign campaign = Begun(out _);
        int id = campaign.Advance(TimeSpan.Zero).Single(step => step.Act == ProbeAct.Open).Id;

        campaign.Refused(id, isBusy: true, TimeSpan.FromSeconds(30), TimeSpan.Zero);

        Assert.That(campaign.Advance(TimeSpan.FromSeconds(29)).Where(step => step.Act == ProbeAct.Open), Is.Empty);
    }

    [Test]
    public void After_three_failures_in_a_row_it_opens_no_more()
    {
        Campaign campaign = Begun(out _);
        TimeSpan now = TimeSpan.Zero;
        for (int i = 0; i < 3; i++)
        {
            now += TimeSpan.FromSeconds(5);
            campaign.Answered(1, now);
            int id = campaign.Advance(now).Single(step => step.Act == ProbeAct.Open).Id;
            campaign.Refused(id, isBusy: false, null, now);
        }

        Assert.That(campaign.Advance(now + TimeSpan.FromMinutes(1)).Where(step => step.Act == ProbeAct.Open), Is.Empty);
        Assert.That(campaign.All.Single().Role, Is.EqualTo(ProbeRole.Silent), "the one that there is says more when it is silent");
    }

    [Test]
    public void Once_a_silence_has_ended_a_connection_no_more_are_opened_for_the_ladder()
    {
        var path = new SimulatedPath { Idle = TimeSpan.FromSeconds(1) };

        path.Run();

        Assert.That(path.Attempts, Has.Count.LessThanOrEqualTo(9));
    }

    [Test]
    public void A_control_whose_pings_get_no_answer_is_over()
    {
        Campaign campaign = Begun(out Watched first);
        for (double second = 0; second < 13; second += 0.25)
            campaign.Advance(TimeSpan.FromSeconds(second));

        Assert.That(first.End, Is.EqualTo(new ProbeEnd(EndKind.Lost)));
    }

    [Test]
    public void An_end_upon_a_ping_counts_as_a_silence_that_did_not_pass()
    {
        Campaign campaign = Begun(out _);
        Watched rung = Opened(campaign, ProbeRole.Ladder, out TimeSpan now);
        now = rung.LastByte + rung.Target;
        Assert.That(campaign.Advance(now), Has.Some.EqualTo(new ProbeStep(ProbeAct.Ping, rung.Id)));

        campaign.Ended(rung.Id, new ProbeEnd(EndKind.Reset), now + TimeSpan.FromMilliseconds(20));

        Assert.That(campaign.Ladder.Upper, Is.EqualTo(rung.Target));
    }

    private static Campaign Begun(out Watched first)
    {
        first = new Watched(1, ProbeRole.Control);
        first.Open(TimeSpan.Zero);
        return new Campaign(first, TimeSpan.Zero, TimeSpan.FromMinutes(5), hasMessage: false, answersPings: true);
    }

    /// <summary>Opens connections until there is one of this kind.</summary>
    private static Watched Opened(Campaign campaign, ProbeRole role, out TimeSpan now)
    {
        for (now = TimeSpan.Zero; ; now += TimeSpan.FromMilliseconds(250))
        {
            foreach (ProbeStep step in campaign.Advance(now).Where(step => step.Act == ProbeAct.Open))
                campaign.Opened(step.Id, now);
            if (campaign.All.FirstOrDefault(each => each.Role == role && each.IsOpen) is { } opened)
                return opened;
        }
    }
}
