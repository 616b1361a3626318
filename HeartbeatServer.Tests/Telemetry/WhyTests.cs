using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;
using static HeartbeatServer.Tests.Support.Departures;

namespace HeartbeatServer.Tests.Telemetry;

internal sealed class WhyTests
{
    private static readonly ChanceTests.Crowd Noise = new(PingSeconds: 0, MessageSeconds: 20, LifeSeconds: 60, RightAfterMessage: 0.4);

    [Test]
    public void Before_the_first_end_there_is_nothing_to_say() =>
        Assert.That(Kinds(new Departures().Explained()), Is.EqualTo(new[] { "none: No connection has ended by itself while this server ran." }));

    [TestCase(5.0, "5.0 s", "5 s", "", "2s")]
    [TestCase(3.3, "3.3 s", "3.3 s", "", "1s")]
    [TestCase(60.0, "60.0 s", "60 s", " (nginx, AWS ALB, Kubernetes ingress-nginx)", "25s")]
    [TestCase(100.0, "100.0 s", "100 s", " (Cloudflare, YARP)", "45s")]
    [TestCase(350.0, "350.0 s", "350 s", " (AWS NLB)", "2m")]
    [TestCase(1800.0, "30 min", "30 min", "", "10m")]
    public void A_silence_of_any_length_is_an_idle_timeout(double limit, string measured, string set, string names, string ping)
    {
        for (int seed = 1; seed <= 20; seed++)
        {
            var random = new Random(seed);
            Departures departures = Noisy(random, limit, 60);
            departures.Add(60, _ =>
            {
                double silence = limit + (random.NextDouble() * 0.04);
                double before = 1 + (random.NextDouble() * Math.Max(100, limit));
                return new Departure(limit + before + (random.NextDouble() * 1000), silence + before, silence);
            });

            Finding finding = departures.Explained().Single(each => each.Explains);

            Assert.That(finding.Sentence, Does.Match(
                $@"^\d+ of \d+ ended after {measured} of silence, the last .* ago: an idle timeout of {set} on the way{System.Text.RegularExpressions.Regex.Escape(names)}\. --ping {ping} keeps them\.$"));
            Assert.That((finding.Kind, finding.Ping), Is.EqualTo((FindingKind.Silence, ping)));
            Assert.That(finding.Count, Is.InRange(60, 65));
            Assert.That(finding.Length!.Value.TotalSeconds, Is.EqualTo(limit).Within(0.05));
        }
    }

    [Test]
    public void A_proxy_that_counts_bytes_of_the_server_alone_shows_in_the_silence_to_the_client()
    {
        var random = new Random(1);
        var departures = new Departures();
        departures.Add(20, i => new Departure(100 + (i * 7), 70 + i, From: 1 + (random.NextDouble() * 58), To: 60.01));

        Assert.That(Kinds(departures.Explained()), Is.EqualTo(new[]
        {
            "silence: 20 of 20 ended after 60.0 s in which nothing was sent to the client, the last 10 s ago: an idle timeout of 60 s on the way "
            + "(nginx, AWS ALB, Kubernetes ingress-nginx). --ping 25s keeps them.",
        }));
    }

    [Test]
    public void A_proxy_that_counts_bytes_of_the_client_alone_shows_in_the_silence_from_the_client()
    {
        var random = new Random(1);
        var departures = new Departures();
        departures.Add(20, i => new Departure(100 + (i * 7), 100 + i, From: 20, To: random.NextDouble() * 15));

        Assert.That(departures.Explained().Single().Sentence, Does.StartWith("20 of 20 ended after 20.0 s without a byte from the client, "));
    }

    [Test]
    public void Clients_that_were_gone_when_a_ping_found_them_are_no_idle_timeout()
    {
        var departures = new Departures();
        departures.Add(20, i => new Departure(100 + (i * 7), 95 + i, From: 10.02, To: 0.02, DisconnectCause.ConnectionReset));

        Assert.That(Kinds(departures.Explained(pingSeconds: 10)), Has.All.Not.StartsWith("silence"));
    }

    [Test]
    public void The_silence_of_a_client_that_nobody_reads_is_no_idle_timeout()
    {
        var departures = new Departures();
        departures.Add(20, i => new Departure(100 + (i * 7), 95 + i, From: 60.01, To: 3.0, DisconnectCause.ConnectionReset, IsBlocked: true));

        Assert.That(Kinds(departures.Explained(pingSeconds: 1)), Is.EqualTo(new[]
        {
            "none: The last 20 ends have no moment, age or silence in common: look at each by itself.",
        }));

        departures.Add(20, i => new Departure(103 + (i * 7), 95 + i, From: 60.01, To: 60.01));
        Assert.That(departures.Explained().Single(each => each.Explains).Sentence, Does.StartWith("20 of 20 ended after 60.0 s of silence, "));
    }

    [TestCase(10, "25s", null)]
    [TestCase(25, "25s", null)]
    [TestCase(45, "25s", "25s")]
    [TestCase(0, "25s", "25s")]
    public void A_ping_that_is_as_long_as_the_one_set_is_not_recommended(double set, string usual, string? ping)
    {
        var random = new Random(1);
        var departures = new Departures();
        departures.Add(20, i => new Departure(100 + (i * 7), 70 + i, From: 1 + (random.NextDouble() * 3), To: 60.01));

        Finding finding = departures.Explained(pingSeconds: set).Single(each => each.Explains);

        Assert.That(finding.Ping, Is.EqualTo(ping));
        Assert.That(finding.Sentence, Does.Contain("an idle timeout of 60 s on the way").And.EndWith(ping is not null
            ? $" --ping {ping} keeps them."
            : $" A ping was due every {set:0} s, and none left in that time, so --ping does not help. An application that has begun a frame and not ended it holds "
                + "pings back, and so does a ping of its own that nobody has answered."));
        Assert.That(finding.Sentence, ping is null ? Does.Not.Contain(usual) : Does.Contain(usual));
    }

    [Test]
    public void Connections_that_were_silent_from_their_beginning_may_have_met_a_limit_on_their_life()
    {
        var departures = new Departures();
        departures.Add(20, i => new Departure(100 + (i * 7), 30.0));

        Assert.That(departures.Explained().Single().Sentence, Does.Contain("30.0 s of silence").And.Contain("(Google Cloud Application Load Balancer)")
            .And.EndWith("so it may also be a limit on their whole life."));
    }

    [Test]
    public void Clients_that_speak_once_and_are_then_silent_meet_an_idle_timeout_and_no_limit_on_their_life()
    {
        var random = new Random(1);
        var departures = new Departures();
        departures.Add(20, i =>
        {
            double hello = 0.2 + (random.NextDouble() * 0.05);
            return new Departure(100 + (i * 7), 60.01 + hello, 60.01);
        });

        Finding finding = departures.Explained().Single();

        Assert.That((finding.Kind, finding.Ping), Is.EqualTo((FindingKind.Silence, "25s")));
    }

    [Test]
    public void A_limit_on_the_life_shows_in_the_age_though_bytes_came()
    {
        var random = new Random(1);
        Departures departures = Noisy(random, 30, 40);
        departures.Add(40, i => new Departure(100 + (i * 9), 30 + (random.NextDouble() * 0.05), From: random.NextDouble() * 10));

        Finding finding = departures.Explained(pingSeconds: 10)[0];

        Assert.That((finding.Kind, finding.Ping), Is.EqualTo((FindingKind.Age, (string?)null)));
        Assert.That(finding.Sentence, Does.Match(
            @"^\d+ of \d+ ended at the age of 30\.0 s though bytes came, the last .* ago: a limit of 30 s on the life of a connection "
            + @"\(Google Cloud Application Load Balancer\)\. Pings do not help; "));
    }

    [Test]
    public void With_pings_it_says_which_limits_cannot_show()
    {
        var random = new Random(1);
        var departures = new Departures();
        departures.Add(23, i => new Departure(100 + (i * 9), 30 + (i * 11), From: random.NextDouble() * 10));

        Assert.That(Kinds(departures.Explained(pingSeconds: 10)), Is.EqualTo(new[]
        {
            "pings: A ping goes every 10 s, so an idle timeout longer than that cannot end a connection. No shorter one shows: the 23 that ended without a "
            + "goodbye have no silence in common.",
            "none: The last 23 ends have no moment, age or silence in common: look at each by itself.",
        }));
    }

    [TestCase(4, 4)]
    [TestCase(5, 12)]
    public void A_cluster_is_five_ends_and_three_in_ten(int silent, int others)
    {
        var departures = new Departures();
        departures.Add(silent, i => new Departure(100 + (i * 9), 200, 60));
        departures.Add(others, i => new Departure(103 + (i * 9), 90 + (i * i), 3 + (i * 4)));

        Assert.That(departures.Explained().Where(each => each.Explains), Is.Empty);

        departures.Add(new Departure(99, 200, 60));
        Assert.That(departures.Explained().Single(each => each.Explains).Count, Is.EqualTo(silent + 1));
    }

    [Test]
    public void Clients_that_come_for_a_moment_hide_no_limit()
    {
        var departures = new Departures();
        departures.Add(20, i => new Departure(100 + (i * 9), 70 + (i * 7), 60));
        departures.Add(400, i => new Departure(101 + (i * 0.4), 0.3, 0.1));

        Assert.That(departures.Explained().Single(each => each.Explains).Sentence, Does.StartWith("20 of 20 ended after 60.0 s of silence, "));
    }

    [Test]
    public void Two_limits_on_the_way_are_two_sentences()
    {
        var departures = new Departures();
        departures.Add(20, i => new Departure(100 + (i * 9), 100 + i, 60));
        departures.Add(20, i => new Departure(103 + (i * 9), 100 + i, 5));

        Assert.That(departures.Explained().Select(each => each.Length), Is.EquivalentTo(new[] { TimeSpan.FromSeconds(60), TimeSpan.FromSeconds(5) }));
    }

    [Test]
    public void The_silence_of_a_pong_timeout_is_our_own_rule()
    {
        var departures = new Departures();
        departures.Add(20, i => new Departure(100 + (i * 9), 50 + (i * 3), 20.5, Cause: DisconnectCause.PongTimeout));

        Assert.That(departures.Explained().Where(each => each.Explains), Is.Empty);
    }

    [Test]
    public void A_restart_ends_many_together_and_is_told_apart_from_the_rest()
    {
        for (int seed = 1; seed <= 20; seed++)
        {
            var random = new Random(seed);
            Departures departures = Noisy(random, 60, 60);
            departures.Add(41, _ => new Departure(500 + (random.NextDouble() * 0.3), 100 + (random.NextDouble() * 300), random.NextDouble() * 10, Host: 7));

            Finding finding = departures.Explained(pingSeconds: 10)[0];

            Assert.That(finding.Kind, Is.EqualTo(FindingKind.Event));
            Assert.That(finding.Count, Is.InRange(41, 43));
            Assert.That(finding.Sentence, Does.Match(
                @"^4\d of \d+ connections ended within \d\.\d s, .* ago \(client_vanished 4\d.*\): something on the way restarted or failed, such as "));
        }
    }

    [Test]
    public void A_restart_is_told_with_its_causes_its_addresses_and_its_age()
    {
        var departures = new Departures { Others = 19 };
        departures.Add(30, i => new Departure(500 + (i * 0.01), 100 + (i * 7), i % 10, Host: 1 + (i % 3)));
        departures.Add(11, i => new Departure(500.3 + (i * 0.01), 100 + (i * 7), i % 10, Cause: DisconnectCause.ConnectionReset));

        Assert.That(departures.Explained(after: 200)[0].Sentence, Is.EqualTo(
            "41 of 60 connections ended within 0.4 s, 3 min ago (client_vanished 30, connection_reset 11; from 3 addresses): "
            + "something on the way restarted or failed, such as a proxy, a network, or a program that held many of them."));
    }

    [TestCase(DisconnectCause.ClientClosed, "they said goodbye, so a program that held many of them ended, or a new version of it came.")]
    [TestCase(DisconnectCause.PongTimeout, "the network between failed, or a host that held many of them stopped.")]
    public void What_ended_together_has_the_reason_of_its_cause(DisconnectCause cause, string reason)
    {
        var departures = new Departures();
        departures.Add(30, i => new Departure(500 + (i * 0.01), 100 + (i * 7), i % 10, Cause: cause));

        Assert.That(departures.Explained()[0].Sentence, Does.EndWith($"; from 192.0.2.1): {reason}"));
    }

    [TestCase(DisconnectCause.UpstreamVanished, "it restarted or crashed, and its log knows more.")]
    [TestCase(DisconnectCause.UpstreamClosed, "it said goodbye to them, so it is being stopped or restarted.")]
    [TestCase(DisconnectCause.UpstreamDead, "its host failed, or the network between it and this server.")]
    public void What_the_application_ended_together_is_told_of_the_application(DisconnectCause cause, string reason)
    {
        var departures = new Departures { Others = 19 };
        departures.Add(30, i => new Departure(500 + (i * 0.05), 100 + (i * 7), i % 10, Cause: cause));
        departures.Add(11, i => new Departure(500 + (i * 0.05), 100 + (i * 7), i % 10, Cause: DisconnectCause.UpstreamReset));

        string sentence = departures.Explained()[0].Sentence;
        Assert.That(sentence, Does.StartWith($"The application ended 41 of 60 connections within 1.5 s, 10 s ago ({cause.Name()} 30, upstream_reset 11; "));
        Assert.That(sentence, Does.EndWith(reason));
    }

    [TestCase(DisconnectCause.ServerShutdown)]
    [TestCase(DisconnectCause.SlowConsumer)]
    [TestCase(DisconnectCause.ProtocolError)]
    public void What_the_server_itself_ended_is_no_event(DisconnectCause cause)
    {
        var departures = new Departures();
        departures.Add(100, i => new Departure(500 + (i * 0.001), 100, i % 10, Cause: cause));

        Assert.That(departures.Explained().Where(each => each.Explains), Is.Empty);
    }

    [TestCase(9, 0)]
    [TestCase(12, 130)]
    public void Few_ends_are_no_event(int ends, int others)
    {
        var departures = new Departures { Others = others };
        departures.Add(ends, i => new Departure(500 + (i * 0.1), 100 + (i * i), i * i % 50));

        Assert.That(departures.Explained().Where(each => each.Explains), Is.Empty);
    }

    [Test]
    public void Clients_that_come_and_go_all_the_time_are_no_event()
    {
        var random = new Random(1);
        var departures = new Departures();
        departures.Add(900, i => new Departure(100 + (i * 0.15) + random.NextDouble(), 5 + (random.NextDouble() * 40), random.NextDouble() * 5));

        Assert.That(departures.Explained().Where(each => each.Explains), Is.Empty);
    }

    [Test]
    public void A_client_that_comes_back_again_and_again_is_no_event()
    {
        var departures = new Departures();
        departures.Add(40, i => new Departure(100 + (i * 0.15), 0.1, 0.05));

        Assert.That(departures.Explained().Where(each => each.Explains), Is.Empty);
    }

    [Test]
    public void All_that_end_together_are_counted_though_a_thousand_are_remembered()
    {
        var departures = new Departures { Others = 10 };
        departures.Add(9000, i => new Departure(500 + (i * 0.0001), 100 + (i % 300), i % 10));

        Finding finding = departures.Explained()[0];

        Assert.That((finding.Count, finding.Of), Is.EqualTo((9000, 9010)));
        Assert.That(finding.Sentence, Does.StartWith("9,000 of 9,010 connections ended within 0.9 s, 10 s ago (client_vanished 9,000; the last 1,000 from 192.0.2.1)"));
    }

    [Test]
    public void A_departure_that_lasts_longer_than_the_window_is_one_event()
    {
        var departures = new Departures();
        departures.Add(100, i => new Departure(500 + (i * 0.05), 100 + (i * 7 % 300), i % 10));

        Assert.That(departures.Explained().Where(each => each.Explains).Select(each => each.Count), Is.EqualTo(new[] { 100 }));
    }

    [Test]
    public void Connections_that_began_together_and_ended_after_one_silence_are_an_idle_timeout_and_no_event()
    {
        var random = new Random(1);
        var departures = new Departures();
        departures.Add(60, _ => new Departure(105 + random.NextDouble(), 5.0 + (random.NextDouble() * 0.01)));

        Assert.That(departures.Explained().Select(each => each.Kind), Is.EqualTo(new[] { FindingKind.Silence }));
    }

    [Test]
    public void Connections_that_began_together_and_end_by_a_restart_are_an_event()
    {
        var random = new Random(1);
        var departures = new Departures();
        departures.Add(60, _ =>
        {
            double began = random.NextDouble();
            double ended = 105 + (random.NextDouble() * 0.02);
            return new Departure(ended, ended - began);
        });

        Assert.That(departures.Explained()[0].Kind, Is.EqualTo(FindingKind.Event));
    }

    private static IEnumerable<string> Kinds(IReadOnlyList<Finding> findings) => findings.Select(each => $"{each.Kind.Name()}: {each.Sentence}");

    /// <summary>Unrelated ends: clients that leave by themselves.</summary>
    private static Departures Noisy(Random random, double around, int count)
    {
        var departures = new Departures { Others = 60 };
        departures.Add(count, _ => ChanceTests.Leave(Noise, random, random.NextDouble() * (1000 + around)));
        return departures;
    }
}
