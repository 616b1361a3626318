using System.Net.WebSockets;
using System.Text;
using HeartbeatServer.Admin;
using HeartbeatServer.Framing;
using HeartbeatServer.Options;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Hosting;

[TestFixture(RequestsFrom.HttpPort)]
[TestFixture(RequestsFrom.PlainLoop)]
public sealed class ServerEchoTests(RequestsFrom source)
{
    private ServerFixture _server = null!;

    [SetUp]
    public void SetUp() => _server = ServerFixture.Start(source: source);

    [TearDown]
    public async Task TearDown() => await _server.DisposeAsync();

    [Test]
    public async Task Every_message_comes_back([Values] bool text, [Values(0, 1, 125, 126, 65_535, 65_536, 1024 * 1024)] int length)
    {
        using ClientWebSocket client = await _server.ClientAsync();
        WebSocketMessageType type = text ? WebSocketMessageType.Text : WebSocketMessageType.Binary;
        byte[] message = Message(text, length);

        for (int round = 0; round < 3; round++)
        {
            await client.SendAsync(message, type, true, CancellationToken.None).InTime();
            (WebSocketMessageType Type, byte[] Bytes) echo = await ReceiveAsync(client);
            Assert.That(echo.Type, Is.EqualTo(type));
            Assert.That(echo.Bytes.AsSpan().SequenceEqual(message), Is.True);
        }
        await client.CloseAsync(WebSocketCloseStatus.NormalClosure, null, CancellationToken.None).InTime();

        Assert.That((await _server.EndedAsync()).Value("cause"), Is.EqualTo("client_closed"));
    }

    [Test]
    public async Task Fragments_with_pings_between_are_one_message()
    {
        using ScriptedPeer peer = await _server.UpgradedPeerAsync();

        await peer.SendAsync(ClientFrames.Frame(Opcode.Text, "Gr\u00fc"u8[..3], fin: false));
        await peer.SendAsync(ClientFrames.Frame(Opcode.Ping, "1"u8));
        Assert.That((await peer.ReadFrameAsync()).Opcode, Is.EqualTo(Opcode.Pong));
        await peer.SendAsync(ClientFrames.Frame(Opcode.Continuation, "Gr\u00fc\u00dfe"u8[3..5], fin: false), ClientFrames.Frame(Opcode.Ping, "2"u8));
        Assert.That((await peer.ReadFrameAsync()).Text, Is.EqualTo("2"));
        await peer.SendAsync(ClientFrames.Frame(Opcode.Continuation, [], fin: false));
        await peer.SendAsync(ClientFrames.Frame(Opcode.Continuation, "Gr\u00fc\u00dfe"u8[5..]));

        ServerFrame echo = await peer.ReadFrameAsync();
        Assert.That((echo.Opcode, echo.Text), Is.EqualTo((Opcode.Text, "Gr\u00fc\u00dfe")));
    }

    [Test]
    public async Task Bytes_may_come_one_by_one()
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_server.Port);

        foreach (byte value in Encoding.ASCII.GetBytes(ScriptedPeer.Upgrade()))
            await peer.SendAsync([value]);
        Assert.That((await peer.ReadReplyAsync()).Status, Is.EqualTo(101));
        foreach (byte value in ClientFrames.Text(new string('x', 200)))
            await peer.SendAsync([value]);

        Assert.That((await peer.ReadFrameAsync()).Text, Is.EqualTo(new string('x', 200)));
    }

    [Test]
    public async Task Frames_right_behind_the_upgrade_request_are_not_lost([Values(1, 3, 500)] int count)
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_server.Port);
        byte[][] frames = [.. Enumerable.Range(0, count).Select(i => ClientFrames.Text($"early {i}"))];

        await peer.SendAsync([Encoding.ASCII.GetBytes(ScriptedPeer.Upgrade()), .. frames]);

        Assert.That((await peer.ReadReplyAsync()).Status, Is.EqualTo(101));
        for (int i = 0; i < count; i++)
            Assert.That((await peer.ReadFrameAsync()).Text, Is.EqualTo($"early {i}"));
        await peer.SendAsync(ClientFrames.Text("later"));
        Assert.That((await peer.ReadFrameAsync()).Text, Is.EqualTo("later"));
    }

    [Test]
    public async Task Many_messages_in_flight_come_back_in_order()
    {
        using ScriptedPeer peer = await _server.UpgradedPeerAsync();
        const int count = 5000;

        Task sending = Task.Run(async () =>
        {
            for (int i = 0; i < count; i += 50)
                await peer.SendAsync([.. Enumerable.Range(i, 50).Select(number => ClientFrames.Text($"{number} {new string('x', number % 300)}"))]);
        });
        for (int i = 0; i < count; i++)
            Assert.That((await peer.ReadFrameAsync()).Text, Is.EqualTo($"{i} {new string('x', i % 300)}"));
        await sending.InTime();
    }

    [Test]
    public async Task Clients_do_not_get_each_others_messages()
    {
        ClientWebSocket[] clients = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => _server.ClientAsync()));
        await Task.WhenAll(clients.Select(async (client, number) =>
        {
            for (int i = 0; i < 20; i++)
            {
                string message = $"{number}: {new string('x', i * 100)}";
                await client.SendAsync(Encoding.UTF8.GetBytes(message), WebSocketMessageType.Text, true, CancellationToken.None).InTime();
                Assert.That(Encoding.UTF8.GetString((await ReceiveAsync(client)).Bytes), Is.EqualTo(message));
            }
        }));
        Assert.That((_server.Table.Count, _server.Metrics.Opened, _server.Metrics.Peak), Is.EqualTo((20, 20, 20)));
        foreach (ClientWebSocket client in clients)
            client.Dispose();
    }

    [Test]
    public async Task With_discard_nothing_comes_back_but_pongs()
    {
        await using ServerFixture server = ServerFixture.Start(options => options with { OnMessage = OnMessage.Discard }, source: source);
        using ScriptedPeer peer = await server.UpgradedPeerAsync();

        await peer.SendAsync(ClientFrames.Text("a"), ClientFrames.Frame(Opcode.Binary, new byte[100_000]), ClientFrames.Frame(Opcode.Ping, "p"u8));

        ServerFrame only = await peer.ReadFrameAsync();
        Assert.That((only.Opcode, only.Text), Is.EqualTo((Opcode.Pong, "p")));
    }

    private static byte[] Message(bool text, int length)
    {
        var message = new byte[length];
        for (int i = 0; i < length; i++)
            message[i] = (byte)(text ? 'a' + (i % 26) : i * 7);
        return message;
    }

    private static async Task<(WebSocketMessageType Type, byte[] Bytes)> ReceiveAsync(ClientWebSocket client)
    {
        using var message = new MemoryStream();
        var buffer = new byte[64 * 1024];
        while (true)
        {
            ValueWebSocketReceiveResult part = await client.ReceiveAsync(buffer.AsMemory(), CancellationToken.None).InTime();
            await message.WriteAsync(buffer.AsMemory(0, part.Count));
            if (part.EndOfMessage)
                return (part.MessageType, message.ToArray());
        }
    }
}
