using System.Runtime.Versioning;
using HeartbeatServer.Engine;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;
using HeartbeatServer.Relay;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Relay;

/// <summary>What the relay still takes of a side whose bytes go no further, and how it sees the end of a side that it does not read.</summary>
[Platform("Linux")]
[SupportedOSPlatform("linux")]
public sealed class RelayLeftoverTests
{
    /// <summary>More than the kernels' buffers hold, by far.</summary>
    private const long Much = 64 * 1024 * 1024;

    /// <summary>The last receive before the bound may fill its buffer, and one more may pass before the end is known.</summary>
    private const long MostTaken = Inflow.MostIgnored + (4 * LoopBuffer.Size);

    private static readonly byte[] Up = ClientFrames.Binary(new byte[16_000]);
    private static readonly byte[] Down = ServerFrames.Frame(Opcode.Binary, new byte[60_000]);

    private RelayFixture _relay = null!;
    private ScriptedPeer _client = null!;
    private ScriptedPeer _application = null!;

    private UpstreamFigures Leg => _relay.Server.Table.Open.Single().Figures().Upstream!;

    [SetUp]
    public async Task SetUp()
    {
        // Nobody is pinged, so no failed ping shows that a client has gone.
        _relay = new RelayFixture(options => options with { Ping = TimeSpan.Zero });
        (_client, _application) = await _relay.PairAsync();
        await _relay.Server.ConnectionAsync();
    }

    [TearDown]
    public async Task TearDown()
    {
        _client.Dispose();
        _application.Dispose();
        await _relay.DisposeAsync();
    }

    [Test]
    public async Task Little_is_taken_of_an_application_whose_client_broke_a_rule()
    {
        await _client.SendAsync([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        Assert.That((await _client.ReadFrameAsync()).Close, Does.StartWith("1002 "));
        Assert.That(await _client.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));

        await FloodsInVainAsync(DisconnectCause.ProtocolError);
    }

    [Test]
    public async Task Little_is_taken_of_an_application_whose_client_said_goodbye_and_went()
    {
        await _client.SendAsync(ClientFrames.Close(1000));
        await _application.ReadBytesAsync(ClientFrames.Close(1000).Length);
        _client.Dispose();
        Assert.That(await _application.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));

        await FloodsInVainAsync(DisconnectCause.ClientClosed);
    }

    [Test]
    public async Task Little_is_taken_of_an_application_whose_client_did_not_read()
    {
        Task<long> flood = _application.FloodAsync(Down, Much);
        await _relay.Server.AdvanceUntilAsync(() => _relay.Server.Metrics.Ended == 1, "the cut", TimeSpan.FromSeconds(1));

        Assert.That(await flood.InTime(), Is.LessThan(Much));
        await EndsAsync(DisconnectCause.SlowConsumer);
        Assert.That(Record().Figures.IsBlocked, Is.True);
    }

    [Test]
    public async Task Little_is_taken_of_a_client_whose_application_went()
    {
        _application.Dispose();
        Assert.That(await _client.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        Task<long> flood = _client.FloodAsync(Up, Much);
        await Safety.UntilAsync(() => _relay.Server.Table.Open.Single().Figures().BytesIn > Inflow.MostIgnored, "the bound");

        _relay.Server.Clock.Advance(TimeSpan.FromSeconds(2.9));
        Assert.That((_relay.Server.Table.Count, flood.IsCompleted), Is.EqualTo((1, false)));
        _relay.Server.Clock.Advance(TimeSpan.FromSeconds(0.2));

        Assert.That(await flood.InTime(), Is.LessThan(Much));
        await EndsAsync(DisconnectCause.UpstreamVanished);
        Assert.That(Record().Figures.BytesIn, Is.LessThan(MostTaken));
    }

    [Test]
    public async Task Behind_its_Close_little_is_taken_of_an_application_while_the_clients_frames_still_pass()
    {
        byte[] close = ServerFrames.Frame(Opcode.Close, ClientFrames.CloseBody(1000, []));
        await _application.SendAsync(close);
        await _client.ReadBytesAsync(close.Length);
        Task<long> flood = _application.FloodAsync(Down, Much);
        await Safety.UntilAsync(() => Leg.BytesIn > Inflow.MostIgnored, "the bound");

        await _client.SendAsync(Up, ClientFrames.Close(1000));
        await _application.ReadBytesAsync(Up.Length + ClientFrames.Close(1000).Length);
        Assert.That(await _client.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        _client.Dispose();
        _application.Dispose();
        Assert.That(await flood.InTime(), Is.LessThan(Much));
        await EndsAsync(DisconnectCause.UpstreamClosed);
        Assert.That(Record().Figures.Upstream!.BytesIn, Is.LessThan(MostTaken));
    }

    [Test]
    public async Task A_client_that_leaves_while_the_application_does_not_read_is_seen([Values] bool isReset)
    {
        await SendUntilUnreadAsync();
        if (isReset)
            _client.Reset();
        else
            _client.SendFin();
        await _relay.Server.AdvanceUntilAsync(() => _relay.Server.Metrics.Ended == 1, "the end", TimeSpan.FromSeconds(1));

        await EndsAsync(isReset ? DisconnectCause.ConnectionReset : DisconnectCause.ClientVanished);
        EndRecord end = Record();
        Assert.That(end.End.Detail, Is.EqualTo($"{(isReset ? "RST" : "FIN")} behind bytes that the application did not take"));
        Assert.That(end.Figures.IsBlocked, Is.True);
        Assert.That(end.Figures.Upstream!.NotReadFor, Is.GreaterThan(TimeSpan.FromSeconds(9)));
    }

    [Test]
    public async Task What_a_client_has_sent_before_it_left_goes_on_as_long_as_the_application_takes_some_of_it([Values] bool isWrittenTo)
    {
        long sent = await SendUntilUnreadAsync();
        byte[] close = ClientFrames.Close(1000);
        await _client.SendAsync(close);
        _client.Dispose();
        while (isWrittenTo && !_relay.Server.Table.Open.Single().Figures().CloseSent)
            await _application.SendAsync(Down); // the client's kernel answers with RST
        long read = 0;
        _relay.Server.Clock.Advance(TimeSpan.FromSeconds(9));
        for (long before = Leg.BytesOut; Leg.BytesOut == before && read < sent; read += Up.Length)
            await _application.ReadBytesAsync(Up.Length);
        _relay.Server.Clock.Advance(TimeSpan.FromSeconds(9));
        Assert.That(_relay.Server.Table.Count, Is.EqualTo(1), "the application has taken some 9 s ago");
        for (; read < sent; read += Up.Length)
            await _application.ReadBytesAsync(Up.Length);

        Assert.That(await _application.ReadBytesAsync(close.Length), Is.EqualTo(close));
        Assert.That(await _application.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        _application.Dispose();
        await EndsAsync(DisconnectCause.ClientClosed);
    }

    [Test]
    public async Task The_application_ends_after_a_client_that_nobody_read()
    {
        await SendUntilUnreadAsync();
        _client.Reset();
        await Safety.UntilAsync(() => _relay.Server.Table.Open.Single().Figures().CloseSent, "nothing more goes to the client");
        _application.Reset();

        await EndsAsync(DisconnectCause.ConnectionReset);
    }

    [Test]
    public async Task The_figures_of_the_applications_leg_are_those_of_the_end()
    {
        await _application.SendAsync(Down);
        await _client.ReadBytesAsync(Down.Length);
        _relay.Server.Clock.Advance(TimeSpan.FromSeconds(60));
        await _client.SendAsync(ClientFrames.Close(1000));
        await _application.ReadBytesAsync(ClientFrames.Close(1000).Length);
        _relay.Server.Clock.Advance(TimeSpan.FromSeconds(2));
        byte[] answer = ServerFrames.Frame(Opcode.Close, ClientFrames.CloseBody(1000, []));
        await _application.SendAsync(answer);
        await _client.ReadBytesAsync(answer.Length);
        _application.Dispose();
        _client.Dispose();

        await EndsAsync(DisconnectCause.ClientClosed);
        ConnectionFigures figures = Record().Figures;
        Assert.That((figures.Age, figures.Upstream!.SinceLastByte), Is.EqualTo((TimeSpan.FromSeconds(60), TimeSpan.FromSeconds(60))));
        Assert.That(figures.Upstream.BytesIn, Is.EqualTo(Down.Length + answer.Length), "bytes count to the end");
    }

    /// <summary>Lets the application send as much as it can, and checks that little of it is taken, and that the end comes after 3 s.</summary>
    private async Task FloodsInVainAsync(DisconnectCause cause)
    {
        Task<long> flood = _application.FloodAsync(Down, Much);
        await Safety.UntilAsync(() => Leg.BytesIn > Inflow.MostIgnored, "the bound");

        _relay.Server.Clock.Advance(TimeSpan.FromSeconds(2.9));
        Assert.That((_relay.Server.Table.Count, flood.IsCompleted), Is.EqualTo((1, false)));
        _relay.Server.Clock.Advance(TimeSpan.FromSeconds(0.2));

        Assert.That(await flood.InTime(), Is.LessThan(Much));
        await EndsAsync(cause);
        Assert.That(Record().Figures.Upstream!.BytesIn, Is.LessThan(MostTaken));
    }

    /// <summary>Sends frames until a write to the application waits, because nobody reads there.</summary>
    /// <returns>How many bytes were sent.</returns>
    private async Task<long> SendUntilUnreadAsync()
    {
        long sent = 0;
        while (_relay.Server.Table.Buffers.Used == 0)
        {
            await _client.SendAsync(Up);
            sent += Up.Length;
            // One frame at a time: the end of the client must not wait behind bytes for which our kernel has no room.
            await Safety.UntilAsync(
                () => _relay.Server.Table.Open.Single().Figures().BytesIn == sent || _relay.Server.Table.Buffers.Used > 0, "the frame is read, or waits");
        }
        return sent;
    }

    private EndRecord Record() => _relay.Server.Context.Ends.After(0).Single();

    private async Task EndsAsync(DisconnectCause cause)
    {
        await Safety.UntilAsync(() => _relay.Server.Context.Ends.Count == 1, "the end");
        Assert.That(Record().End.Cause, Is.EqualTo(cause));
    }
}
