using System.Net.WebSockets;
using HeartbeatServer.Options;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;
using Serilog.Events;

namespace HeartbeatServer.Tests.Hosting;

/// <summary>What clients see of <c>--subprotocol</c>.</summary>
[TestFixture(RequestsFrom.HttpPort)]
[TestFixture(RequestsFrom.PlainLoop)]
public sealed class ServerSubprotocolTests(RequestsFrom source)
{
    [Test]
    public async Task By_default_the_first_offer_is_in_the_101_and_messages_come_back()
    {
        await using ServerFixture server = ServerFixture.Start(source: source);
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(server.Port);

        await peer.SendAsync(ScriptedPeer.Upgrade(headers: ("Sec-WebSocket-Protocol", "graphql-transport-ws, graphql-ws")));

        HttpReply reply = await peer.ReadReplyAsync();
        Assert.That((reply.Status, reply["Sec-WebSocket-Protocol"]), Is.EqualTo((101, "graphql-transport-ws")));
        await peer.SendAsync(ClientFrames.Text("hello"));
        Assert.That((await peer.ReadFrameAsync()).Text, Is.EqualTo("hello"));
    }

    [Test]
    public async Task A_client_that_insists_on_its_offer_stays()
    {
        await using ServerFixture server = ServerFixture.Start(source: source);
        using var client = new ClientWebSocket();
        client.Options.AddSubProtocol("mqtt");
        client.Options.AddSubProtocol("mqttv3.1");

        await client.ConnectAsync(server.Url, CancellationToken.None).InTime();
        await client.CloseAsync(WebSocketCloseStatus.NormalClosure, null, CancellationToken.None).InTime();

        Assert.That(client.SubProtocol, Is.EqualTo("mqtt"));
        LogEvent end = await server.EndedAsync();
        Assert.That((end.Value("cause"), end.Value("subprotocols_not_spoken")), Is.EqualTo(("client_closed", 0)));
    }

    [TestCase("a, v2, v1", "v2")]
    [TestCase("a, b", null)]
    [TestCase(null, null)]
    public async Task Where_some_are_named_only_they_are_spoken(string? offers, string? spoken)
    {
        await using ServerFixture server = ServerFixture.Start(options => options with { Subprotocol = new Subprotocols(["v1", "v2"]) }, source: source);

        HttpReply reply = await server.RequestAsync(ScriptedPeer.Upgrade(headers: ("Sec-WebSocket-Protocol", offers)));

        Assert.That((reply.Status, reply["Sec-WebSocket-Protocol"]), Is.EqualTo((101, spoken)));
    }

    [Test]
    public async Task Of_offers_that_are_not_spoken_the_end_has_the_count_and_no_log_line_has_the_text()
    {
        await using ServerFixture server = ServerFixture.Start(
            options => options with { Subprotocol = new Subprotocols(["none"]), LogLevel = LogEventLevel.Verbose }, source: source);

        HttpReply reply = await server.RequestAsync(ScriptedPeer.Upgrade(headers: ("Sec-WebSocket-Protocol", "chat, superchat, bearer.c2VjcmV0")));

        Assert.That((reply.Status, reply["Sec-WebSocket-Protocol"]), Is.EqualTo((101, (string?)null)));
        LogEvent end = await server.EndedAsync();
        Assert.That(LogSink.Line(end), Does.EndWith(" | 3 subprotocol(s) offered, none spoken"));
        Assert.That(end.Value("subprotocols_not_spoken"), Is.EqualTo(3));
        Assert.That(server.Log.Lines, Has.None.Contain("chat").And.None.Contain("c2VjcmV0"));
    }

    [Test]
    public async Task An_offer_that_is_no_token_is_refused_and_is_not_in_the_log()
    {
        await using ServerFixture server = ServerFixture.Start(source: source);

        HttpReply reply = await server.RequestAsync(ScriptedPeer.Upgrade(headers: ("Sec-WebSocket-Protocol", "chat, bearer c2VjcmV0")));

        Assert.That((reply.Status, reply.Body), Is.EqualTo((400, "Sec-WebSocket-Protocol must be a list of tokens\n")));
        Assert.That(server.Metrics.Refusals(RefusalReason.BadRequest), Is.EqualTo(1));
        Assert.That(server.Log.Lines, Has.None.Contain("c2VjcmV0"));
    }
}
