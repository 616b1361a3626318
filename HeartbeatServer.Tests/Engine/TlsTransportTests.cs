using System.Diagnostics.CodeAnalysis;
using System.Net.Security;
using System.Net.Sockets;
using System.Runtime.Versioning;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using HeartbeatServer.Engine;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Engine;

/// <summary>A transport under an event loop that runs, and a scripted peer on the other side.</summary>
[Platform("Linux")]
[SuppressMessage("Reliability", "CA2012", Justification = "The tests look whether a ValueTask is completed, and await it once.")]
[SupportedOSPlatform("linux")]
public sealed class TlsTransportTests
{
    private readonly X509Certificate2 _certificate = TestCertificate.Make();
    private EventLoop _loop = null!;
    private ScriptedPeer _peer = null!;
    private TlsTransport _transport = null!;

    [SetUp]
    public void SetUp()
    {
        _loop = new EventLoop(new TestClock().Wheel);
        _loop.Start();
        (Socket peer, Socket accepted) = SocketPair.Connect();
        _peer = new ScriptedPeer(peer);
        _transport = _loop.AttachTls(accepted, client => client.AuthenticateAsServerAsync(_certificate));
    }

    [TearDown]
    public void TearDown()
    {
        _transport.Dispose();
        _peer.Dispose();
        _loop.Dispose();
        Assert.That(_loop.Epoll!.Count, Is.Zero, "a token is left");
    }

    [OneTimeTearDown]
    public void OneTimeTearDown() => _certificate.Dispose();

    [Test]
    public async Task A_wait_ends_with_content_which_the_next_reads_give_at_once()
    {
        await OpenAsync();
        Assert.That(_transport.TryRead(new byte[10]), Is.EqualTo(-1), "nothing is there");
        ValueTask<int> wait = _transport.WaitReadableAsync(isBusy: false);
        Assert.That(wait.IsCompleted, Is.False);
        await _peer.SendAsync("0123456789"u8.ToArray());

        await wait.InTime();

        Assert.That((Read(4), Read(10), Read(10)), Is.EqualTo(("0123", "456789", (string?)null)));
    }

    [Test]
    public async Task Content_longer_than_a_record_comes_whole_both_ways()
    {
        await OpenAsync();
        byte[] bytes = [.. Enumerable.Range(0, 300_000).Select(number => (byte)(number * 7))];
        Task sending = _peer.SendAsync(bytes);
        var received = new byte[bytes.Length];
        for (int length = 0; length < received.Length;)
            length += await _transport.ReadAsync(received.AsMemory(length)).InTime();
        Assert.That(received, Is.EqualTo(bytes));
        await sending;

        Task writing = _transport.WriteAsync(bytes).AsTask();
        Assert.That(await _peer.ReadBytesAsync(bytes.Length), Is.EqualTo(bytes));
        await writing.InTime();
    }

    [Test]
    public async Task Half_a_record_cannot_be_read_but_has_arrived()
    {
        await OpenAsync();
        long before = _transport.Arrived;
        ValueTask<int> wait = _transport.WaitReadableAsync(isBusy: false);
        await _peer.SendRawAsync(new byte[] { 23, 3, 3, 0x40, 0, 1, 2, 3 });

        await Safety.UntilAsync(() => _transport.Arrived == before + 8, "the bytes");

        Assert.That(wait.IsCompleted, Is.False);
        Assert.That(Read(10), Is.Null);
    }

    [Test]
    public async Task Bytes_that_were_given_back_are_read_first()
    {
        await OpenAsync();
        _transport.Unread("early "u8.ToArray());
        await _peer.SendAsync("late"u8.ToArray());

        Assert.That(_transport.WaitReadableAsync(isBusy: false).IsCompleted, Is.True);
        Assert.That(Read(100), Is.EqualTo("early "));
        await _transport.WaitReadableAsync(isBusy: false).InTime();
        Assert.That(Read(100), Is.EqualTo("late"));
    }

    [Test]
    public async Task A_wait_that_is_cancelled_is_over_and_nothing_is_lost()
    {
        await OpenAsync();
        ValueTask<int> wait = _transport.WaitReadableAsync(isBusy: false);
        _transport.CancelRead();
        Assert.That(await wait.InTime(), Is.EqualTo(Transport.Cancelled));

        _transport.CancelRead();
        Assert.That(await _transport.WaitReadableAsync(isBusy: false).InTime(), Is.EqualTo(Transport.Cancelled), "the next that would wait");
        ValueTask<int> next = _transport.WaitReadableAsync(isBusy: false);
        await _peer.SendAsync("content"u8.ToArray());
        Assert.That(await next.InTime(), Is.Zero);
        Assert.That(Read(100), Is.EqualTo("content"));
    }

    [Test]
    public async Task A_wait_takes_the_place_of_a_callback()
    {
        await OpenAsync();
        bool isCalled = false;
        _transport.WhenReadable(() => isCalled = true);
        ValueTask<int> wait = _transport.WaitReadableAsync(isBusy: false);
        await _peer.SendAsync("content"u8.ToArray());

        await wait.InTime();

        Assert.That(isCalled, Is.False);
    }

    [Test]
    public async Task The_end_of_the_peer_is_seen_without_reading_what_comes_before_it()
    {
        await OpenAsync();
        await _peer.SendAsync("content"u8.ToArray());
        await _transport.WaitReadableAsync(isBusy: false).InTime();
        Assert.That(Read(100), Is.EqualTo("content"));
        var ended = new TaskCompletionSource();
        await _loopThread();
        _transport.WhenEnded(ended.SetResult);
        await _peer.SendAsync("more"u8.ToArray());
        Assert.That(ended.Task.IsCompleted, Is.False);
        _peer.SendFin();
        await ended.Task.InTime();

        await _transport.WaitReadableAsync(isBusy: false).InTime();
        Assert.That(Read(100), Is.EqualTo("more"));

        async Task _loopThread() => await _loop.ReturnAsync();
    }

    [TestCase(false)]
    [TestCase(true)]
    public async Task close_notify_is_an_end_and_so_is_FIN_alone(bool isNotified)
    {
        await OpenAsync();
        if (isNotified)
            await _peer.SendCloseNotifyAsync();
        else
            _peer.SendFin();

        await _transport.WaitReadableAsync(isBusy: false).InTime();

        Assert.That((_transport.TryRead(new byte[10]), _transport.Error), Is.EqualTo((0, SocketError.Success)));
        Assert.That(_transport.WaitReadableAsync(isBusy: false).IsCompleted, Is.True, "it stays the end");
        await _transport.WriteAsync("still written"u8.ToArray()).AsTask().InTime();
    }

    [Test]
    public async Task A_reset_is_the_end_and_its_reason_is_known()
    {
        await OpenAsync();
        ValueTask<int> wait = _transport.WaitReadableAsync(isBusy: false);
        _peer.Reset();

        await wait.InTime();

        Assert.That((_transport.TryRead(new byte[10]), _transport.Error), Is.EqualTo((0, SocketError.ConnectionReset)));
    }

    [Test]
    public async Task What_is_no_record_is_an_error_and_not_an_end()
    {
        await OpenAsync();
        await _peer.SendRawAsync("no record at all"u8.ToArray());

        await _transport.WaitReadableAsync(isBusy: false).InTime();

        Assert.That(() => _transport.TryRead(new byte[10]), Throws.TypeOf<IOException>().With.Message.StartsWith("TLS: "));
        Assert.That(() => _transport.TryRead(new byte[10]), Throws.TypeOf<IOException>(), "again");
    }

    [Test]
    public async Task Closing_ends_a_wait_on_another_thread([Values] bool isAbort)
    {
        await OpenAsync();
        ValueTask<int> wait = _transport.WaitReadableAsync(isBusy: false);

        if (isAbort)
            _transport.Abort();
        else
            await _transport.DisposeAsync();

        await wait.InTime();
        Assert.That((_transport.TryRead(new byte[10]), _transport.Error), Is.EqualTo((0, SocketError.OperationAborted)));
        await Assert.ThatAsync(async () => await _transport.WriteAsync(new byte[1]), Throws.InstanceOf<IOException>());
    }

    [Test]
    public async Task Who_stops_sending_says_close_notify_before_FIN_and_reads_on()
    {
        await OpenAsync();
        _transport.ShutdownSend();

        Assert.That(await _peer.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin), "SslStream takes close_notify for the end");
        await _peer.SendAsync("content"u8.ToArray());
        await _transport.WaitReadableAsync(isBusy: false).InTime();
        Assert.That(Read(100), Is.EqualTo("content"));
        await Assert.ThatAsync(async () => await _transport.WriteAsync(new byte[1]), Throws.TypeOf<IOException>());
        _transport.ShutdownSend(); // a second time does nothing
    }

    [Test]
    public async Task A_write_that_waits_goes_on_when_the_peer_reads()
    {
        await OpenAsync();
        var much = new byte[24 * 1024 * 1024];
        Task write = _transport.WriteAsync(much).AsTask();
        await Safety.UntilAsync(() => _transport.Tcp?.NotSent > 0, "bytes that wait");
        Assert.That(write.IsCompleted, Is.False);

        Assert.That(await _peer.ReadBytesAsync(much.Length), Is.EqualTo(much));
        await write.InTime();
    }

    [Test]
    public async Task Whoever_aborts_a_write_that_waits_ends_it()
    {
        await OpenAsync();
        Task write = _transport.WriteAsync(new byte[24 * 1024 * 1024]).AsTask();
        await Safety.UntilAsync(() => _transport.Tcp?.NotSent > 0, "bytes that wait");

        _transport.ShutdownSend(); // no close_notify in the middle of a record
        _transport.Abort();

        await Assert.ThatAsync(() => write.InTime(), Throws.InstanceOf<IOException>());
    }

    [Test]
    public async Task The_handshake_runs_on_the_thread_of_the_loop_and_has_low_priority()
    {
        string? thread = null;
        (Socket peer, Socket accepted) = SocketPair.Connect();
        using var client = new ScriptedPeer(peer);
        using TlsTransport transport = _loop.AttachTls(accepted, stream => stream.AuthenticateAsServerAsync(_certificate));
        var readable = new TaskCompletionSource();
        transport.WhenReadable(() =>
        {
            thread = Thread.CurrentThread.Name;
            readable.SetResult();
        });
        await client.BeginTlsAsync();
        await client.SendAsync("content"u8.ToArray());

        await readable.Task.InTime();

        Assert.That(thread, Is.EqualTo("heartbeat"));
        Assert.That((transport.IsOpen, transport.IsPlain), Is.EqualTo((true, false)));
    }

    [Test]
    public async Task A_handshake_that_fails_is_thrown_by_the_read()
    {
        Task readable = ReadableAsync();
        await _peer.SendAsync(new byte[] { 22, 3, 1, 0, 5, 1, 2, 3, 4, 5 });
        await readable.InTime();

        Assert.That(
            () => _transport.TryRead(new byte[10]), Throws.TypeOf<TlsHandshakeException>().With.InnerException.TypeOf<AuthenticationException>());
        Assert.That(() => _transport.Send([1]), Throws.TypeOf<IOException>(), "nothing can be said");
    }

    [Test]
    public async Task A_client_without_TLS_is_read_and_answered_in_plain()
    {
        Task readable = ReadableAsync();
        await _peer.SendAsync("GET /"u8.ToArray());
        await readable.InTime();

        Assert.That(_transport.IsPlain, Is.True);
        Assert.That(Read(100), Is.EqualTo("GET /"));
        _transport.Send("400"u8);
        Assert.That(await _peer.ReadBytesAsync(3), Is.EqualTo("400"u8.ToArray()));
    }

    [Test]
    public async Task A_client_does_its_handshake_when_it_is_told_to()
    {
        (Socket peer, Socket connected) = SocketPair.Connect();
        using var server = new ScriptedPeer(peer);
        using TlsTransport client = _loop.AttachTls(
            connected, stream => stream.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
            {
                TargetHost = "localhost",
                RemoteCertificateValidationCallback = (_, certificate, _, _) => certificate is not null,
            }));
        Task accepting = server.AcceptTlsAsync(_certificate);
        await client.AuthenticateAsync().InTime();
        await accepting;

        await client.WriteAsync("question"u8.ToArray());
        Assert.That(await server.ReadBytesAsync(8), Is.EqualTo("question"u8.ToArray()));
        await server.SendAsync("answer"u8.ToArray());
        var buffer = new byte[100];
        Assert.That(await client.ReadAsync(buffer).InTime(), Is.EqualTo(6));
    }

    /// <summary>Does the handshake of both sides.</summary>
    private async Task OpenAsync()
    {
        Task readable = ReadableAsync();
        await _peer.BeginTlsAsync();
        // A server's first wait is over when content has come behind the handshake.
        await _peer.SendAsync("x"u8.ToArray());
        await readable.InTime();
        Assert.That(Read(10), Is.EqualTo("x"));
    }

    private Task ReadableAsync()
    {
        var readable = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _transport.WhenReadable(readable.SetResult);
        return readable.Task;
    }

    /// <returns>Null if there is nothing yet.</returns>
    private string? Read(int atMost)
    {
        var buffer = new byte[atMost];
        int count = _transport.TryRead(buffer);
        return count < 0 ? null : System.Text.Encoding.ASCII.GetString(buffer, 0, count);
    }
}
