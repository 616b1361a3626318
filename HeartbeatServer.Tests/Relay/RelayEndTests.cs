using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Relay;

/// <summary>How an end on one leg becomes an end on the other, and what the cause is. The first event decides.</summary>
[Platform("Linux")]
public sealed class RelayEndTests
{
    private static readonly byte[] Up = ClientFrames.Text("up");
    private static readonly byte[] Down = ServerFrames.Frame(Opcode.Text, "down"u8);

    private RelayFixture _relay = null!;
    private ScriptedPeer _client = null!;
    private ScriptedPeer _application = null!;

    [SetUp]
    public async Task SetUp()
    {
        _relay = new RelayFixture();
        (_client, _application) = await _relay.PairAsync();
    }

    [TearDown]
    public async Task TearDown()
    {
        _client.Dispose();
        _application.Dispose();
        await _relay.DisposeAsync();
    }

    [Test]
    public async Task A_Close_of_the_client_passes_and_the_answer_comes_back()
    {
        byte[] close = ClientFrames.Close(4404, "gone");
        byte[] answer = CloseFromApplication(4404);
        await _client.SendAsync(Up, close, Up);
        Assert.That(await _application.ReadBytesAsync(Up.Length + close.Length), Is.EqualTo(ClientFrames.Join(Up, close)), "nothing behind the Close");
        await _application.SendAsync(Down, answer, Down);
        Assert.That(await _client.ReadBytesAsync(Down.Length + answer.Length), Is.EqualTo(ClientFrames.Join(Down, answer)));

        Assert.That(await _client.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin), "at once, while the application keeps its connection");
        _application.Dispose();
        _client.Dispose();
        await EndsAsync(DisconnectCause.ClientClosed);
    }

    [Test]
    public async Task A_Close_of_the_application_passes_and_the_answer_goes_back()
    {
        byte[] close = CloseFromApplication(1000);
        byte[] answer = ClientFrames.Close(1000);
        await _application.SendAsync(Down, close);
        Assert.That(await _client.ReadBytesAsync(Down.Length + close.Length), Is.EqualTo(ClientFrames.Join(Down, close)));
        await _client.SendAsync(Up, answer);
        Assert.That(await _application.ReadBytesAsync(Up.Length + answer.Length), Is.EqualTo(ClientFrames.Join(Up, answer)));

        Assert.That(await _client.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        _application.Dispose();
        _client.Dispose();
        await EndsAsync(DisconnectCause.UpstreamClosed);
    }

    [Test]
    public async Task An_application_that_does_not_close_after_both_Close_frames_gets_FIN_after_a_while()
    {
        await _client.SendAsync(ClientFrames.Close(1000));
        await _application.ReadBytesAsync(ClientFrames.Close(1000).Length);
        await _application.SendAsync(CloseFromApplication(1000));
        await _client.ReadFrameAsync();
        _client.Dispose();

        await AdvanceUntilEndedAsync();
        Assert.That(await _application.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        await EndsAsync(DisconnectCause.ClientClosed);
    }

    [Test]
    public async Task A_Close_that_nobody_answers_ends_after_ten_seconds_without_bytes()
    {
        await _application.SendAsync(CloseFromApplication(1000));
        await _client.ReadFrameAsync();
        _relay.Server.Clock.Advance(TimeSpan.FromSeconds(9));
        await _client.SendAsync(Up);
        await _application.ReadBytesAsync(Up.Length);
        _relay.Server.Clock.Advance(TimeSpan.FromSeconds(9));
        Assert.That(_relay.Server.Table.Count, Is.EqualTo(1), "a byte has passed 9 s ago");

        await AdvanceUntilEndedAsync();
        await EndsAsync(DisconnectCause.UpstreamClosed);
    }

    [Test]
    public async Task FIN_of_the_client_passes_and_the_application_may_go_on()
    {
        await _client.SendAsync(Up);
        _client.SendFin();
        Assert.That(await _application.ReadBytesAsync(Up.Length), Is.EqualTo(Up));
        Assert.That(await _application.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        await _application.SendAsync(Down);
        Assert.That(await _client.ReadBytesAsync(Down.Length), Is.EqualTo(Down));

        _application.Dispose();
        Assert.That(await _client.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        await EndsAsync(DisconnectCause.ClientVanished);
    }

    [Test]
    public async Task FIN_of_the_application_passes_and_the_client_may_go_on()
    {
        await _application.SendAsync(Down);
        _application.SendFin();
        Assert.That(await _client.ReadBytesAsync(Down.Length), Is.EqualTo(Down));
        Assert.That(await _client.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        await _client.SendAsync(Up);
        Assert.That(await _application.ReadBytesAsync(Up.Length), Is.EqualTo(Up));

        _client.Dispose();
        Assert.That(await _application.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        await EndsAsync(DisconnectCause.UpstreamVanished);
    }

    [Test]
    public async Task A_side_that_stays_silent_after_a_FIN_is_closed_after_ten_seconds([Values] bool fromClient)
    {
        (fromClient ? _client : _application).SendFin();
        await (fromClient ? _application : _client).ReadEndAsync();
        _relay.Server.Clock.Advance(TimeSpan.FromSeconds(9));
        Assert.That(_relay.Server.Table.Count, Is.EqualTo(1));

        _relay.Server.Clock.Advance(TimeSpan.FromSeconds(2));
        Assert.That(await (fromClient ? _client : _application).ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        await EndsAsync(fromClient ? DisconnectCause.ClientVanished : DisconnectCause.UpstreamVanished);
    }

    [Test]
    public async Task RST_passes_where_nothing_is_unsent([Values] bool fromClient)
    {
        (fromClient ? _client : _application).Reset();

        Assert.That(await (fromClient ? _application : _client).ReadEndAsync(), Is.EqualTo(PeerEnd.Reset));
        await EndsAsync(fromClient ? DisconnectCause.ConnectionReset : DisconnectCause.UpstreamReset);
    }

    [Test]
    public async Task What_the_application_sent_before_its_RST_arrives()
    {
        // The application does not read this, so its kernel makes a RST of its close.
        await _client.SendAsync(ClientFrames.Binary(new byte[10_000]));
        await Safety.UntilAsync(() => _relay.Server.Table.Open.Single().Figures().BytesIn > 10_000, "the message is read");
        byte[] close = CloseFromApplication(1011);
        await _application.SendAsync(Down, close);
        _application.Dispose();

        Assert.That(await _client.ReadBytesAsync(Down.Length + close.Length), Is.EqualTo(ClientFrames.Join(Down, close)));
        Assert.That(await _client.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        _client.Dispose();
        await EndsAsync(DisconnectCause.UpstreamClosed);
    }

    [Test]
    public async Task A_client_that_answers_no_ping_gets_RST_and_the_application_FIN()
    {
        await _relay.Server.AdvanceUntilAsync(
            () => _relay.Server.Metrics.Strikes == 3, "three strikes", step: TimeSpan.FromMilliseconds(100));

        Assert.That(await _application.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        _application.Dispose();
        for (int pings = 0; pings < 3; pings++)
            Assert.That((await _client.ReadFrameAsync()).Opcode, Is.EqualTo(Opcode.Ping));
        Assert.That(await _client.ReadEndAsync(), Is.EqualTo(PeerEnd.Reset), "no Close 1011");
        await EndsAsync(DisconnectCause.PongTimeout);
    }

    [Test]
    public async Task A_client_that_breaks_a_rule_gets_its_Close_and_the_application_FIN()
    {
        await _client.SendAsync(Up, ServerFrames.Frame(Opcode.Text, "not masked"u8));

        Assert.That(await _application.ReadBytesAsync(Up.Length), Is.EqualTo(Up));
        Assert.That(await _application.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        Assert.That((await _client.ReadFrameAsync()).Close, Does.StartWith("1002 "));
        Assert.That(await _client.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        _client.Dispose();
        _application.Dispose();
        await EndsAsync(DisconnectCause.ProtocolError);
    }

    [Test]
    public async Task An_application_that_breaks_a_rule_gets_FIN_as_the_client_does()
    {
        await _application.SendAsync(Down, Up);

        Assert.That(await _client.ReadBytesAsync(Down.Length), Is.EqualTo(Down));
        Assert.That(await _client.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        Assert.That(await _application.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        _client.Dispose();
        _application.Dispose();
        await EndsAsync(DisconnectCause.UpstreamProtocolError);
    }

    [Test]
    public async Task A_drain_says_goodbye_to_the_client_and_its_answer_goes_no_further()
    {
        Task drain = _relay.Server.Drain.RunAsync("SIGTERM", CancellationToken.None);
        Assert.That((await _client.ReadFrameAsync()).Close, Does.StartWith("1001 "));
        await _application.SendAsync(Down);
        await _client.SendAsync(Up, ClientFrames.Close(1001));

        Assert.That(await _application.ReadBytesAsync(Up.Length), Is.EqualTo(Up));
        Assert.That(await _application.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        Assert.That(await _client.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin), "what the application sent is dropped");
        _client.Dispose();
        _application.Dispose();
        await drain.InTime();
        await EndsAsync(DisconnectCause.ServerShutdown);
    }

    [Test]
    public async Task A_drain_inside_a_frame_ends_without_a_Close()
    {
        await _application.SendAsync(Down[..3]);
        await _client.ReadBytesAsync(3);
        Task drain = _relay.Server.Drain.RunAsync("SIGTERM", CancellationToken.None);
        _relay.Server.Clock.Advance(TimeSpan.FromSeconds(4));

        Assert.That(await _client.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        _client.Dispose();
        _application.Dispose();
        await drain.InTime();
        await EndsAsync(DisconnectCause.ServerShutdown);
    }

    private static byte[] CloseFromApplication(int code) => ServerFrames.Frame(Opcode.Close, ClientFrames.CloseBody(code, []));

    private Task AdvanceUntilEndedAsync() =>
        _relay.Server.AdvanceUntilAsync(() => _relay.Server.Metrics.Ended == 1, "the end", step: TimeSpan.FromMilliseconds(100));

    private async Task EndsAsync(DisconnectCause cause)
    {
        await Safety.UntilAsync(() => _relay.Server.Metrics.Ended == 1, "the end");
        Assert.That(DisconnectCauses.All.Single(each => _relay.Server.Metrics.Ends(each) > 0), Is.EqualTo(cause));
    }
}
