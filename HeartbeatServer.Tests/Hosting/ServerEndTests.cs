using System.Net;
using System.Net.WebSockets;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;
using Serilog.Events;

namespace HeartbeatServer.Tests.Hosting;

/// <summary>Every kind of end over a real socket: the cause in the log and in the metrics, and what the client sees.</summary>
[TestFixture(RequestsFrom.HttpPort)]
[TestFixture(RequestsFrom.PlainLoop)]
public sealed class ServerEndTests(RequestsFrom source)
{
    private ServerFixture _server = null!;

    [SetUp]
    public void SetUp() => _server = ServerFixture.Start(options => options with { Ping = TimeSpan.FromSeconds(2), MaxMissed = 3 }, source: source);

    [TearDown]
    public async Task TearDown() => await _server.DisposeAsync();

    [Test]
    public async Task A_client_that_sends_FIN_has_vanished()
    {
        using ScriptedPeer peer = await _server.UpgradedPeerAsync();

        peer.SendFin();

        Assert.That(await peer.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        await EndsAsync(DisconnectCause.ClientVanished, "client", "FIN without a Close frame");
    }

    [Test]
    public async Task A_client_that_sends_RST_has_reset_the_connection()
    {
        using ScriptedPeer peer = await _server.UpgradedPeerAsync();

        peer.Reset();

        await EndsAsync(DisconnectCause.ConnectionReset, "network", "RST");
    }

    /// <summary>
    /// When an application sends a Close and then closes its socket with unread bytes, its kernel sends RST. The server must read the Close all
    /// the same.
    /// </summary>
    [Test]
    public async Task A_Close_that_came_before_the_reset_explains_the_end()
    {
        using ScriptedPeer peer = await _server.UpgradedPeerAsync();
        await peer.SendAsync(ClientFrames.Frame(Opcode.Binary, new byte[900_000]), ClientFrames.Frame(Opcode.Binary, new byte[900_000]));
        await Safety.UntilAsync(() => _server.Table.Totals().MessagesOut == 2, "replies that nobody reads");

        await peer.SendAsync(ClientFrames.Close(4000, "too much"));
        peer.Reset();

        await EndsAsync(DisconnectCause.ClientClosed, "client", "Close 4000 \"too much\"");
    }

    [Test]
    public async Task A_Close_is_shown_with_code_and_reason()
    {
        using ClientWebSocket client = await _server.ClientAsync();

        await client.CloseAsync((WebSocketCloseStatus)4321, "lunch", CancellationToken.None).InTime();

        Assert.That((int?)client.CloseStatus, Is.EqualTo(4321));
        await EndsAsync(DisconnectCause.ClientClosed, "client", "Close 4321 \"lunch\"");
    }

    [Test]
    public async Task After_the_closing_handshake_the_server_closes_the_socket()
    {
        using ScriptedPeer peer = await _server.UpgradedPeerAsync();

        await peer.SendAsync(ClientFrames.Close(1000, "bye"));

        Assert.That((await peer.ReadFrameAsync()).Close, Is.EqualTo("1000"));
        Assert.That(await peer.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
    }

    [Test]
    public async Task A_client_that_keeps_sending_an_oversize_message_sees_Close_1009()
    {
        using ScriptedPeer peer = await _server.UpgradedPeerAsync();
        const int size = 8 * 1024 * 1024;

        // The client sends all bytes before it reads. If the server answered them with RST, the RST would destroy the Close frame.
        await peer.SendAsync(ClientFrames.Header(0x80 | (int)Opcode.Binary, size), new byte[size]);

        ServerFrame close = await peer.ReadFrameAsync();
        Assert.That(close.Close, Does.StartWith("1009 message longer than 1048576 bytes"));
        Assert.That(await peer.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin), "half-closed, not reset");
        peer.SendFin();
        await EndsAsync(DisconnectCause.MessageTooBig, "server", "RFC 6455 section 10.4");
    }

    [Test]
    public async Task A_client_that_never_stops_sending_is_cut_after_3_seconds()
    {
        using ScriptedPeer peer = await _server.UpgradedPeerAsync();
        await peer.SendAsync(ClientFrames.Header(0x80 | (int)Opcode.Binary, long.MaxValue));
        Assert.That((await peer.ReadFrameAsync()).Close, Does.StartWith("1009"));

        Task<long> flood = peer.FloodAsync(new byte[64 * 1024], long.MaxValue);
        await _server.AdvanceUntilAsync(() => _server.Table.Count == 0, "the cut", TimeSpan.FromMilliseconds(500));

        await flood.InTime();
        await EndsAsync(DisconnectCause.MessageTooBig, "server", "1009");
    }

    [Test]
    public async Task An_oversize_message_is_seen_in_its_fragments()
    {
        using ScriptedPeer peer = await _server.UpgradedPeerAsync();

        await peer.SendAsync(ClientFrames.Frame(Opcode.Binary, new byte[1024 * 1024], fin: false), ClientFrames.Frame(Opcode.Continuation, [1]));

        Assert.That((await peer.ReadFrameAsync()).Close, Does.StartWith("1009"));
    }

    [Test]
    public async Task A_frame_without_a_mask_is_a_protocol_error()
    {
        using ScriptedPeer peer = await _server.UpgradedPeerAsync();

        await peer.SendAsync([0x81, 0x01, 0x61]);

        Assert.That((await peer.ReadFrameAsync()).Close, Is.EqualTo("1002 frame from a client is not masked"));
        Assert.That(await peer.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        peer.SendFin();
        await EndsAsync(DisconnectCause.ProtocolError, "server", "sent Close 1002: frame from a client is not masked (RFC 6455 section 5.1)");
    }

    [Test]
    public async Task Text_that_is_not_UTF8_is_an_invalid_payload()
    {
        using ScriptedPeer peer = await _server.UpgradedPeerAsync();

        await peer.SendAsync(ClientFrames.Frame(Opcode.Text, [0x61, 0xC0, 0x80]));

        Assert.That((await peer.ReadFrameAsync()).Close, Is.EqualTo("1007 text is not valid UTF-8"));
        peer.SendFin();
        await EndsAsync(DisconnectCause.InvalidPayload, "server", "1007");
    }

    [Test]
    public async Task A_mute_client_gets_its_pings_then_Close_1011_and_is_cut()
    {
        using ScriptedPeer peer = await _server.UpgradedPeerAsync();

        await _server.ConnectionAsync();
        await _server.AdvanceUntilAsync(() => _server.Table.Count == 0, "the cut", TimeSpan.FromMilliseconds(100));

        for (ulong number = 1; number <= 3; number++)
        {
            ServerFrame ping = await peer.ReadFrameAsync();
            Assert.That((ping.Opcode, ping.Number), Is.EqualTo((Opcode.Ping, number)));
        }
        Assert.That((await peer.ReadFrameAsync()).Close, Is.EqualTo("1011 pong timeout"));
        Assert.That(await peer.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin), "a reset could destroy the Close frame");
        LogEvent end = await EndsAsync(DisconnectCause.PongTimeout, "server", "3 ping(s)");
        // The limit is ping x max-missed + timeout for any phase, and one step of this test.
        Assert.That((double)end.Value("age_seconds")!, Is.LessThanOrEqualTo(6.6));
        Assert.That(_server.Log.Containing("is suspect"), Has.Count.EqualTo(3));
        Assert.That(_server.Metrics.Strikes, Is.EqualTo(3));
    }

    [Test]
    public async Task A_client_that_answers_pings_is_kept()
    {
        using ScriptedPeer peer = await _server.UpgradedPeerAsync();

        for (ulong number = 1; number <= 10; number++)
        {
            await _server.AdvanceToPingAsync(number);
            ServerFrame ping = await peer.ReadFrameAsync();
            Assert.That(ping.Number, Is.EqualTo(number));
            await peer.SendAsync(ClientFrames.Pong(ping.Payload));
            // The clock stands still until the pong has come.
            await _server.Log.WithAsync("pong, round trip", (int)number);
        }
        await peer.SendAsync(ClientFrames.Close(1000));

        LogEvent end = await EndsAsync(DisconnectCause.ClientClosed, "client", "Close 1000");
        Assert.That((end.Value("pings"), end.Value("pongs"), end.Value("missed"), end.Value("late")), Is.EqualTo((10UL, 10, 0, 0)));
    }

    [Test]
    public async Task The_end_line_has_all_the_figures()
    {
        using ScriptedPeer peer = await _server.UpgradedPeerAsync();
        await _server.AdvanceToPingAsync(1);
        ServerFrame ping = await peer.ReadFrameAsync();
        _server.Clock.Advance(96);
        await peer.SendAsync(ClientFrames.Pong(ping.Payload), ClientFrames.Text("hello"));
        await peer.ReadFrameAsync();
        TimeSpan age = _server.Table.Open.Single().Figures().Age + TimeSpan.FromMilliseconds(304);
        _server.Clock.Advance(304);

        peer.SendFin();

        LogEvent end = await EndsAsync(DisconnectCause.ClientVanished, "client", "FIN");
        var expected = new Dictionary<string, object>
        {
            ["event"] = "connection_ended",
            ["connection"] = 1L,
            ["remote_address"] = "127.0.0.1",
            ["remote_port"] = ((IPEndPoint)peer.Address).Port,
            ["path"] = "/ws",
            ["cause"] = "client_vanished",
            ["ended_by"] = "client",
            ["age_seconds"] = Math.Round(age.TotalSeconds, 3),
            ["detail"] = "FIN without a Close frame",
            ["pings"] = 1UL,
            ["pongs"] = 1,
            ["missed"] = 0,
            ["late"] = 0,
            ["other_pongs"] = 0,
            ["subprotocols_not_spoken"] = 0,
            ["round_trip_last_ms"] = 96.0,
            ["round_trip_min_ms"] = 96.0,
            ["round_trip_mean_ms"] = 96.0,
            ["round_trip_max_ms"] = 96.0,
            ["jitter_ms"] = 0.0,
            ["messages_in"] = 1L,
            ["bytes_in"] = 14L + 11L,
            ["messages_out"] = 1L,
            ["bytes_out"] = 10L + 7L,
            ["last_byte_seconds"] = 0.304,
            ["last_sent_seconds"] = 0.304,
        };
        Assert.That(end.Properties.Keys.Except(["remote", "what"]), Is.EquivalentTo(expected.Keys));
        foreach ((string property, object value) in expected)
            Assert.That(end.Value(property), Is.EqualTo(value), property);
    }

    [Test]
    public async Task Each_connection_has_a_number_of_its_own()
    {
        for (int i = 1; i <= 3; i++)
        {
            using (await _server.UpgradedPeerAsync())
                Assert.That((await _server.Log.WithAsync("connected", i)).Value("connection"), Is.EqualTo((long)i));
            await _server.EndedAsync(i);
        }
    }

    /// <summary>The line of the only end in the log.</summary>
    private async Task<LogEvent> EndsAsync(DisconnectCause cause, string by, string detail)
    {
        LogEvent end = await _server.EndedAsync();
        Assert.That((end.Value("cause"), end.Value("ended_by")), Is.EqualTo((cause.Name(), by)));
        Assert.That(end.Value("detail"), Does.Contain(detail));
        bool isCut = by == "server" && cause != DisconnectCause.ServerShutdown;
        Assert.That(end.Level, Is.EqualTo(isCut ? LogEventLevel.Warning : LogEventLevel.Information));
        await Safety.UntilAsync(() => _server.Table.Count == 0, "an empty table");
        Assert.That(DisconnectCauses.All.Select(each => _server.Metrics.Ends(each)), Is.EqualTo(DisconnectCauses.All.Select(each => each == cause ? 1 : 0)));
        return end;
    }
}
