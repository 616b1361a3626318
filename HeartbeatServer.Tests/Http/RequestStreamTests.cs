using System.Net.Sockets;
using HeartbeatServer.Engine;
using HeartbeatServer.Http;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Http;

/// <summary>As HttpListener uses it.</summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed class RequestStreamTests(bool epoll)
{
    private readonly List<(bool GoesOn, Exception? Error)> _told = [];
    private EventLoop _loop = null!;
    private Socket _peer = null!;
    private RequestStream _stream = null!;

    [SetUp]
    public void SetUp()
    {
        _told.Clear();
        _loop = new EventLoop(new TestClock().Wheel, epoll);
        _loop.Start();
        (_peer, Socket accepted) = SocketPair.Connect();
        _stream = new RequestStream(_loop.Attach(accepted), _loop, (goesOn, error) => _told.Add((goesOn, error)));
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

        Assert.That(await ReadAsync(), Is.EqualTo(2));
        Assert.That(_told, Is.EqualTo(new[] { (false, (Exception?)null) }));
    }

    [Test]
    public async Task It_tells_whether_more_is_wanted()
    {
        var second = new TaskCompletionSource<int>();
        var buffer = new byte[10];
        _peer.Send([1]);

        _stream.BeginRead(buffer, 0, 10, first => _stream.BeginRead(buffer, 0, 10, read => second.SetResult(_stream.EndRead(read)), null), null);
        await Safety.UntilAsync(() => _told.Count == 1, "the first");
        _peer.Send([2, 3]);

        Assert.That(await second.Task.InTime(), Is.EqualTo(2));
        await Safety.UntilAsync(() => _told.Count == 2, "the second");
        Assert.That(_told.Select(each => each.GoesOn), Is.EqualTo(new[] { true, false }));
    }

    [Test]
    public async Task What_the_reader_throws_is_told_and_goes_no_further()
    {
        _peer.Send([1]);

        _stream.BeginRead(new byte[10], 0, 10, _ => throw new InvalidOperationException("a bug"), null);

        await Safety.UntilAsync(() => _told.Count == 1, "the error");
        Assert.That(_told[0].Error, Is.InstanceOf<InvalidOperationException>());
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
    public void Only_one_takes_the_stream_below()
    {
        using SocketTransport? taken = _stream.Take();

        Assert.That(taken, Is.Not.Null);
        Assert.That(taken!.IsLowPriority, Is.False);
        Assert.That(_stream.Take(), Is.Null);
        Assert.That(() => _stream.Write([1], 0, 1), Throws.InstanceOf<IOException>());
    }

    private async Task<int> ReadAsync()
    {
        var read = new TaskCompletionSource<int>();
        _stream.BeginRead(new byte[10], 0, 10, result => read.SetResult(_stream.EndRead(result)), null);
        int count = await read.Task.InTime();
        await Safety.UntilAsync(() => _told.Count == 1, "its end");
        return count;
    }
}
