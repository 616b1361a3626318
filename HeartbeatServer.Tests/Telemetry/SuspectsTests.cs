using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Tests.Telemetry;

/// <summary>Many clients that are silent together. Times are in seconds.</summary>
internal sealed class SuspectsTests
{
    private const double Timeout = 0.5;

    /// <summary>
    /// 41 of 100 clients are on a host that stops at 100.0 s. They are pinged every 2 s, at even distances, and answer when the host goes on.
    /// </summary>
    [TestCase(3.3, 2, 41)]
    [TestCase(3.3, 10, 41)]
    [TestCase(30, 2, 1000)]
    [TestCase(1.2, 2, 900)]
    public void Clients_of_a_host_that_stands_still_are_a_stall_that_is_over_when_they_are_back(double seconds, double ping, int clients)
    {
        var suspects = new Suspects(() => clients * 100 / 41);
        var random = new Random(1);
        double[] pings = [.. Enumerable.Range(0, clients).Select(_ => 100 + (random.NextDouble() * ping)).Order()];
        int missed = 0;
        foreach (double pinged in pings.Where(pinged => pinged + Timeout < 100 + seconds))
            suspects.Add(missed++, At(pinged));
        for (int id = 0; id < clients; id++)
            suspects.Remove(id, isBack: true, At(100 + seconds + (id * 0.0001)));

        Stall stall = suspects.Stalls(At(110 + seconds)).Single();

        Assert.That((stall.Clients, stall.Connections, stall.Cut), Is.EqualTo((missed, clients * 100 / 41, 0)));
        Assert.That((stall.To - stall.From)!.Value.TotalSeconds, Is.EqualTo(seconds).Within(0.15 * ping * 41 / clients + 0.1));
        Assert.That(suspects.Count, Is.Zero);
    }

    [Test]
    public void While_it_lasts_it_is_told_with_the_time_so_far_and_a_client_that_was_silent_before_does_not_count()
    {
        var suspects = new Suspects(() => 100);
        suspects.Add(999, At(80));
        for (int id = 0; id < 41; id++)
            suspects.Add(id, At(100 + (id * 0.05)));

        Assert.That(suspects.Stalls(At(101.9)), Is.Empty, "it may be a slow path");
        Stall stall = suspects.Stalls(At(103)).Single();

        Assert.That((stall.To, stall.Clients, stall.Connections), Is.EqualTo(((TimeSpan?)null, 42, 100)));
        Assert.That(stall.From.TotalSeconds, Is.EqualTo(100).Within(0.1));
        Assert.That(Sentences.Of([stall], At(103))!.Sentence, Does.StartWith("42 % of all clients (42 of 100) are silent at once, for 3."));
    }

    [Test]
    public void Those_that_end_meanwhile_are_counted()
    {
        var suspects = new Suspects(() => 100);
        for (int id = 0; id < 40; id++)
            suspects.Add(id, At(100 + (id * 0.05)));
        for (int id = 0; id < 40; id++)
            suspects.Remove(id, isBack: id < 25, At(103.3));

        Stall stall = suspects.Stalls(At(104)).Single();

        Assert.That(Sentences.Of([stall], At(105))!.Sentence, Is.EqualTo(
            "40 % of all clients (40 of 100) were silent at once for 3.3 s, until 1 s ago: a host or a network that they share, not the clients. "
            + "15 of them ended meanwhile."));
    }

    [Test]
    public void It_stays_for_five_minutes_after_they_are_back()
    {
        var suspects = new Suspects(() => 3000);
        for (int id = 0; id < 1230; id++)
            suspects.Add(id, At(100));
        for (int id = 0; id < 1230; id++)
            suspects.Remove(id, isBack: true, At(103.3));

        Assert.That(Sentences.Of(suspects.Stalls(At(403)), At(403))!.Sentence, Is.EqualTo(
            "41 % of all clients (1,230 of 3,000) were silent at once for 3.3 s, until 4 min ago: a host or a network that they share, not the clients."));
        Assert.That(suspects.Stalls(At(403.3)), Has.Count.EqualTo(1));
        Assert.That(suspects.Stalls(At(403.4)), Is.Empty);
        Assert.That(suspects.Stalls(At(403)), Is.Empty, "it is forgotten");
        Assert.That(Sentences.Of([], At(404)), Is.Null);
    }

    [Test]
    public void Of_several_the_greatest_is_told()
    {
        Stall[] stalls = [new(At(100), At(103), 30, 100, 0), new(At(150), At(153), 100, 100, 0), new(At(200), At(203), 20, 100, 0)];

        Assert.That(Sentences.Of(stalls, At(210))!.Sentence, Is.EqualTo(
            "All 100 clients were silent at once for 3.0 s, until 57 s ago: the network before this server or its machine, or a host that they share, "
            + "not the clients. It was the greatest of 3 such times within 300 s."));
    }

    [Test]
    public void A_slow_path_on_which_each_client_is_late_at_another_time_is_no_stall()
    {
        // 200 clients, pinged every second, answer 0.2 s after the timeout: 40 of them are suspects at any time.
        var suspects = new Suspects(() => 200);
        for (int i = 0; i < 4000; i++)
        {
            double now = 100 + (i * 0.005);
            suspects.Add(i % 200, At(now - Timeout));
            suspects.Remove((i + 200 - 40) % 200, isBack: true, At(now));
            Assert.That(suspects.Stalls(At(now)), Is.Empty, $"at {now}");
        }
        for (int id = 0; id < 200; id++)
            suspects.Remove(id, isBack: true, At(121));

        Assert.That(suspects.Stalls(At(122)), Is.Empty);
        Assert.That(suspects.Count, Is.Zero);
    }

    [TestCase(9, 20)]
    [TestCase(19, 200)]
    public void Few_are_no_stall(int silent, int connections)
    {
        var suspects = new Suspects(() => connections);
        for (int id = 0; id < silent; id++)
            suspects.Add(id, At(100));

        Assert.That(suspects.Stalls(At(110)), Is.Empty);
        Assert.That(suspects.Count, Is.EqualTo(silent));
    }

    private static TimeSpan At(double seconds) => TimeSpan.FromSeconds(seconds);
}
