using System.Runtime.Versioning;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using HeartbeatServer.Hosting;
using HeartbeatServer.Options;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Relay;

/// <summary>The relay before an application that speaks TLS.</summary>
[Platform("Linux")]
[SupportedOSPlatform("linux")]
public sealed class UpstreamTlsTests
{
    private readonly string _authority = Path.GetTempFileName();

    [OneTimeSetUp]
    public void OneTimeSetUp() => File.WriteAllText(_authority, TestCertificate.Pem(TestCertificate.Authority));

    [OneTimeTearDown]
    public void OneTimeTearDown() => File.Delete(_authority);

    [Test]
    public async Task Frames_and_Close_pass_both_ways([Values] bool clientHasTls)
    {
        using var files = new CertificateFiles();
        await using var relay = new RelayFixture(options => clientHasTls ? files.Configure(Trusting(options)) : Trusting(options), hasTls: true);
        using X509Certificate2 certificate = TestCertificate.Make();
        using ScriptedPeer client = await relay.ClientAsync();
        using ScriptedPeer application = await AcceptAsync(relay, certificate);
        Assert.That(await application.ReadHeadAsync(), Does.Contain($"X-Forwarded-Proto: {(clientHasTls ? "https" : "http")}\r\n"));
        await application.SendAsync(RelayFixture.Answer(), ServerText("early"));
        Assert.That(await client.ReadHeadAsync(), Does.StartWith("HTTP/1.1 101 "));
        Assert.That((await client.ReadFrameAsync()).Text, Is.EqualTo("early"));

        foreach (int length in new[] { 1, 16_384, 100_000, 1_000_000 })
        {
            byte[] up = ClientFrames.Binary(new byte[length]);
            await client.SendAsync(up);
            Assert.That(await application.ReadBytesAsync(up.Length), Is.EqualTo(up));
            string text = new('x', length);
            await application.SendAsync(ServerText(text));
            Assert.That((await client.ReadFrameAsync()).Text, Is.EqualTo(text));
        }

        await application.SendAsync([0x88, 2, 0x0F, 0xA1]);
        Assert.That((await client.ReadFrameAsync()).Close, Is.EqualTo("4001"));
        byte[] close = ClientFrames.Close(4001);
        await client.SendAsync(close);
        Assert.That(await application.ReadBytesAsync(close.Length), Is.EqualTo(close));
        application.SendFin();
        client.SendFin();
        Assert.That(LogSink.Line(await relay.Server.EndedAsync()), Does.Contain("upstream_closed"));
    }

    [Test]
    public async Task An_end_of_the_applications_TLS_is_its_end()
    {
        await using var relay = new RelayFixture(Trusting, hasTls: true);
        using X509Certificate2 certificate = TestCertificate.Make();
        using ScriptedPeer client = await relay.ClientAsync();
        using ScriptedPeer application = await AcceptAsync(relay, certificate);
        await application.ReadHeadAsync();
        await application.SendAsync(RelayFixture.Answer());
        await client.ReadHeadAsync();

        await application.SendCloseNotifyAsync();

        Assert.That(await client.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        client.SendFin();
        Assert.That(LogSink.Line(await relay.Server.EndedAsync()), Does.Contain("upstream_vanished"));
    }

    [Test]
    public async Task A_page_goes_through_TLS_too()
    {
        await using var relay = new RelayFixture(Trusting, hasTls: true);
        using X509Certificate2 certificate = TestCertificate.Make();
        using ScriptedPeer client = await relay.ClientAsync("GET /page HTTP/1.1\r\nHost: app.example\r\n\r\n");
        using ScriptedPeer application = await AcceptAsync(relay, certificate);
        Assert.That(await application.ReadHeadAsync(), Does.StartWith("GET /page HTTP/1.1\r\n").And.Contain("Host: app.example\r\n"));

        await application.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");

        Assert.That((await client.ReadReplyAsync()).Body, Is.EqualTo("hello"));
    }

    [TestCase("GET /page HTTP/1.1\r\nHost: app.example\r\n\r\n", TestName = "The_wrong_name_is_refused_for_a_page")]
    [TestCase(null, TestName = "The_wrong_name_is_refused_for_a_WebSocket")]
    public async Task The_wrong_name_is_refused(string? request)
    {
        using X509Certificate2 certificate = TestCertificate.Make("other.example");

        await AssertRefusedAsync(Trusting, certificate, "it is not for 127.0.0.1", request);
    }

    [Test]
    public async Task A_certificate_that_has_ended_is_refused()
    {
        using X509Certificate2 certificate = TestCertificate.Make(from: DateTimeOffset.UtcNow.AddDays(-20), to: DateTimeOffset.UtcNow.AddDays(-1));

        await AssertRefusedAsync(Trusting, certificate, "out of date");
    }

    [Test]
    public async Task Who_has_signed_it_must_be_trusted_by_the_system_or_by_upstream_ca()
    {
        using X509Certificate2 certificate = TestCertificate.Make();
        await AssertRefusedAsync(options => options, certificate, "nobody whom this system trusts has signed it");

        string other = Path.GetTempFileName();
        await File.WriteAllTextAsync(other, TestCertificate.Pem(certificate));
        using X509Certificate2 another = TestCertificate.Make();
        await AssertRefusedAsync(options => options with { UpstreamCa = other }, another, "nobody in --upstream-ca has signed it");
        File.Delete(other);
    }

    [Test]
    public async Task Without_verification_any_certificate_will_do_and_the_start_warns()
    {
        await using var relay = new RelayFixture(options => options with { UpstreamInsecure = true }, hasTls: true);
        using X509Certificate2 certificate = TestCertificate.Make("other.example");
        using ScriptedPeer client = await relay.ClientAsync();
        using ScriptedPeer application = await AcceptAsync(relay, certificate);
        await application.ReadHeadAsync();
        await application.SendAsync(RelayFixture.Answer());

        Assert.That(await client.ReadHeadAsync(), Does.StartWith("HTTP/1.1 101 "));
        Assert.That(relay.Server.Log.Containing("Warning").Single(), Does.Contain("--upstream-insecure"));
        client.SendFin();
    }

    [Test]
    public async Task An_application_that_speaks_plain_is_not_reached_and_the_text_asks_why()
    {
        await using var relay = new RelayFixture(Trusting, hasTls: true);
        using ScriptedPeer client = await relay.ClientAsync();
        using ScriptedPeer application = await relay.ApplicationAsync();
        await application.SendAsync("HTTP/1.1 400 Bad Request\r\n\r\n");

        HttpReply reply = await client.ReadReplyAsync();

        Assert.That((reply.Status, reply.Body), Is.EqualTo((502, "the application cannot be reached: the TLS handshake failed: what came is no TLS record. Does it speak TLS at this port?\n")));
        Assert.That(relay.Server.Metrics.Refusals(RefusalReason.UpstreamUnreachable), Is.EqualTo(1));
    }

    [Test]
    public async Task An_application_that_ends_in_the_handshake_is_not_reached()
    {
        await using var relay = new RelayFixture(Trusting, hasTls: true);
        using ScriptedPeer client = await relay.ClientAsync();
        using (ScriptedPeer application = await relay.ApplicationAsync())
            application.SendFin();

        Assert.That((await client.ReadReplyAsync()).Body, Does.Contain("it ended the connection in the middle of the TLS handshake"));
    }

    [Test]
    public async Task A_handshake_counts_in_upstream_timeout()
    {
        await using var relay = new RelayFixture(Trusting, hasTls: true);
        using ScriptedPeer client = await relay.ClientAsync();
        using ScriptedPeer application = await relay.ApplicationAsync();
        await Safety.UntilAsync(() => relay.Server.Clock.Wheel.Count > 0, "the handshake");

        await relay.Server.AdvanceUntilAsync(
            () => relay.Server.Metrics.Refusals(RefusalReason.UpstreamTimeout) == 1, "the end of the time", TimeSpan.FromSeconds(1));

        Assert.That((await client.ReadReplyAsync()).Status, Is.EqualTo(504));
    }

    [Test]
    public void A_file_that_is_no_certificate_ends_the_start()
    {
        string file = Path.GetTempFileName();
        try
        {
            Assert.That(
                () => new RelayFixture(options => options with { UpstreamCa = file }, hasTls: true),
                Throws.TypeOf<StartupException>().With.Message.Contains($"--upstream-ca {file}"));
        }
        finally
        {
            File.Delete(file);
        }
    }

    private ServerOptions Trusting(ServerOptions options) => options with { UpstreamCa = _authority };

    private static async Task AssertRefusedAsync(Func<ServerOptions, ServerOptions> configure, X509Certificate2 certificate, string text, string? request = null)
    {
        await using var relay = new RelayFixture(configure, hasTls: true);
        using ScriptedPeer client = await relay.ClientAsync(request);
        using ScriptedPeer application = await relay.ApplicationAsync();
        Task accepting = application.AcceptTlsAsync(certificate);

        HttpReply reply = await client.ReadReplyAsync();

        Assert.That(reply.Status, Is.EqualTo(502));
        Assert.That(reply.Body, Does.Contain(text));
        client.SendFin(); // a page is counted when its client has closed, too
        await relay.Server.Log.WithAsync("upstream_bad_certificate");
        Assert.That(relay.Server.Metrics.Refusals(RefusalReason.UpstreamBadCertificate), Is.EqualTo(1));
        await accepting.ContinueWith(_ => { }, TaskScheduler.Default); // it may fail, or see the end only later
    }

    private static async Task<ScriptedPeer> AcceptAsync(RelayFixture relay, X509Certificate2 certificate)
    {
        ScriptedPeer application = await relay.ApplicationAsync();
        await application.AcceptTlsAsync(certificate);
        return application;
    }

    private static byte[] ServerText(string text)
    {
        byte[] payload = Encoding.ASCII.GetBytes(text);
        var frame = new byte[HeartbeatServer.Framing.FrameWriter.HeaderSize(payload.Length) + payload.Length];
        HeartbeatServer.Framing.FrameWriter.WriteHeader(frame, HeartbeatServer.Framing.Opcode.Text, payload.Length);
        payload.CopyTo(frame.AsSpan(frame.Length - payload.Length));
        return frame;
    }
}
