using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;
using Serilog.Events;

namespace HeartbeatServer.Tests.Relay;

/// <summary>Pages one side of which does not read, and clients that do what they should not.</summary>
[Platform("Linux")]
public sealed class PageWaitTests
{
    private const int Much = 100_000_000;
    private const int Piece = 64 * 1024;
    private const int Ahead = 256 * 1024;

    private readonly List<ScriptedPeer> _peers = [];
    private RelayFixture _relay = null!;

    [SetUp]
    public void SetUp() => _relay = new RelayFixture();

    [TearDown]
    public async Task TearDown()
    {
        DisposePeers();
        await _relay.DisposeAsync();
    }

    [Test]
    public async Task An_application_that_takes_no_byte_of_a_body_is_given_up()
    {
        var (client, _) = await UploadAsync();

        HttpReply reply = await LaterAsync(client.ReadReplyAsync());

        Assert.That((reply.Status, reply.Body), Is.EqualTo((504, "the application took no byte of the body for 30s (--write-timeout)\n")));
    }

    [Test]
    public async Task A_slow_application_that_takes_a_few_bytes_keeps_its_upload()
    {
        var (_, application) = await UploadAsync();
        for (int i = 0; i < 10; i++)
        {
            await application.ReadBytesAsync(4 * 1024 * 1024);
            _relay.Server.Clock.Advance(TimeSpan.FromSeconds(10));
        }
        Assert.That(_relay.Server.Metrics.Refused, Is.Zero);
    }

    [Test]
    public async Task A_client_that_goes_while_its_body_waits_ends_the_request()
    {
        var (client, _) = await UploadAsync();

        client.Reset();

        await Safety.UntilAsync(() => _relay.Server.Metrics.Refusals(RefusalReason.ClientGone) == 1, "the client to be missed");
        await Safety.UntilAsync(() => _relay.Server.Metrics.PagesUnderWay == 0, "the page to end");
        Assert.That(_relay.Server.Table.Buffers.Used, Is.Zero);
    }

    [Test]
    public async Task An_answer_that_begins_while_the_body_waits_comes_when_the_application_takes_no_more()
    {
        var (client, application) = await UploadAsync();
        await application.SendAsync($"HTTP/1.1 413 Too large\r\nContent-Length: 200000\r\n\r\n{new string('x', 200_000)}");
        await HoldsAsync(Piece + Ahead);

        Assert.That(await LaterAsync(client.ReadHeadAsync()), Does.StartWith("HTTP/1.1 413 Too large\r\n"));

        Assert.That(await client.ReadToEndAsync(), Is.EqualTo(new string('x', 200_000)));
        client.Dispose();
        await Safety.UntilAsync(() => _relay.Server.Metrics.PagesUnderWay == 0, "the page to end");
        Assert.That((_relay.Server.Metrics.PagesCut, _relay.Server.Table.Buffers.Used), Is.EqualTo((0L, 0L)));
    }

    [Test]
    public async Task An_application_that_reads_when_its_answer_is_taken_gets_the_whole_body()
    {
        var (client, application) = await AskAsync("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n");
        Task<long> flood = client.FloodAsync(new byte[100_000], atMost: 20_000_000);
        await HoldsAsync(Piece);
        await application.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n{new string('x', 200_000)}");
        await HoldsAsync(Piece + Ahead);

        await application.ReadBytesAsync(20_000_000);

        Assert.That(await client.ReadToEndAsync(), Does.EndWith("\r\n\r\n" + new string('x', 200_000)));
        Assert.That(await flood.InTime(), Is.EqualTo(20_000_000));
    }

    [Test]
    public async Task An_application_that_waits_for_more_of_a_long_answer_to_be_taken_is_named()
    {
        var (client, application) = await UploadAsync();
        await application.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {Much}\r\n\r\n");
        _ = application.FloodAsync(new byte[100_000], Much);
        await HoldsAsync(Piece + Ahead);

        HttpReply reply = await LaterAsync(client.ReadReplyAsync());

        Assert.That(reply.Status, Is.EqualTo(504));
        Assert.That(reply.Body, Does.Contain("its answer is longer than 256 KiB, and is passed on when the whole body has left"));
    }

    [Test]
    public async Task An_upload_arrives_every_time()
    {
        byte[] body = new byte[20_000];
        for (int i = 0; i < 100; i++)
        {
            var (client, application) = await AskAsync("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n");
            await client.SendAsync(body);
            await application.ReadBytesAsync(body.Length);
            await application.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            Assert.That(await client.ReadToEndAsync(), Does.EndWith("\r\n\r\nok"));
        }
    }

    [Test]
    public async Task A_second_request_does_not_cut_an_answer_that_waits()
    {
        const int length = 20_000_000;
        var (client, application) = await AskAsync("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
        await application.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        Task<long> flood = application.FloodAsync(new byte[100_000], length);
        await HoldsAsync(Piece);

        await client.SendAsync("GET /2 HTTP/1.1\r\nHost: x\r\n\r\n");

        await client.ReadHeadAsync();
        await client.ReadBytesAsync(length);
        Assert.That(await client.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        Assert.That(await flood.InTime(), Is.EqualTo(length));
    }

    [Test]
    public async Task Pages_hold_half_of_the_budget_and_the_one_that_waits_the_longest_is_cut()
    {
        await using var relay = new RelayFixture(options => options with { MaxBuffered = 4 * Piece });
        for (int i = 0; i < 3; i++)
        {
            var (_, application) = await AskAsync("GET /big HTTP/1.1\r\nHost: x\r\n\r\n", relay);
            await application.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {Much}\r\n\r\n");
            _ = application.FloodAsync(new byte[100_000], Much);
        }

        await Safety.UntilAsync(() => relay.Server.Metrics.PagesCut == 1 && relay.Server.Metrics.PagesUnderWay == 2, "one page to be cut");
        LogEvent line = await relay.Server.Log.WithAsync(" was cut: pages held more than 0.1 MiB (half of --max-buffered), and this one had waited the longest");
        Assert.That(line.Level, Is.EqualTo(LogEventLevel.Warning));
        await HoldsAsync(2 * Piece, relay);
        DisposePeers();
        await Safety.UntilAsync(() => relay.Server.Table.Buffers.Used == 0, "the buffers to be given back");
    }

    [Test]
    public async Task A_body_that_waits_counts_and_its_client_is_told()
    {
        await using var relay = new RelayFixture(options => options with { MaxBuffered = 2 * Piece });
        List<Task<HttpReply>> replies = [];
        for (int i = 0; i < 2; i++)
            replies.Add((await UploadAsync(relay)).Client.ReadReplyAsync());

        HttpReply reply = await await Task.WhenAny(replies).InTime();

        Assert.That((reply.Status, reply["Retry-After"]), Is.EqualTo((503, "1")));
        DisposePeers();
        await Safety.UntilAsync(() => relay.Server.Metrics.PagesUnderWay == 0, "no page");
        Assert.That(relay.Server.Metrics.Refusals(RefusalReason.BufferLimit), Is.EqualTo(1));
    }

    [Test]
    public async Task Clients_that_reset_a_request_that_is_refused_are_no_errors()
    {
        for (int i = 0; i < 50; i++)
        {
            ScriptedPeer client = await _relay.ClientAsync("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\nabc");
            client.Reset();
        }

        await Safety.UntilAsync(() => _relay.Server.Metrics.Refused == 50, "the refusals");
        await _relay.Server.Server.DisposeAsync();
        AssertNoErrors(_relay);
    }

    [TestCase("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf", TestName = "A_bad_record_in_a_body_is_the_clients_fault")]
    [TestCase(null, TestName = "A_bad_record_before_the_answer_to_an_upgrade_is_the_clients_fault")]
    public async Task A_bad_record_is_the_clients_fault(string? request)
    {
        using var files = new CertificateFiles();
        await using var relay = new RelayFixture(files.Configure);
        using ScriptedPeer client = await relay.ClientAsync(request);
        using ScriptedPeer application = await relay.ApplicationAsync();
        await application.ReadHeadAsync();

        await client.SendRawAsync((byte[])[0x17, 3, 3, 0, 32, .. Enumerable.Repeat((byte)7, 32)]);

        await Safety.UntilAsync(() => relay.Server.Metrics.Refusals(RefusalReason.ClientGone) == 1, "the client to be named");
        await application.ReadToEndAsync(); // its end, at once
        await Safety.UntilAsync(() => relay.Server.Metrics.PagesUnderWay == 0, "no page");
        Assert.That(relay.Server.Metrics.Refused, Is.EqualTo(1));
        Assert.That(relay.Server.Log.Lines, Has.Some.Contains("the client's connection has failed: TLS: "));
        AssertNoErrors(relay);
    }

    [Test]
    public async Task A_method_that_differs_from_a_known_one_by_case_alone_is_refused(
        [Values("get", "Post", "dELETE", "put", "head", "options", "trace", "patch", "connect", "query")] string method)
    {
        ScriptedPeer client = await _relay.ClientAsync($"{method} / HTTP/1.1\r\nHost: x\r\n\r\n");
        _peers.Add(client);

        Assert.That(await client.ReadToEndAsync(), Does.StartWith("HTTP/1.1 501 "));
        Assert.That(_relay.HasPending, Is.False);
    }

    [TestCase("LINK")]
    [TestCase("geT-x")]
    [TestCase("QUERY")]
    public async Task Any_other_method_goes_on_as_it_is(string method)
    {
        var (client, application) = await AskAsync($"{method} / HTTP/1.1\r\nHost: x\r\n\r\n", head: $"{method} / HTTP/1.1\r\n");
        await application.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        Assert.That(await client.ReadToEndAsync(), Does.EndWith("\r\n\r\nok"));
    }

    /// <summary>Sends a body that the application does not read, until it waits.</summary>
    private async Task<(ScriptedPeer Client, ScriptedPeer Application)> UploadAsync(RelayFixture? relay = null)
    {
        var (client, application) = await AskAsync($"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {Much}\r\n\r\n", relay);
        _ = client.FloodAsync(new byte[100_000], Much);
        await HoldsAsync(Piece, relay);
        return (client, application);
    }

    private Task HoldsAsync(long bytes, RelayFixture? relay = null) =>
        Safety.UntilAsync(() => (relay ?? _relay).Server.Table.Buffers.Used == bytes, $"{bytes} bytes to wait");

    /// <summary>Lets the time pass until something has come.</summary>
    private async Task<T> LaterAsync<T>(Task<T> comes)
    {
        await _relay.Server.AdvanceUntilAsync(() => comes.IsCompleted, "what comes later", TimeSpan.FromMilliseconds(100));
        return await comes;
    }

    private async Task<(ScriptedPeer Client, ScriptedPeer Application)> AskAsync(string request, RelayFixture? relay = null, string head = "")
    {
        ScriptedPeer client = await (relay ?? _relay).ClientAsync(request);
        ScriptedPeer application = await (relay ?? _relay).ApplicationAsync();
        _peers.AddRange([client, application]);
        Assert.That(await application.ReadHeadAsync(), Does.StartWith(head));
        return (client, application);
    }

    private void DisposePeers()
    {
        foreach (ScriptedPeer peer in _peers)
            peer.Dispose();
        _peers.Clear();
    }

    private static void AssertNoErrors(RelayFixture relay) => Assert.That(relay.Server.Log.Events.Where(line => line.Level >= LogEventLevel.Error), Is.Empty);
}
