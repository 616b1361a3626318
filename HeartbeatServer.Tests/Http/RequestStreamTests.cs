using System.Collections.Concurrent;
using System.Net.Sockets;
using HeartbeatServer.Engine;
using HeartbeatServer.Http;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Http;

/// <summary>As HttpListener uses it.</summary>
[Category(Categories.HttpPort)]
[Platform("Linux")]
public sealed class RequestStreamTests
{
    private readonly ConcurrentQueue<ReadOutcome> _told = new();
    private EventLoop _loop = null!;
    private Socket _peer = null!;
    private RequestStream _stream = null!;

    [SetUp]
    public void SetUp()
    {
        _told.Clear();
        _loop = new EventLoop(new TestClock().Wheel);
        _loop.Start();
        (_peer, Socket accepted) = SocketPair.Connect();
        _stream = new RequestStream(_loop.Attach(accepted), _told.Enqueue);
    }

    [TearDown]
    public async Task TearDown()
    {
        _peer.Dispose();
        await _stream.DisposeAsync();
        _loop.Dispose();
    }

    [Test]
    public async Task Who_waits_for_something_to_read_is_told_once_there_is()
    {
        var readable = new TaskCompletionSource();
        _stream.WhenReadable(readable.SetResult);
        Assert.That(readable.Task.IsCompleted, Is.False);

        _peer.Send([1, 2]);
        await readable.Task.InTime();
        ReadUntil(2);

        await ToldAsync(ReadOutcome.Complete);
    }

    [Test]
    public async Task It_tells_whether_more_is_wanted()
    {
        _peer.Send([1]);

        ReadUntil(3);
        await Safety.UntilAsync(() => _told.Count == 1, "the first");
        Assert.That(_stream.IsReading, Is.True);
        _peer.Send([2, 3]);

        await ToldAsync(ReadOutcome.Incomplete, ReadOutcome.Complete);
        Assert.That(_stream.IsReading, Is.False);
    }

    /// <summary>A read that ends at once is told inside of the callback of the one before, which must not be told after it.</summary>
    [Test]
    public async Task Of_a_read_that_begins_and_ends_inside_another_only_the_inner_is_told()
    {
        _peer.Send(new byte[20]);

        ReadUntil(20, size: 10);

        await ToldAsync(ReadOutcome.Complete);
        Assert.That(_stream.Received.Length, Is.EqualTo(20));
    }

    [Test]
    public async Task What_the_reader_stumbles_over_is_told_and_goes_no_further()
    {
        _peer.Send([1]);

        _stream.BeginRead(new byte[10], 0, 10, _ => throw new InvalidOperationException("a bug"), null);

        await ToldAsync(ReadOutcome.Refused);
    }

    [TestCase(1)]
    [TestCase(100)]
    [TestCase(8192)]
    public async Task What_was_read_is_kept_as_it_came(int size)
    {
        byte[] bytes = [.. Enumerable.Range(0, 10_000).Select(i => (byte)i)];

        ReadUntil(bytes.Length, size);
        _peer.Send(bytes);

        await Safety.UntilAsync(() => _stream.Received.Length == bytes.Length, "all of it");
        Assert.That(_stream.Received.Span.SequenceEqual(bytes), Is.True);
    }

    [Test]
    public async Task Past_24_KiB_nothing_more_is_read()
    {
        ReadUntil(int.MaxValue, size: 8192);
        _peer.Send(new byte[RequestStream.MaxRequest]);
        await Safety.UntilAsync(() => _stream.Received.Length == RequestStream.MaxRequest, "the most");
        Assert.That(_told, Has.None.EqualTo(ReadOutcome.TooLong));

        _peer.Send([1]);
        await Safety.UntilAsync(() => _told.LastOrDefault() == ReadOutcome.TooLong, "the end");

        Assert.That(_stream.Received.Length, Is.EqualTo(RequestStream.MaxRequest + 1));
    }

    /// <summary>HttpListener waits for a second, on the thread that serves the others, for the rest of a body that it does not want.</summary>
    [Test]
    public void Nobody_waits_for_a_read_on_the_thread_that_is_to_bring_it()
    {
        IAsyncResult read = _stream.BeginRead(new byte[10], 0, 10, null, null);

        Assert.That(read.IsCompleted, Is.True);
        Assert.That(() => _stream.EndRead(read), Throws.InstanceOf<IOException>());
    }

    [Test]
    public void Only_one_takes_the_transport_below()
    {
        using SocketTransport? taken = _stream.Take();

        Assert.That(taken, Is.Not.Null);
        Assert.That(taken!.IsLowPriority, Is.False);
        Assert.That(_stream.IsOpen, Is.False);
        Assert.That(_stream.Take(), Is.Null);
        Assert.That(() => _stream.Write([1], 0, 1), Throws.InstanceOf<IOException>());
    }

    /// <summary>Reads on inside of the callback, as HttpListener does, until it has had so many bytes.</summary>
    private void ReadUntil(int bytes, int size = 10)
    {
        var buffer = new byte[size];
        _stream.BeginRead(buffer, 0, size, OnRead, null);

        void OnRead(IAsyncResult read)
        {
            bytes -= _stream.EndRead(read);
            if (bytes > 0)
                _stream.BeginRead(buffer, 0, size, OnRead, null);
        }
    }

    private async Task ToldAsync(params ReadOutcome[] outcomes)
    {
        await Safety.UntilAsync(() => _told.Count >= outcomes.Length, "what is told");
        Assert.That(_told, Is.EqualTo(outcomes));
    }
}
