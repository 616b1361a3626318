using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Relay;

/// <summary>Frames that pass, and the pings and pongs that do not.</summary>
[Platform("Linux")]
public sealed class RelayConnectionTests
{
    private RelayFixture _relay = null!;

    [SetUp]
    public void SetUp() => _relay = new RelayFixture();

    [TearDown]
    public ValueTask TearDown() => _relay.DisposeAsync();

    [Test]
    public async Task Frames_pass_both_ways_as_they_are()
    {
        var (client, application) = await _relay.PairAsync();
        byte[] up = ClientFrames.Join(
            ClientFrames.Text("hel", fin: false), ClientFrames.Ping("p"u8), ClientFrames.Continuation("lo", fin: true), ClientFrames.Binary(new byte[70_000]));
        await client.SendAsync(up);
        Assert.That(await application.ReadBytesAsync(up.Length), Is.EqualTo(up));

        byte[] down = [.. ServerFrames.Frame(Opcode.Text, "wel"u8, fin: false), .. ServerFrames.Frame(Opcode.Pong, "p"u8),
            .. ServerFrames.Frame(Opcode.Continuation, "come"u8), .. ServerFrames.Frame(Opcode.Binary, new byte[70_000])];
        await application.SendAsync(down);
        Assert.That(await client.ReadBytesAsync(down.Length), Is.EqualTo(down));

        await CloseAsync(client, application);
    }

    [Test]
    public async Task Frames_pass_byte_by_byte()
    {
        var (client, application) = await _relay.PairAsync();
        byte[] up = ClientFrames.Join(ClientFrames.Ping("ping"u8), ClientFrames.Binary(new byte[300]));
        byte[] down = [.. ServerFrames.Frame(Opcode.Ping, "ping"u8), .. ServerFrames.Frame(Opcode.Binary, new byte[300])];
        for (int i = 0; i < up.Length; i++)
            await client.SendAsync([up[i]]);
        for (int i = 0; i < down.Length; i++)
            await application.SendAsync([down[i]]);

        Assert.That(await application.ReadBytesAsync(up.Length), Is.EqualTo(up));
        Assert.That(await client.ReadBytesAsync(down.Length), Is.EqualTo(down));
        await CloseAsync(client, application);
    }

    [Test]
    public async Task Frames_behind_the_answer_and_behind_the_request_pass()
    {
        byte[] early = ClientFrames.Text("early");
        using ScriptedPeer client = await _relay.ClientAsync();
        await client.SendAsync(early);
        using ScriptedPeer application = await _relay.ApplicationAsync();
        await application.ReadHeadAsync();
        await application.SendAsync(RelayFixture.Answer(), ServerFrames.Frame(Opcode.Text, "first"u8));

        Assert.That(await client.ReadHeadAsync(), Does.StartWith("HTTP/1.1 101 "));
        Assert.That((await client.ReadFrameAsync()).Text, Is.EqualTo("first"));
        Assert.That(await application.ReadBytesAsync(early.Length), Is.EqualTo(early));
        await CloseAsync(client, application);
    }

    [Test]
    public async Task The_client_is_pinged_and_its_pongs_go_no_further()
    {
        var (client, application) = await _relay.PairAsync();
        await _relay.Server.AdvanceToPingAsync(1);
        ServerFrame ping = await client.ReadFrameAsync();
        Assert.That((ping.Opcode, ping.Payload.Length), Is.EqualTo((Opcode.Ping, 8)));

        byte[] text = ClientFrames.Text("behind the pong");
        await client.SendAsync(ClientFrames.Pong(ping.Payload), ClientFrames.Pong(ping.Payload), text);
        Assert.That(await application.ReadBytesAsync(text.Length), Is.EqualTo(text), "both pongs are absorbed");
        Assert.That(_relay.Server.Metrics.RoundTrips.Count, Is.EqualTo(1));
        await CloseAsync(client, application);
    }

    [Test]
    public async Task A_ping_that_is_due_inside_a_frame_leaves_behind_it()
    {
        var (client, application) = await _relay.PairAsync();
        byte[] frame = ServerFrames.Frame(Opcode.Binary, new byte[1000]);
        await application.SendAsync(frame[..400]);
        Assert.That(await client.ReadBytesAsync(400), Is.EqualTo(frame[..400]));
        _relay.Server.Clock.Advance(TimeSpan.FromSeconds(11));
        await application.SendAsync(frame[400..]);

        Assert.That(await client.ReadBytesAsync(frame.Length - 400), Is.EqualTo(frame[400..]));
        Assert.That((await client.ReadFrameAsync()).Opcode, Is.EqualTo(Opcode.Ping));
        Assert.That(_relay.Server.Table.Open.Single().Figures().Missed, Is.Zero);
        await CloseAsync(client, application);
    }

    [Test]
    public async Task A_ping_that_is_owed_leaves_between_two_frames_of_a_stream()
    {
        var (client, application) = await _relay.PairAsync();
        byte[] frame = ServerFrames.Frame(Opcode.Binary, new byte[1000]);
        await application.SendAsync(frame[..400]);
        await client.ReadBytesAsync(400);
        _relay.Server.Clock.Advance(TimeSpan.FromSeconds(11));
        // The end of the frame and the beginning of the next one come together.
        await application.SendAsync(frame[400..], frame[..400]);

        await client.ReadBytesAsync(frame.Length - 400);
        Assert.That((await client.ReadFrameAsync()).Opcode, Is.EqualTo(Opcode.Ping));
        Assert.That(await client.ReadBytesAsync(400), Is.EqualTo(frame[..400]));
        await application.SendAsync(frame[400..]);
        await client.ReadBytesAsync(frame.Length - 400);
        await CloseAsync(client, application);
    }

    [Test]
    public async Task No_ping_of_ours_leaves_while_one_of_the_application_is_unanswered()
    {
        var (client, application) = await _relay.PairAsync();
        byte[] foreign = ServerFrames.Frame(Opcode.Ping, "theirs"u8);
        await application.SendAsync(foreign);
        Assert.That(await client.ReadBytesAsync(foreign.Length), Is.EqualTo(foreign));
        _relay.Server.Clock.Advance(TimeSpan.FromSeconds(10.1));
        Assert.That(_relay.Server.Table.Open.Single().Figures().Pings, Is.Zero);

        byte[] pong = ClientFrames.Pong("theirs"u8);
        await client.SendAsync(pong);
        Assert.That(await application.ReadBytesAsync(pong.Length), Is.EqualTo(pong));
        await _relay.Server.AdvanceToPingAsync(1);
        Assert.That((await client.ReadFrameAsync()).Payload, Has.Length.EqualTo(8));
        Assert.That(_relay.Server.Metrics.ForeignPings, Is.EqualTo(1));
        await CloseAsync(client, application);
    }

    [Test]
    public async Task The_beat_is_judged_on_a_ping_of_the_application()
    {
        var (client, application) = await _relay.PairAsync();
        await application.SendAsync(ServerFrames.Frame(Opcode.Ping, "theirs"u8));
        await client.ReadFrameAsync();
        await _relay.Server.AdvanceUntilAsync(() => _relay.Server.Metrics.Strikes == 1, "a strike", step: TimeSpan.FromMilliseconds(100));

        Assert.That(_relay.Server.Table.Open.Single().Figures().Pings, Is.Zero);
        await CloseAsync(client, application);
    }

    [Test]
    public async Task The_figures_have_both_legs()
    {
        var (client, application) = await _relay.PairAsync();
        byte[] down = ServerFrames.Frame(Opcode.Text, "down"u8);
        await client.SendAsync(ClientFrames.Text("up"));
        await application.ReadBytesAsync(ClientFrames.Text("up").Length);
        await application.SendAsync(down, down[..3]);
        await client.ReadBytesAsync(down.Length + 3);

        UpstreamFigures leg = _relay.Server.Table.Open.Single().Figures().Upstream!;
        Assert.That((leg.BytesIn, leg.BytesOut, leg.IsInsideFrame, leg.NotReadFor), Is.EqualTo((9L, 8L, true, (TimeSpan?)null)));
        Assert.That(leg.Address, Does.StartWith("127.0.0.1:"));
        await application.SendAsync(down[3..]);
        await client.ReadBytesAsync(down.Length - 3);
        await CloseAsync(client, application);
    }

    [Test]
    public async Task A_stalled_reader_stops_the_sender_and_the_memory_stays_flat([Values] bool isUp)
    {
        const long most = 64 * 1024 * 1024;
        var (client, application) = await _relay.PairAsync();
        byte[] frame = isUp ? ClientFrames.Binary(new byte[60_000]) : ServerFrames.Frame(Opcode.Binary, new byte[60_000]);
        ScriptedPeer sender = isUp ? client : application;
        Task<long> flood = sender.FloodAsync(frame, atMost: most);
        await Safety.UntilAsync(() => _relay.Server.Table.Buffers.Used > 0, "a write that waits");

        Assert.That(_relay.Server.Table.Buffers.Used, Is.LessThan(128 * 1024));
        Assert.That(flood.IsCompleted, Is.False);
        client.Reset();
        application.Reset();
        Assert.That(await flood.InTime(), Is.LessThan(most));
        await Safety.UntilAsync(() => _relay.Server.Table.Buffers.Used == 0, "nothing held");
    }

    /// <summary>Ends the connection in the usual way: both sides send a Close frame.</summary>
    private static async Task CloseAsync(ScriptedPeer client, ScriptedPeer application)
    {
        await client.SendAsync(ClientFrames.Close(1000));
        await application.ReadBytesAsync(ClientFrames.Close(1000).Length);
        await application.SendAsync(ServerFrames.Frame(Opcode.Close, ClientFrames.CloseBody(1000, [])));
        while ((await client.ReadFrameAsync()).Opcode != Opcode.Close)
        {
            // A ping may stand before it.
        }
        Assert.That(await client.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        application.Dispose();
        client.Dispose();
    }
}
