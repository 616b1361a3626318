using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text.RegularExpressions;
using HeartbeatServer.Admin;
using HeartbeatServer.Hosting;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Admin;

public sealed class PrometheusPageTests
{
    private AdminFixture _admin = null!;

    [SetUp]
    public async Task SetUp() => _admin = await AdminFixture.StartAsync(configure: options => options with { MaxConnections = 1 });

    [TearDown]
    public async Task TearDown() => await _admin.DisposeAsync();

    [Test]
    public async Task Every_cause_and_reason_is_there_from_the_start()
    {
        HttpReply page = await _admin.GetAsync("/metrics");

        Assert.That(page["Content-Type"], Is.EqualTo("text/plain; version=0.0.4; charset=utf-8"));
        foreach (DisconnectCause cause in DisconnectCauses.All)
            Assert.That(page.Body, Does.Contain($"heartbeat_connections_ended_total{{cause=\"{cause.Name()}\",verdict=\"{(cause == DisconnectCause.PongTimeout ? "path_dead" : "")}\"}} 0\n"));
        foreach (RefusalReason reason in RefusalReasons.All)
            Assert.That(page.Body, Does.Contain($"heartbeat_upgrades_refused_total{{reason=\"{reason.Name()}\"}} 0\n"));
        Assert.That(page.Body, Does.Contain("heartbeat_round_trip_seconds_count 0\n").And.Contain("# TYPE heartbeat_lateness_seconds histogram\n"));
        Assert.That(page.Body, Does.Match("heartbeat_build_info\\{version=\"[0-9.]+\",commit=\"[0-9a-f]*\"\\} 1\n"));
    }

    [Test]
    public async Task The_reference_has_each_metric_of_the_server_and_no_other()
    {
        Instruments.CreateUpstream(_admin.Server.Metrics, _admin.Server.Table);
        Instruments.CreatePages(_admin.Server.Metrics);
        using var files = new CertificateFiles();
        Instruments.CreateCertificate(
            _admin.Server.Metrics, new CertificateStore(files.Certificate, files.Key, _admin.Server.Clock.Time, _admin.Server.Context.Log));

        HttpReply page = await _admin.GetAsync("/metrics");

        IEnumerable<string> shown = Regex.Matches(page.Body, @"^# TYPE (heartbeat_\w+) ", RegexOptions.Multiline).Select(line => line.Groups[1].Value);
        IEnumerable<string> documented = Regex.Matches(
            await File.ReadAllTextAsync(Repository.File("docs/reference.md")), @"^\| `(heartbeat_\w+)", RegexOptions.Multiline).Select(row => row.Groups[1].Value);
        Assert.That(documented, Is.EquivalentTo(shown));
    }

    [Test]
    public async Task The_counts_are_those_of_the_connections_the_ended_ones_included()
    {
        using (ScriptedPeer peer = await _admin.Server.UpgradedPeerAsync())
        {
            await peer.SendAsync(ClientFrames.Text("hello"));
            await peer.ReadFrameAsync();
            await _admin.Server.AdvanceToPingAsync(1);
            ServerFrame ping = await peer.ReadFrameAsync();
            _admin.Server.Clock.Advance(40);
            await peer.SendAsync(ClientFrames.Pong(ping.Payload));
            await Safety.UntilAsync(() => _admin.Server.Metrics.RoundTrips.Count == 1, "the pong");

            Assert.That(await _admin.FigureAsync("heartbeat_connections"), Is.EqualTo(1));
            await AssertCountsAsync(bytesIn: 11 + 14, bytesOut: 7 + 10);

            // The first client has taken the only place.
            HttpReply refused = await _admin.Server.RequestAsync(ScriptedPeer.Upgrade());
            Assert.That(refused.Status, Is.EqualTo(503));
            Assert.That(await _admin.FigureAsync("heartbeat_upgrades_refused_total{reason=\"connection_limit\"}"), Is.EqualTo(1));
            Assert.That(await _admin.FigureAsync("heartbeat_buffered_bytes"), Is.Zero);
            Assert.That(await _admin.FigureAsync("heartbeat_buffered_limit_bytes"), Is.EqualTo(long.MaxValue));
            Assert.That(await _admin.FigureAsync("heartbeat_connections_limit"), Is.EqualTo(1));
            Assert.That((await _admin.GetAsync("/readyz")).Body, Is.EqualTo("full\n"));
            await peer.SendAsync(ClientFrames.Close(1000));
            await peer.ReadFrameAsync();
        }
        // The clock may have moved on between the ping and the 40 ms.
        double roundTrip = _admin.Server.Metrics.RoundTrips.Max.TotalSeconds;
        Assert.That(roundTrip, Is.GreaterThanOrEqualTo(0.04));
        // A connection gives its place back a little after it has left the table.
        await Safety.UntilAsync(() => _admin.Server.Server.State == ServerState.Serving, "room");

        Assert.That((await _admin.GetAsync("/readyz")).Status, Is.EqualTo(200));
        Assert.That(await _admin.FigureAsync("heartbeat_connections"), Is.Zero);
        Assert.That(await _admin.FigureAsync("heartbeat_connections_ended_total{cause=\"client_closed\",verdict=\"\"}"), Is.EqualTo(1));
        await AssertCountsAsync(bytesIn: 11 + 14 + 8, bytesOut: 7 + 10 + 4);
        Assert.That(await _admin.FigureAsync("heartbeat_round_trip_seconds_sum"), Is.EqualTo(roundTrip).Within(1e-9));
        Assert.That(await _admin.FigureAsync("heartbeat_round_trip_seconds_bucket{le=\"0.025\"}"), Is.Zero);
        Assert.That(await _admin.FigureAsync("heartbeat_round_trip_seconds_bucket{le=\"+Inf\"}"), Is.EqualTo(1));

        async Task AssertCountsAsync(int bytesIn, int bytesOut)
        {
            string[] names =
            [
                "heartbeat_connections_opened_total", "heartbeat_pings_total", "heartbeat_pongs_total", "heartbeat_pongs_late_total",
                "heartbeat_pongs_missed_total", "heartbeat_io_bytes_total{direction=\"in\"}", "heartbeat_io_bytes_total{direction=\"out\"}",
                "heartbeat_messages_total{direction=\"in\"}", "heartbeat_messages_total{direction=\"out\"}", "heartbeat_round_trip_seconds_count",
            ];
            var values = new List<double>();
            foreach (string name in names)
                values.Add(await _admin.FigureAsync(name));
            Assert.That(values, Is.EqualTo(new double[] { 1, 1, 1, 0, 0, bytesIn, bytesOut, 1, 1, 1 }));
        }
    }

    [Test]
    public async Task An_end_is_counted_by_its_age_and_its_silence_in_buckets_where_timeouts_are()
    {
        // A ping that the peer has not read when it closes would make a reset of its end.
        await _admin.DisposeAsync();
        _admin = await AdminFixture.StartAsync(configure: options => options with { Ping = TimeSpan.Zero });
        using (ScriptedPeer peer = await _admin.Server.UpgradedPeerAsync())
        {
            await _admin.Server.ConnectionAsync();
            _admin.Server.Clock.Advance(4000);
            await peer.SendAsync(ClientFrames.Text("hello"));
            await peer.ReadFrameAsync();
            await Safety.UntilAsync(() => _admin.Server.Table.Open.Single().Figures().SinceLastByte == TimeSpan.Zero, "the message");
            _admin.Server.Clock.Advance(600);
        }
        await _admin.Server.EndedAsync();
        // The line of an end comes a little before it is counted.
        await Safety.UntilAsync(() => _admin.Server.Table.Count == 0, "an empty table");

        Assert.That(await BucketOfAsync("heartbeat_end_silence_seconds"), Is.EqualTo(("0.5", "1")));
        Assert.That(await BucketOfAsync("heartbeat_end_age_seconds"), Is.EqualTo(("2", "5")));
        Assert.That(await _admin.FigureAsync("heartbeat_end_age_seconds_sum{cause=\"client_vanished\"}"), Is.EqualTo(4.6).Within(1e-6));
    }

    /// <summary>The bounds of the bucket that holds the one end.</summary>
    private async Task<(string Above, string UpTo)> BucketOfAsync(string name)
    {
        string above = "";
        foreach (Match bucket in Regex.Matches((await _admin.GetAsync("/metrics")).Body, $"{name}_bucket{{cause=\"client_vanished\",le=\"(.*)\"}} (\\d+)"))
        {
            if (bucket.Groups[2].Value == "1")
                return (above, bucket.Groups[1].Value);
            above = bucket.Groups[1].Value;
        }
        return (above, "");
    }

    [Test]
    public async Task The_process_and_the_runtime_have_their_usual_names()
    {
        foreach (string name in new[]
        {
            "process_cpu_seconds_total", "process_resident_memory_bytes", "process_threads", "process_start_time_seconds",
            "dotnet_gc_heap_total_allocated_bytes_total",
        })
        {
            Assert.That(await _admin.FigureAsync(name), Is.Positive, name);
        }
        string page = (await _admin.GetAsync("/metrics")).Body;
        Assert.That(page, Does.Contain("dotnet_gc_collections_total{gc_heap_generation=\"gen0\"}").And.Contain("dotnet_gc_pause_time_seconds_total"));
    }

    [Test]
    [Platform("Linux")]
    public async Task Descriptors_are_counted_against_their_limit()
    {
        double open = await _admin.FigureAsync("process_open_fds");

        Assert.That(open, Is.InRange(3, await _admin.FigureAsync("process_max_fds")));
    }

    [Test]
    public void Other_listeners_see_the_same_instruments_with_their_units()
    {
        var seen = new Dictionary<string, string>();
        var totals = new Dictionary<string, long>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, self) =>
            {
                if (instrument.Meter != _admin.Server.Metrics.Meter)
                    return;
                seen[instrument.Name] = instrument.Unit ?? "";
                self.EnableMeasurementEvents(instrument);
            },
        };
        listener.SetMeasurementEventCallback<long>((instrument, value, _, _) => totals[instrument.Name] = totals.GetValueOrDefault(instrument.Name) + value);
        listener.Start();
        _admin.Server.Metrics.CountEnd(DisconnectCause.PongTimeout, PathVerdict.BehindProxy);

        listener.RecordObservableInstruments();

        Assert.That(seen["heartbeat.round_trip"], Is.EqualTo("s"));
        Assert.That(seen["heartbeat.io"], Is.EqualTo("By"));
        Assert.That(totals["heartbeat.connections.ended"], Is.EqualTo(1));
    }

    /// <summary>A round trip is counted for each pong, so counting must leave no garbage.</summary>
    [Test]
    public void A_pong_that_is_listened_to_allocates_nothing()
    {
        for (int i = 0; i < 100; i++)
            _admin.Server.Metrics.CountRoundTrip(TimeSpan.FromMilliseconds(1));
        long before = GC.GetAllocatedBytesForCurrentThread();

        for (int i = 0; i < 1000; i++)
            _admin.Server.Metrics.CountRoundTrip(TimeSpan.FromMilliseconds(1));

        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero, $"bytes, {1000.ToString(CultureInfo.InvariantCulture)} pongs");
    }
}
