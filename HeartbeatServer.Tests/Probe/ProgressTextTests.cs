using HeartbeatServer.Probe;

namespace HeartbeatServer.Tests.Probe;

public sealed class ProgressTextTests
{
    [Test]
    public void Each_kind_of_connection_has_a_line_and_the_time_has_one()
    {
        Campaign campaign = Run(TimeSpan.FromSeconds(4), out TimeSpan now);

        Assert.That(ProgressText.Block(campaign, now, TimeSpan.FromMinutes(5)), Is.EqualTo(new[]
        {
            "  silent   2 of 2 open, silent for 4.0 s",
            "  ladder   14 of 14 open, 3.5 s passed, next ping in 3 s",
            "  control  2 of 2 open, 4 of 4 pings answered",
            "  0:04 of at most 5:00",
        }));
        Assert.That(ProgressText.Line(campaign, now), Is.EqualTo(
            "  +4.0s    silent: 2 of 2 open, silent for 4.0 s; ladder: 14 of 14 open, 3.5 s passed, next ping in 3 s; control: 2 of 2 open, 4 of 4 pings answered"));
    }

    [Test]
    public void What_passed_and_what_did_not_stands_in_the_line_of_the_ladder()
    {
        Campaign campaign = Run(TimeSpan.FromSeconds(2), out TimeSpan now);
        campaign.Ladder.Pass(TimeSpan.FromSeconds(6.5));
        campaign.Ladder.Lose(TimeSpan.FromSeconds(11));

        Assert.That(ProgressText.Block(campaign, now, TimeSpan.FromHours(2))[1], Does.Contain("open, 6.5 s passed, 11.0 s did not, next ping in"));
        Assert.That(ProgressText.Block(campaign, now, TimeSpan.FromHours(2))[3], Is.EqualTo("  0:02 of at most 2:00:00"));
    }

    [TestCase(ProbeRoleName.Silent, EndName.Fin, false, "  +40.0s   silent #7: FIN after 30.0 s of silence")]
    [TestCase(ProbeRoleName.Ladder, EndName.Reset, true, "  +40.0s   ladder #7: RST upon a ping after 30.0 s of silence")]
    [TestCase(ProbeRoleName.Ladder, EndName.Lost, true, "  +40.0s   ladder #7: no answer to a ping after 30.0 s of silence")]
    [TestCase(ProbeRoleName.Control, EndName.Close, false, "  +40.0s   control #7: Close 1001 \"bye\" at the age of 30.0 s")]
    [TestCase(ProbeRoleName.Ladder, EndName.Done, false, null)]
    public void An_end_has_a_line_but_not_if_it_is_ours(ProbeRoleName role, EndName end, bool isPinged, string? line)
    {
        var watched = new Watched(7, Enum.Parse<ProbeRole>($"{role}"));
        watched.Open(TimeSpan.FromSeconds(10));
        if (isPinged)
            watched.Ping(TimeSpan.FromSeconds(40));
        watched.Finish(new ProbeEnd(Enum.Parse<EndKind>($"{end}"), 1001, "bye"), TimeSpan.FromSeconds(40));

        Assert.That(ProgressText.Ended(watched, TimeSpan.FromSeconds(40)), Is.EqualTo(line));
    }

    [Test]
    public void On_a_terminal_progress_is_rewritten_in_place_and_no_line_is_broken()
    {
        using var output = new StringWriter { NewLine = "\n" };
        var display = new ProbeDisplay(output, isTerminal: true, () => 10);

        display.Show(["123456789012", "b"]);
        display.Show(["c"]);
        display.Write("a line that stays");
        display.Show(["d"]);
        display.Clear();
        display.Clear();

        Assert.That(output.ToString(), Is.EqualTo(
            "123456789\nb\n" + "\u001b[2A\r\u001b[J" + "c\n" + "\u001b[1A\r\u001b[J" + "a line that stays\n" + "d\n" + "\u001b[1A\r\u001b[J"));
    }

    /// <summary>A campaign on a path without limits, whose pings are answered at once.</summary>
    private static Campaign Run(TimeSpan length, out TimeSpan now)
    {
        var first = new Watched(1, ProbeRole.Control);
        first.Open(TimeSpan.Zero);
        var campaign = new Campaign(first, TimeSpan.Zero, TimeSpan.FromMinutes(5), hasMessage: false, answersPings: true);
        for (now = TimeSpan.Zero; ; now += TimeSpan.FromMilliseconds(250))
        {
            foreach (ProbeStep step in campaign.Advance(now))
            {
                if (step.Act == ProbeAct.Open)
                    campaign.Opened(step.Id, now);
                else
                    campaign.Answered(step.Id, now);
            }
            if (now >= length)
                return campaign;
        }
    }

    /// <summary>NUnit wants the types of its arguments to be public.</summary>
    public enum ProbeRoleName
    {
        Silent,
        Ladder,
        Control,
    }

    /// <inheritdoc cref="ProbeRoleName"/>
    public enum EndName
    {
        Fin,
        Reset,
        Close,
        Lost,
        Done,
    }
}
