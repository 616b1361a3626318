using HeartbeatServer.Probe;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Probe;

/// <summary>For each kind of path: whatever its figures are, the verdict has to name them.</summary>
public sealed class JudgementTests
{
    private const int Paths = 60;

    private static readonly TimeSpan Exactly = TimeSpan.FromSeconds(0.1);

    [Test]
    public void A_silence_that_ends_connections_is_found_to_a_tenth_of_a_second([Values] bool isReset)
    {
        EndKind end = isReset ? EndKind.Reset : EndKind.Fin;
        foreach ((int seed, TimeSpan idle) in Lengths(0.5, 285))
        {
            var path = new SimulatedPath(seed) { Idle = idle, End = new ProbeEnd(end) };

            Verdict verdict = path.Run();

            Assert.That((verdict.Kind, verdict.End!.Kind, verdict.Count), Is.EqualTo((VerdictKind.Silence, end, verdict.Of)), $"{idle}: {path.Say(verdict)}");
            Assert.That(verdict.Count, Is.GreaterThanOrEqualTo(3), $"{idle}");
            Assert.That(verdict.Length, Is.EqualTo(idle).Within(Exactly));
            Assert.That(verdict.Ping, Is.EqualTo(IdleLimits.PingBelow(verdict.From!.Value)));
        }
    }

    [Test]
    public void A_short_one_takes_no_longer_than_it_has_to()
    {
        var path = new SimulatedPath { Idle = TimeSpan.FromSeconds(3) };

        path.Run();

        Assert.That(path.Took, Is.LessThan(TimeSpan.FromSeconds(12)), "the last silent connection begins after 7 s");
    }

    [Test]
    public void A_silence_that_is_dropped_without_a_word_is_put_into_a_narrow_bracket()
    {
        foreach ((int seed, TimeSpan limit) in Lengths(1, 140))
        {
            var path = new SimulatedPath(seed) { Forgets = limit };

            Verdict verdict = path.Run();

            Assert.That(verdict.Kind, Is.EqualTo(VerdictKind.Drop), $"{limit}: {path.Say(verdict)}");
            Assert.That(verdict.From, Is.LessThanOrEqualTo(limit));
            Assert.That(verdict.To, Is.GreaterThan(limit));
            Assert.That((verdict.To - verdict.From)!.Value.TotalSeconds, Is.LessThanOrEqualTo(Math.Max(2, 0.02 * verdict.To!.Value.TotalSeconds)), $"{limit}");
            Assert.That(verdict.Ping, Is.EqualTo(IdleLimits.PingBelow(verdict.From!.Value)), "it counts from the lower bound");
        }
    }

    [Test]
    public void A_long_one_is_found_too_and_says_how_much_time_a_narrow_bracket_takes()
    {
        foreach ((int seed, TimeSpan limit) in Lengths(140, 265))
        {
            var path = new SimulatedPath(seed) { Forgets = limit };

            Verdict verdict = path.Run();

            Assert.That(verdict.Kind, Is.EqualTo(VerdictKind.Drop), $"{limit}: {path.Say(verdict)}");
            Assert.That((verdict.From <= limit, verdict.To > limit), Is.EqualTo((true, true)), $"{limit} is in {verdict.From}-{verdict.To}");
            if (verdict.NeedsFor is not { } longer)
                continue;
            Verdict better = new SimulatedPath(seed) { Forgets = limit }.Run(longer.TotalSeconds);
            Assert.That((better.Kind, better.NeedsFor), Is.EqualTo((VerdictKind.Drop, (TimeSpan?)null)), $"{limit} with {longer}");
        }
    }

    [Test]
    public void A_limit_on_the_life_is_told_from_one_on_silence()
    {
        foreach ((int seed, TimeSpan life) in Lengths(9, 285))
        {
            var path = new SimulatedPath(seed) { Life = life };

            Verdict verdict = path.Run();

            Assert.That((verdict.Kind, verdict.Count, verdict.Ping), Is.EqualTo((VerdictKind.Life, verdict.Of, (string?)null)), $"{life}: {path.Say(verdict)}");
            Assert.That(verdict.Length, Is.EqualTo(life).Within(Exactly));
        }
    }

    [Test]
    public void A_limit_on_the_life_shows_beside_a_shorter_silence()
    {
        var path = new SimulatedPath { Idle = TimeSpan.FromSeconds(25), Life = TimeSpan.FromSeconds(30) };

        Verdict verdict = path.Run();

        Assert.That((verdict.Kind, verdict.Length!.Value.TotalSeconds), Is.EqualTo((VerdictKind.Silence, 25.0)), path.Say(verdict));
        Assert.That(verdict.Life, Is.EqualTo(TimeSpan.FromSeconds(30)).Within(Exactly));
        Assert.That(VerdictText.Notes(verdict, path.Campaign, isInterrupted: false), Has.Some.StartWith("Connections that were not silent ended at the age of 30.0 s"));
    }

    [Test]
    public void A_goodbye_to_all_at_one_age_is_an_application_that_wants_a_message()
    {
        foreach ((int seed, TimeSpan age) in Lengths(2, 60))
        {
            var path = new SimulatedPath(seed) { Life = age, End = new ProbeEnd(EndKind.Close, 4408, "too late") };

            Verdict verdict = path.Run();

            Assert.That(verdict.Kind, Is.EqualTo(VerdictKind.Application), $"{age}: {path.Say(verdict)}");
            Assert.That(path.Say(verdict), Does.StartWith("The application wants a message").And.Contain("Close 4408 \"too late\"").And.Contain("--send"));
        }
    }

    [Test]
    public void What_ends_right_after_the_upgrade_is_no_silence([Values] bool isClose)
    {
        var path = new SimulatedPath
        {
            Life = TimeSpan.FromSeconds(0.05),
            End = isClose ? new ProbeEnd(EndKind.Close, 4401, "unauthorized") : new ProbeEnd(EndKind.Fin),
        };

        Verdict verdict = path.Run();

        Assert.That((verdict.Kind, verdict.Ping), Is.EqualTo((VerdictKind.Application, (string?)null)));
        Assert.That(path.Say(verdict), Does.StartWith("The server ends each connection right after the upgrade").And.Contain(verdict.End!.Text));
    }

    [Test]
    public void When_it_has_its_message_such_a_goodbye_is_a_limit_on_the_life()
    {
        var path = new SimulatedPath { Life = TimeSpan.FromSeconds(20), End = new ProbeEnd(EndKind.Close, 1000) };

        Assert.That(path.Run(hasMessage: true).Kind, Is.EqualTo(VerdictKind.Life));
    }

    [Test]
    public void A_goodbye_to_silent_connections_alone_is_the_server_s_own_limit()
    {
        var path = new SimulatedPath { Idle = TimeSpan.FromSeconds(30), End = new ProbeEnd(EndKind.Close, 1001, "idle") };

        Verdict verdict = path.Run();

        Assert.That((verdict.Kind, verdict.Ping), Is.EqualTo((VerdictKind.Silence, "10s")));
        Assert.That(path.Say(verdict), Does.Contain("the server itself says goodbye"));
    }

    [Test]
    public void A_silence_that_is_no_exact_one_is_a_range_and_the_ping_fits_its_shortest()
    {
        for (int seed = 1; seed <= Paths; seed++)
        {
            var path = new SimulatedPath(seed) { Idle = TimeSpan.FromSeconds(20), IdleSpread = TimeSpan.FromSeconds(10) };

            Verdict verdict = path.Run();

            Assert.That((verdict.Kind, verdict.Length), Is.EqualTo((VerdictKind.Silence, (TimeSpan?)null)), path.Say(verdict));
            Assert.That((verdict.From >= TimeSpan.FromSeconds(20), verdict.To <= TimeSpan.FromSeconds(30)), Is.EqualTo((true, true)));
            Assert.That(path.Say(verdict), Does.Contain("no exact limit"));
        }
    }

    [Test]
    public void Ends_at_random_are_no_limit()
    {
        int limits = 0;
        for (int seed = 1; seed <= Paths; seed++)
        {
            var path = new SimulatedPath(seed) { Random = (TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(40)) };
            limits += path.Run().IsLimit ? 1 : 0;
        }

        // Two controls may live longer than all others by chance.
        Assert.That(limits, Is.LessThanOrEqualTo(Paths / 20));
    }

    [Test]
    public void What_ends_all_at_one_moment_is_no_limit()
    {
        foreach ((int seed, TimeSpan moment) in Lengths(5, 250))
        {
            var path = new SimulatedPath(seed) { Restart = moment };

            Verdict verdict = path.Run();

            Assert.That(verdict.Kind, Is.EqualTo(VerdictKind.Moment), $"{moment}: {path.Say(verdict)}");
        }
    }

    [Test]
    public void A_server_that_pings_breaks_the_silence_and_its_beat_is_measured()
    {
        foreach ((int seed, TimeSpan beat) in Lengths(1, 60))
        {
            var path = new SimulatedPath(seed) { Beat = beat };

            Verdict verdict = path.Run();

            Assert.That(verdict.Kind, Is.EqualTo(VerdictKind.Speaks), $"{beat}: {path.Say(verdict)}");
            Assert.That(verdict.Length, Is.EqualTo(beat).Within(Exactly));
            Assert.That(verdict.Tested, Is.LessThanOrEqualTo(beat + Exactly));
        }
    }

    [Test]
    public void A_limit_that_is_shorter_than_the_server_s_beat_shows_nevertheless()
    {
        var path = new SimulatedPath { Beat = TimeSpan.FromSeconds(30), Idle = TimeSpan.FromSeconds(20) };

        Assert.That(path.Run(), Has.Property(nameof(Verdict.Kind)).EqualTo(VerdictKind.Silence).And.Property(nameof(Verdict.Ping)).EqualTo("5s"));
    }

    [Test]
    public void A_path_without_limits_has_none_and_the_next_usual_ones_are_named()
    {
        var path = new SimulatedPath();

        Verdict verdict = path.Run();

        Assert.That(verdict.Kind, Is.EqualTo(VerdictKind.None));
        Assert.That(verdict.Tested.TotalSeconds, Is.InRange(280, 295), "the last ping still needs time for its answer");
        Assert.That(path.Took, Is.EqualTo(TimeSpan.FromMinutes(5)));
        Assert.That(path.Say(verdict), Does.Contain("the 300 s of Envoy, Istio take --for 6m, the 350 s of AWS NLB take --for 7m"));
    }

    [Test]
    public void Where_packets_are_lost_now_and_then_there_is_no_limit()
    {
        for (int seed = 1; seed <= Paths; seed++)
        {
            var path = new SimulatedPath(seed) { Loss = 0.02 };

            Assert.That(path.Run().IsLimit, Is.False, $"{seed}");
        }
    }

    [Test]
    public void A_server_that_answers_no_pings_has_no_ladder_but_its_silence_shows()
    {
        var none = new SimulatedPath { Answers = false };
        var idle = new SimulatedPath { Answers = false, Idle = TimeSpan.FromSeconds(60) };

        Verdict verdict = none.Run();
        Assert.That((verdict.Kind, verdict.Tested > TimeSpan.FromSeconds(290)), Is.EqualTo((VerdictKind.Unanswered, true)));
        Assert.That(none.Campaign.All.Select(each => each.Role), Has.None.EqualTo(ProbeRole.Ladder));
        Assert.That(none.Say(verdict), Does.StartWith("No ping of ours was answered").And.Contain("whether bytes still pass after that is not known").And.Not.Contain("--ping"));
        Assert.That(VerdictText.Notes(verdict, none.Campaign, isInterrupted: false), Has.None.Contain("answer"));

        verdict = idle.Run();
        Assert.That(verdict.Kind, Is.EqualTo(VerdictKind.Silence));
        Assert.That(VerdictText.Notes(verdict, idle.Campaign, isInterrupted: false), Has.Some.StartWith("The server does not answer pings"));
    }

    [Test]
    public void Segments_of_the_other_kernel_are_told()
    {
        var path = new SimulatedPath { KeepAlive = TimeSpan.FromSeconds(60) };

        Verdict verdict = path.Run();

        Assert.That(VerdictText.Notes(verdict, path.Campaign, isInterrupted: false), Has.Some.Match("^The kernel of the other side sent segments .* the first after 6[0-2]\\.\\d s"));
    }

    [Test]
    public void A_rule_that_is_broken_is_no_limit()
    {
        var path = new SimulatedPath { Life = TimeSpan.FromSeconds(10), End = new ProbeEnd(EndKind.Violation, Reason: "reserved opcode 0x3") };

        Verdict verdict = path.Run();

        Assert.That(verdict.Kind, Is.EqualTo(VerdictKind.Random));
        Assert.That(path.Say(verdict), Does.Contain("broke a rule of WebSocket: reserved opcode 0x3"));
    }

    [Test]
    public void An_interrupted_run_says_what_is_known()
    {
        var early = new SimulatedPath { Interrupt = TimeSpan.FromSeconds(1) };
        var later = new SimulatedPath { Interrupt = TimeSpan.FromSeconds(40), Forgets = TimeSpan.FromSeconds(20) };

        Assert.That(early.Say(early.Run()), Does.StartWith("Nothing is known yet"));
        Assert.That(later.Run().Kind, Is.EqualTo(VerdictKind.Drop));
    }

    /// <summary>Lengths that are spread evenly on a logarithmic scale, and each a seed.</summary>
    private static IEnumerable<(int Seed, TimeSpan Length)> Lengths(double from, double to)
    {
        var random = new Random(17);
        return Enumerable.Range(1, Paths).Select(seed => (seed, TimeSpan.FromSeconds(Math.Round(from * Math.Pow(to / from, random.NextDouble()), 2))));
    }
}
