using System.Net;
using System.Text.Json;
using HeartbeatServer.Hosting;
using HeartbeatServer.Options;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Admin;

public sealed class StatusTests
{
    private AdminFixture _admin = null!;

    [SetUp]
    public async Task SetUp() => _admin = await AdminFixture.StartAsync();

    [TearDown]
    public async Task TearDown() => await _admin.DisposeAsync();

    [Test]
    public async Task A_server_at_rest_has_zeros_and_nulls_but_every_name()
    {
        JsonElement status = await _admin.JsonAsync("/status");

        Assert.That(Names(status), Is.EqualTo(new[]
        {
            "version", "started", "now", "uptime_seconds", "state", "options", "totals", "round_trip_ms", "lateness_ms", "connections",
        }));
        Assert.That(status.GetProperty("version").GetString(), Does.Match(@"^\d+\.\d+\.\d+(\+[0-9a-f]{7})?$"));
        Assert.That(status.GetProperty("started").GetString(), Does.EndWith("Z"));
        Assert.That(status.GetProperty("state").GetString(), Is.EqualTo("serving"));
        Assert.That(status.GetProperty("options").GetProperty("ping").GetString(), Is.EqualTo("10s"));
        JsonElement totals = status.GetProperty("totals");
        Assert.That(Names(totals), Is.EqualTo(new[]
        {
            "connections", "peak", "opened", "ended", "refused", "ends", "refusals", "pings", "pongs", "missed", "late", "bytes_in", "bytes_out",
            "messages_in", "messages_out", "suspect", "log_lines_dropped",
        }));
        Assert.That(Names(totals.GetProperty("ends")), Is.EqualTo(DisconnectCauses.All.Select(cause => cause.Name())));
        Assert.That(Names(status.GetProperty("round_trip_ms")), Is.EqualTo(new[] { "p50", "p95", "p99", "max" }));
        Assert.That(Names(status.GetProperty("lateness_ms")), Is.EqualTo(new[] { "last", "p99", "max" }));
        Assert.That(status.GetProperty("round_trip_ms").GetProperty("p50").ValueKind, Is.EqualTo(JsonValueKind.Null));
        Assert.That(status.GetProperty("connections").GetRawText(), Is.EqualTo("""{"matching":0,"offset":0,"limit":50,"items":[]}"""));
    }

    [Test]
    public async Task Every_option_is_shown()
    {
        using var output = new StringWriter();
        await new CommandLine(new Variables(new Dictionary<string, string>())).RunAsync(
            ["--help"], output, output, (_, _) => Task.FromResult(0), (_, _) => Task.FromResult(0), _ => Task.FromResult(0));
        IEnumerable<string> options = output.ToString().Split('\n')
            .Where(line => line.StartsWith("  --", StringComparison.Ordinal))
            .Select(line => line.Trim().Split(' ')[0][2..])
            .Where(option => option is not ("version" or "help"));

        Assert.That(OptionTable.Texts(new ServerOptions()).Keys, Is.EquivalentTo(options));
    }

    [Test]
    public async Task A_connection_is_shown_with_what_it_did()
    {
        using ScriptedPeer peer = await _admin.Server.UpgradedPeerAsync();
        await peer.SendAsync(ClientFrames.Text("hello"));
        await peer.ReadFrameAsync();
        await _admin.Server.AdvanceToPingAsync(1);
        ServerFrame ping = await peer.ReadFrameAsync();
        _admin.Server.Clock.Advance(40);
        await peer.SendAsync(ClientFrames.Pong(ping.Payload));
        await Safety.UntilAsync(() => _admin.Server.Metrics.RoundTrips.Count == 1, "the pong");

        JsonElement status = await _admin.JsonAsync("/status");

        JsonElement totals = status.GetProperty("totals");
        Assert.That(
            new[] { "connections", "opened", "pings", "pongs", "bytes_in", "bytes_out", "messages_in", "messages_out" }.Select(name => totals.GetProperty(name).GetInt64()),
            Is.EqualTo(new long[] { 1, 1, 1, 1, 11 + 14, 7 + 10, 1, 1 }));
        JsonElement one = status.GetProperty("connections").GetProperty("items")[0];
        Assert.That(Names(one), Is.EqualTo(new[]
        {
            "id", "remote", "path", "user_agent", "origin", "subprotocol", "opened", "age_seconds", "state", "strikes", "pings", "pongs", "missed", "late", "other_pongs", "round_trip_ms", "recent_ms",
            "bytes_in", "bytes_out", "messages_in", "messages_out", "last_byte_seconds", "last_sent_seconds", "end",
        }));
        Assert.That(one.GetProperty("remote").GetString(), Is.EqualTo(peer.Address.ToString()));
        Assert.That(one.GetProperty("state").GetString(), Is.EqualTo("healthy"));
        Assert.That(one.GetProperty("round_trip_ms").GetRawText(), Is.EqualTo("""{"last":40,"min":40,"mean":40,"max":40,"jitter":0}"""));
        Assert.That(one.GetProperty("recent_ms").GetRawText(), Is.EqualTo("[40]"));
        Assert.That((await _admin.JsonAsync("/status/1")).GetRawText(), Is.EqualTo(one.GetRawText()));
    }

    [Test]
    public async Task A_connection_is_healthy_then_suspect_then_late_then_healthy_again()
    {
        using ScriptedPeer peer = await _admin.Server.UpgradedPeerAsync();
        await _admin.Server.AdvanceToPingAsync(1);
        ServerFrame ping = await peer.ReadFrameAsync();
        Assert.That(await StateAsync(), Is.EqualTo("healthy"));

        _admin.Server.Clock.Advance(600);
        Assert.That(await StateAsync(), Is.EqualTo("suspect"));
        Assert.That((await MatchingAsync("suspect"), await MatchingAsync("healthy"), await MatchingAsync("any")), Is.EqualTo((1, 0, 1)));
        Assert.That((await _admin.JsonAsync("/status")).GetProperty("totals").GetProperty("suspect").GetInt32(), Is.EqualTo(1));
        Assert.That(await _admin.FigureAsync("heartbeat_connections_suspect"), Is.EqualTo(1));

        await peer.SendAsync(ClientFrames.Pong(ping.Payload));
        await Safety.UntilAsync(() => _admin.Server.Metrics.LatePongs == 1, "the late pong");
        Assert.That(await StateAsync(), Is.EqualTo("late"));

        await _admin.Server.AdvanceToPingAsync(2);
        await peer.SendAsync(ClientFrames.Pong((await peer.ReadFrameAsync()).Payload));
        await Safety.UntilAsync(() => _admin.Server.Metrics.RoundTrips.Count == 2, "the pong in time");
        Assert.That(await StateAsync(), Is.EqualTo("healthy"));

        async Task<int> MatchingAsync(string state) =>
            (await _admin.JsonAsync($"/status?state={state}")).GetProperty("connections").GetProperty("matching").GetInt32();

        async Task<string?> StateAsync() => (await _admin.JsonAsync("/status/1")).GetProperty("state").GetString();
    }

    [Test]
    public async Task The_round_trips_since_the_start_are_a_distribution()
    {
        Assert.That((await _admin.JsonAsync("/status/round_trips")).GetRawText(), Is.EqualTo("""{"up_to_ms":[],"count":[]}"""));
        foreach (double time in new[] { 0.5, 40, 0.5 })
            _admin.Server.Metrics.RoundTrips.Add(TimeSpan.FromMilliseconds(time));

        Assert.That((await _admin.JsonAsync("/status/round_trips")).GetRawText(), Is.EqualTo("""{"up_to_ms":[0.511,40.959],"count":[2,1]}"""));
    }

    [Test]
    public async Task A_connection_that_was_told_to_go_is_closing()
    {
        using ScriptedPeer peer = await _admin.Server.UpgradedPeerAsync();
        await _admin.Server.ConnectionAsync();
        Task draining = _admin.Server.Drain.RunAsync("test", CancellationToken.None);
        await peer.ReadFrameAsync();

        Assert.That((await _admin.JsonAsync("/status/1")).GetProperty("state").GetString(), Is.EqualTo("closing"));

        peer.Dispose();
        await draining.InTime();
    }

    [Test]
    public async Task An_end_is_remembered_with_its_cause_and_found_by_the_connection()
    {
        using (ScriptedPeer peer = await _admin.Server.UpgradedPeerAsync())
            await peer.SendAsync(ClientFrames.Close(4000, "bye"));
        await Safety.UntilAsync(() => _admin.Server.Table.Count == 0 && _admin.Server.Metrics.Ended == 1, "the end");

        JsonElement ends = await _admin.JsonAsync("/status/ends");

        Assert.That(ends.GetProperty("total").GetInt32(), Is.EqualTo(1));
        JsonElement end = ends.GetProperty("items")[0];
        Assert.That(Names(end), Is.EqualTo(new[]
        {
            "seq", "id", "at", "remote", "path", "user_agent", "origin", "subprotocol", "cause", "by", "detail", "verdict", "age_seconds",
            "pings", "pongs", "missed", "late", "other_pongs", "subprotocols_not_spoken", "round_trip_ms", "kernel_round_trip_ms", "retransmissions",
            "bytes_in", "bytes_out", "messages_in", "messages_out", "last_byte_seconds", "last_sent_seconds",
        }));
        Assert.That(
            new[] { "cause", "by", "detail", "verdict" }.Select(name => end.GetProperty(name).GetString()),
            Is.EqualTo(new[] { "client_closed", "client", "Close 4000 \"bye\"", null }));
        Assert.That((await _admin.JsonAsync("/status/1")).GetRawText(), Is.EqualTo($$"""{"id":1,"end":{{end.GetRawText()}}}"""));
        Assert.That((await _admin.JsonAsync("/status/2", 404)).GetProperty("error").GetString(), Does.StartWith("#2 is not open"));
        Assert.That((await _admin.JsonAsync("/status")).GetProperty("totals").GetProperty("ends").GetProperty("client_closed").GetInt32(), Is.EqualTo(1));
    }

    [Test]
    public async Task An_end_has_what_the_kernel_measured_and_how_many_subprotocols_were_not_spoken()
    {
        var tcp = new TcpInfo { RoundTrip = TimeSpan.FromMilliseconds(12.5), Retransmissions = 3 };
        Add(new Disconnect(DisconnectCause.PongTimeout, "silent", Verdict: PathVerdict.PathDead, Tcp: tcp), default);
        Add(new Disconnect(DisconnectCause.ClientVanished, "FIN"), new ConnectionFigures { OffersNotSpoken = 2 });

        JsonElement[] ends = [.. (await _admin.JsonAsync("/status/ends")).GetProperty("items").EnumerateArray()];

        Assert.That(ends.Select(Figures), Is.EqualTo(new[] { "2 null null", "0 12.5 3" }));

        void Add(Disconnect end, ConnectionFigures figures) =>
            _admin.Server.Context.Ends.Add(1, new IPEndPoint(IPAddress.Loopback, 5000), ClientInfo.Unknown, end, figures, open: 1);

        static string Figures(JsonElement end) => string.Join(
            ' ', new[] { "subprotocols_not_spoken", "kernel_round_trip_ms", "retransmissions" }.Select(name => end.GetProperty(name).GetRawText()));
    }

    [Test]
    public async Task Ends_come_newest_first_and_can_be_asked_for_from_the_last_seen_on()
    {
        for (int i = 1; i <= 3; i++)
        {
            using (ScriptedPeer peer = await _admin.Server.UpgradedPeerAsync())
                await peer.SendAsync(ClientFrames.Close(1000));
            await _admin.Server.EndedAsync(i);
            await Safety.UntilAsync(() => _admin.Server.Table.Count == 0, "an empty table");
        }

        Assert.That(await Sequences("/status/ends"), Is.EqualTo((3, "3 2 1")));
        Assert.That(await Sequences("/status/ends?after=1"), Is.EqualTo((2, "3 2")));
        Assert.That(await Sequences("/status/ends?after=3"), Is.EqualTo((0, "")));
        Assert.That(await Sequences("/status/ends?limit=1"), Is.EqualTo((3, "3")));
        Assert.That(await Sequences("/status/ends?search=%232"), Is.EqualTo((1, "2")));
        Assert.That(await Sequences("/status/ends?search=127.0.0.1"), Is.EqualTo((3, "3 2 1")));
        Assert.That(await Sequences("/status/ends?search=pong_timeout"), Is.EqualTo((0, "")));

        async Task<(int, string)> Sequences(string path)
        {
            JsonElement ends = await _admin.JsonAsync(path);
            return (ends.GetProperty("total").GetInt32(), string.Join(' ', ends.GetProperty("items").EnumerateArray().Select(end => end.GetProperty("seq"))));
        }
    }

    [Test]
    public async Task Why_is_a_sentence_and_its_numbers()
    {
        await using AdminFixture admin = await AdminFixture.StartAsync(configure: options => options with { Ping = TimeSpan.Zero });
        for (int i = 1; i <= 5; i++)
        {
            using (ScriptedPeer peer = await admin.Server.UpgradedPeerAsync())
            {
                await admin.Server.ConnectionAsync();
                admin.Server.Clock.Advance(4000);
            }
            await admin.Server.EndedAsync(i);
            await Safety.UntilAsync(() => admin.Server.Table.Count == 0, "an empty table");
        }

        JsonElement why = await admin.JsonAsync("/status/why");

        Assert.That(Names(why), Is.EqualTo(new[] { "now", "connections", "ended", "sentences" }));
        Assert.That((why.GetProperty("connections").GetInt32(), why.GetProperty("ended").GetInt32()), Is.EqualTo((0, 5)));
        JsonElement sentence = why.GetProperty("sentences").EnumerateArray().Single();
        Assert.That(Names(sentence), Is.EqualTo(new[]
        {
            "kind", "sentence", "count", "of", "seconds", "from", "to", "causes", "candidates", "ping",
        }));
        Assert.That(sentence.GetProperty("kind").GetString(), Is.EqualTo("silence"));
        Assert.That(sentence.GetProperty("sentence").GetString(), Is.EqualTo(
            "5 of 5 ended after 4.0 s of silence, the last 0 s ago: an idle timeout of 4 s on the way. --ping 1s keeps them. "
            + "They were silent nearly from their beginning, so it may also be a limit on their whole life."));
        Assert.That(
            (sentence.GetProperty("count").GetInt32(), sentence.GetProperty("of").GetInt32(), sentence.GetProperty("ping").GetString()),
            Is.EqualTo((5, 5, "1s")));
        Assert.That(sentence.GetProperty("seconds").GetDouble(), Is.EqualTo(4).Within(0.05));
        Assert.That(sentence.GetProperty("to").GetString(), Does.EndWith("Z"));
        Assert.That(sentence.GetProperty("causes").GetRawText(), Is.EqualTo("""{"client_vanished":5}"""));
    }

    [Test]
    public async Task Before_the_first_end_there_is_a_sentence_too() =>
        Assert.That((await _admin.JsonAsync("/status/why")).GetProperty("sentences").GetRawText(), Is.EqualTo(
            """[{"kind":"none","sentence":"No connection has ended by itself while this server ran.","count":0,"of":0,"seconds":null,"from":null,"to":null,"""
            + """ "causes":{},"candidates":[],"ping":null}]""".TrimStart()));

    [TestCase("", "3 2 1", 3)]
    [TestCase("sort=id&order=asc", "1 2 3", 3)]
    [TestCase("sort=age", "1 2 3", 3)]
    [TestCase("sort=bytes", "3 2 1", 3)]
    [TestCase("sort=bytes&order=asc&limit=1&offset=1", "2", 3)]
    [TestCase("offset=5", "", 3)]
    [TestCase("search=%233", "3", 1)]
    [TestCase("search=2", null, null)]
    [TestCase("search=nobody", "", 0)]
    public async Task Connections_are_sorted_searched_and_given_in_pages(string query, string? ids, int? matching)
    {
        var peers = new List<ScriptedPeer>();
        for (int i = 1; i <= 3; i++)
        {
            peers.Add(await _admin.Server.UpgradedPeerAsync());
            await Safety.UntilAsync(() => _admin.Server.Table.Count == i, "the connection");
            await peers[^1].SendAsync(ClientFrames.Text(new string('x', i * 10)));
            await peers[^1].ReadFrameAsync();
            _admin.Server.Clock.Advance(8);
        }

        JsonElement page = (await _admin.JsonAsync($"/status?{(query.Length == 0 ? "sort=id" : query)}")).GetProperty("connections");
        string got = string.Join(' ', page.GetProperty("items").EnumerateArray().Select(item => item.GetProperty("id")));

        if (ids is null)
            Assert.That(got.Split(' '), Does.Contain("2"), "the number, and whatever ports have the digit");
        else
            Assert.That((got, page.GetProperty("matching").GetInt32()), Is.EqualTo((ids, matching)));
        peers.ForEach(peer => peer.Dispose());
    }

    [TestCase("user-agent")]
    [TestCase("app.EXAMPLE")]
    [TestCase("v1.chat")]
    [TestCase("/ws")]
    public async Task Who_a_client_was_is_shown_and_found_while_it_is_there_and_afterwards(string search)
    {
        using (ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_admin.Server.Port))
        {
            await peer.SendAsync(ScriptedPeer.Upgrade(
                "/ws?access_token=secret",
                headers: [("User-Agent", "A-User-Agent/1"), ("Origin", "https://app.example.com"), ("Sec-WebSocket-Protocol", "v1.chat")]));
            await peer.ReadReplyAsync();
            await Safety.UntilAsync(() => _admin.Server.Table.Count == 1, "the connection in the table");
            Check((await _admin.JsonAsync($"/status?search={search}")).GetProperty("connections").GetProperty("items"));
            await peer.SendAsync(ClientFrames.Close(1000));
            await peer.ReadFrameAsync();
        }
        await Safety.UntilAsync(() => _admin.Server.Table.Count == 0, "the connection out of the table");
        Check((await _admin.JsonAsync($"/status/ends?search={search}")).GetProperty("items"));
        Assert.That(_admin.Server.Log.Lines, Has.None.Contain("secret"));

        static void Check(JsonElement items)
        {
            JsonElement item = items.EnumerateArray().Single();
            Assert.That(
                new[] { "path", "user_agent", "origin", "subprotocol" }.Select(name => item.GetProperty(name).GetString()),
                Is.EqualTo(new[] { "/ws", "A-User-Agent/1", "https://app.example.com", "v1.chat" }));
        }
    }

    [TestCase("limit=0", "limit: '0' is not a whole number from 1 to 1000")]
    [TestCase("limit=1001", "limit: '1001' is not a whole number from 1 to 1000")]
    [TestCase("limit=x", "limit: 'x' is not a whole number from 1 to 1000")]
    [TestCase("limit=1&limit=2", "limit: '1,2' is not a whole number")]
    [TestCase("offset=-1", "offset: '-1' is not a whole number from 0")]
    [TestCase("state=sad", "state: 'sad' is not one of any, healthy, late, suspect, closing")]
    [TestCase("sort=size", "sort: 'size' is not one of worst, id, age, round_trip, strikes, bytes, late, missed")]
    [TestCase("order=up", "order: 'up' is not one of desc, asc")]
    public async Task A_bad_parameter_is_named(string query, string error) =>
        Assert.That((await _admin.JsonAsync("/status?" + query, 400)).GetProperty("error").GetString(), Does.StartWith(error));

    [TestCase("/status")]
    [TestCase("/status/ends")]
    public async Task A_search_is_no_longer_than_what_it_may_find(string path)
    {
        await _admin.JsonAsync($"{path}?search={new string('x', 2000)}");

        JsonElement refused = await _admin.JsonAsync($"{path}?search={new string('x', 2001)}", 400);
        Assert.That(refused.GetProperty("error").GetString(), Is.EqualTo("search: more than 2000 characters"));
    }

    [TestCase("/status/ends?after=x")]
    [TestCase("/status/history?after=-1")]
    public async Task A_bad_number_is_400(string path) =>
        Assert.That((await _admin.JsonAsync(path, 400)).GetProperty("error").GetString(), Does.StartWith("after: "));

    private static IEnumerable<string> Names(JsonElement element) => element.EnumerateObject().Select(property => property.Name);
}
