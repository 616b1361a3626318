using System.Net.Security;
using System.Runtime.Versioning;
using System.Security.Authentication;
using System.Text;
using HeartbeatServer.Hosting;
using HeartbeatServer.Options;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Hosting;

/// <summary>The server with <c>--tls-cert</c>.</summary>
[Platform("Linux")]
[SupportedOSPlatform("linux")]
public sealed class ServerTlsTests
{
    private CertificateFiles _files = null!;
    private ServerFixture _server = null!;

    [SetUp]
    public void SetUp()
    {
        _files = new CertificateFiles();
        _server = ServerFixture.Start(_files.Configure);
    }

    [TearDown]
    public async Task TearDown()
    {
        await _server.DisposeAsync();
        _files.Dispose();
    }

#pragma warning disable CA5398 // The versions are what is tested.
    [TestCase(SslProtocols.Tls12)]
    [TestCase(SslProtocols.Tls13)]
#pragma warning restore CA5398
    public async Task Messages_of_all_lengths_come_back(SslProtocols version)
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectTlsAsync(_server.Port, options => options.EnabledSslProtocols = version);
        Assert.That(peer.Version, Is.EqualTo(version));
        await peer.SendAsync(ScriptedPeer.Upgrade());
        Assert.That((await peer.ReadReplyAsync()).Status, Is.EqualTo(101));

        foreach (int length in new[] { 0, 1, 125, 126, 16_000, 16_384, 40_000, 65_536, 66_000, 1024 * 1024 })
        {
            string text = new('x', length);
            await peer.SendAsync(ClientFrames.Text(text));
            Assert.That((await peer.ReadFrameAsync()).Text, Is.EqualTo(text));
        }
        await peer.SendAsync(ClientFrames.Close(1000));
        Assert.That((await peer.ReadFrameAsync()).Close, Does.StartWith("1000"));
        Assert.That(await peer.EndsWithCloseNotifyAsync(), Is.True);
        Assert.That(LogSink.Line(await _server.EndedAsync()), Does.Contain("client_closed"));
    }

    [Test]
    public async Task Many_messages_in_one_piece_and_one_in_many_records_come_back()
    {
        using ScriptedPeer peer = await _server.UpgradedPeerAsync();

        await peer.SendAsync([.. Enumerable.Range(0, 5000).Select(number => ClientFrames.Text($"{number}"))]);
        for (int number = 0; number < 5000; number++)
            Assert.That((await peer.ReadFrameAsync()).Text, Is.EqualTo($"{number}"));
        foreach (byte each in ClientFrames.Text("byte by byte"))
            await peer.SendAsync([each]);
        Assert.That((await peer.ReadFrameAsync()).Text, Is.EqualTo("byte by byte"));
    }

    [Test]
    public async Task Frames_right_behind_the_request_are_answered()
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectTlsAsync(_server.Port);
        await peer.SendAsync(Encoding.ASCII.GetBytes(ScriptedPeer.Upgrade()), ClientFrames.Text("early"));

        Assert.That((await peer.ReadReplyAsync()).Status, Is.EqualTo(101));
        Assert.That((await peer.ReadFrameAsync()).Text, Is.EqualTo("early"));
    }

    [Test]
    public async Task Pings_are_sent_and_a_mute_client_is_cut()
    {
        using ScriptedPeer peer = await _server.UpgradedPeerAsync();
        await _server.AdvanceToPingAsync(1);
        Assert.That((await peer.ReadFrameAsync()).Opcode, Is.EqualTo(HeartbeatServer.Framing.Opcode.Ping));

        await _server.AdvanceUntilAsync(() => _server.Table.Count == 0, "the end", TimeSpan.FromSeconds(1));

        Assert.That(LogSink.Line(await _server.EndedAsync()), Does.Contain("pong_timeout").And.Contain("peer_frozen"));
    }

    [Test]
    public async Task A_close_notify_without_a_Close_frame_is_a_client_that_vanished()
    {
        using ScriptedPeer peer = await _server.UpgradedPeerAsync();
        await _server.ConnectionAsync();

        await peer.SendCloseNotifyAsync();

        Assert.That(LogSink.Line(await _server.EndedAsync()), Does.Contain("client_vanished"));
    }

    [Test]
    public async Task FIN_and_RST_are_told_apart([Values] bool isReset, [Values] bool isInsideRecord)
    {
        using ScriptedPeer peer = await _server.UpgradedPeerAsync();
        await _server.ConnectionAsync();
        if (isInsideRecord)
            await peer.SendRawAsync(new byte[] { 23, 3, 3, 0x40, 0, 1, 2, 3 });

        if (isReset)
            peer.Reset();
        else
            peer.SendFin();

        Assert.That(LogSink.Line(await _server.EndedAsync()), Does.Contain(isReset ? "connection_reset" : "client_vanished"));
    }

    [Test]
    public async Task Bytes_that_are_no_record_end_the_connection_and_the_line_says_so()
    {
        using ScriptedPeer peer = await _server.UpgradedPeerAsync();
        await _server.ConnectionAsync();

        await peer.SendRawAsync("GET / HTTP/1.1\r\n\r\n"u8.ToArray());

        Assert.That(LogSink.Line(await _server.EndedAsync()), Does.Contain("connection_reset").And.Contain("TLS: "));
    }

    [Test]
    public async Task A_client_that_does_not_read_stops_the_server_from_reading_and_is_cut()
    {
        using ScriptedPeer peer = await _server.UpgradedPeerAsync();
        Task<long> flood = peer.FloodAsync(ClientFrames.Text(new string('x', 100_000)), 200 * 1024 * 1024);

        await _server.AdvanceUntilAsync(() => _server.Table.Count == 0, "the end", TimeSpan.FromSeconds(5));

        Assert.That(await flood.InTime(), Is.LessThan(200 * 1024 * 1024));
        Assert.That(LogSink.Line(await _server.EndedAsync()), Does.Contain("slow_consumer"));
    }

    [Test]
    public async Task A_drain_says_1001_and_ends_with_close_notify()
    {
        using ScriptedPeer peer = await _server.UpgradedPeerAsync();
        await _server.ConnectionAsync();
        Task draining = _server.Drain.RunAsync("test", CancellationToken.None);

        Assert.That((await peer.ReadFrameAsync()).Close, Does.StartWith("1001"));
        await peer.SendAsync(ClientFrames.Close(1001));

        Assert.That(await peer.EndsWithCloseNotifyAsync(), Is.True);
        await draining.InTime();
    }

    [Test]
    public async Task A_refusal_is_an_answer_and_ends_with_close_notify()
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectTlsAsync(_server.Port);
        await peer.SendAsync(ScriptedPeer.Upgrade("/elsewhere"));

        Assert.That((await peer.ReadReplyAsync()).Status, Is.EqualTo(404));
        Assert.That(await peer.EndsWithCloseNotifyAsync(), Is.True);
    }

    [TestCase("GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n", "plain_http", "wss://")]
    [TestCase("\u0001\u0002\u0003", "plain_http", "wss://")]
    [TestCase("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "proxy_protocol", "--trust-proxy")]
    public async Task Who_speaks_no_TLS_is_told_so_in_plain_logged_and_counted(string bytes, string reason, string text)
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_server.Port);
        await peer.SendAsync(bytes);

        HttpReply reply = await peer.ReadReplyAsync();
        Assert.That(reply.Status, Is.EqualTo(400));
        Assert.That(reply.Body, Does.Contain(text));
        Assert.That(await peer.ReadEndAsync(), Is.AnyOf(PeerEnd.Fin, PeerEnd.Reset));
        Assert.That(_server.Log.Containing("Rejected a request").Single(), Does.Contain($"400 {reason}").And.Contain(text));
        Assert.That(_server.Metrics.Refused, Is.EqualTo(1));
    }

    [TestCase("160301000568656c6c6f", "tls_failed")]
    [TestCase("16ffffffffffffffffffffff", "tls_failed")]
    public async Task Garbage_in_place_of_a_handshake_is_closed_logged_and_counted(string bytes, string reason)
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_server.Port);
        await peer.SendAsync(Convert.FromHexString(bytes));

        await _server.Log.WithAsync("Rejected a request");
        Assert.That(_server.Log.Containing("Rejected a request").Single(), Does.Contain($"400 {reason}"));
    }

    [Test]
    public async Task A_client_that_goes_in_the_middle_of_the_handshake_is_counted()
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_server.Port);
        await peer.SendAsync([22, 3, 1, 2, 0, 1]);
        peer.SendFin();

        await _server.Log.WithAsync("Rejected a request");
        Assert.That(_server.Metrics.Refusals(RefusalReason.TlsGone), Is.EqualTo(1));
    }

    [Test]
    public async Task A_client_that_does_not_trust_the_certificate_is_named()
    {
        Assert.That(
            () => ScriptedPeer.ConnectTlsAsync(_server.Port, options => options.RemoteCertificateValidationCallback = (_, _, _, _) => false),
            Throws.TypeOf<AuthenticationException>());

        await _server.Log.WithAsync("Rejected a request");
        Assert.That(_server.Metrics.Refusals(RefusalReason.TlsAlert) + _server.Metrics.Refusals(RefusalReason.TlsGone), Is.EqualTo(1));
    }

    [Test]
    public async Task A_client_that_offers_only_HTTP_2_is_refused_and_one_that_offers_both_is_not()
    {
        Assert.That(
            () => ScriptedPeer.ConnectTlsAsync(_server.Port, options => options.ApplicationProtocols = [SslApplicationProtocol.Http2]),
            Throws.InstanceOf<AuthenticationException>());
        await _server.Log.WithAsync("http/1.1 (ALPN)");

        using ScriptedPeer peer = await ScriptedPeer.ConnectTlsAsync(
            _server.Port, options => options.ApplicationProtocols = [SslApplicationProtocol.Http2, SslApplicationProtocol.Http11]);
        await peer.SendAsync(ScriptedPeer.Upgrade());
        Assert.That((await peer.ReadReplyAsync()).Status, Is.EqualTo(101));
    }

    [Test]
    public async Task A_handshake_that_is_not_finished_in_time_is_closed([Values("", "16", "160301020001")] string bytes)
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_server.Port);
        await Safety.UntilAsync(() => _server.Clock.Wheel.Count == 1, "the connection");
        await peer.SendAsync(Convert.FromHexString(bytes));

        _server.Clock.Advance(_server.Options.HandshakeTimeout + TimeSpan.FromSeconds(1));

        Assert.That(await peer.ReadEndAsync(), Is.AnyOf(PeerEnd.Fin, PeerEnd.Reset), "no answer in plain");
        Assert.That(_server.Log.Containing("Rejected a request").Single(), Does.Contain("408 request_timeout, the TLS handshake was not finished within 10s"));
    }

    [Test]
    public async Task Handshake_and_request_have_one_time_together()
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(_server.Port);
        await Safety.UntilAsync(() => _server.Clock.Wheel.Count == 1, "the connection");
        _server.Clock.Advance(TimeSpan.FromSeconds(9));
        await peer.BeginTlsAsync();
        await peer.SendAsync("GET /ws HTTP/1.1\r\n");

        _server.Clock.Advance(TimeSpan.FromSeconds(2));

        await _server.Log.WithAsync("Rejected a request");
        Assert.That(_server.Metrics.Refusals(RefusalReason.RequestTimeout), Is.EqualTo(1));
    }

    [Test]
    public async Task A_new_certificate_is_for_new_handshakes_and_open_connections_stay()
    {
        using ScriptedPeer old = await _server.UpgradedPeerAsync();
        string first = old.ServerCertificate!.SerialNumber;
        _files.Write(TestCertificate.Make());
        _server.Context.Certificate!.Look();

        using ScriptedPeer peer = await _server.UpgradedPeerAsync();
        Assert.That(peer.ServerCertificate!.SerialNumber, Is.Not.EqualTo(first));
        await old.SendAsync(ClientFrames.Text("still here"));
        Assert.That((await old.ReadFrameAsync()).Text, Is.EqualTo("still here"));
    }

    [Test]
    public void The_line_at_the_start_has_the_URLs_of_TLS() =>
        Assert.That(_server.Log.Containing("Listening on wss://127.0.0.1:").Single(), Does.Contain("health: https://127.0.0.1:"));

    [Test]
    public async Task The_health_check_speaks_TLS_and_does_not_verify()
    {
        using var output = new StringWriter();
        var url = new Uri($"https://127.0.0.1:{_server.Port}/healthz");

        Assert.That(await HealthCheck.RunAsync(url, isOwn: true, output).InTime(), Is.Zero);
        Assert.That(output.ToString(), Does.StartWith($"healthy: {url} answered 200 ok"));
        Assert.That(await HealthCheck.RunAsync(url, isOwn: false, output).InTime(), Is.EqualTo(1), "a server elsewhere is verified");
        Assert.That(output.ToString(), Does.Contain("certificate is invalid"), "says why");
        Assert.That(await HealthCheck.RunAsync(new Uri($"http://127.0.0.1:{_server.Port}/healthz"), isOwn: true, output).InTime(), Is.EqualTo(1));
        Assert.That(output.ToString(), Does.Contain("wss://"), "says what is wrong");
    }
}
