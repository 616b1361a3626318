using System.Net.Sockets;
using HeartbeatServer.Engine;
using HeartbeatServer.Http;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Http;

/// <summary>The tests use the stream as HttpListener does.</summary>
[Category(Categories.HttpPort)]
[Platform("Linux")]
public sealed class RequestStreamTests
{
    private EventLoop _loop = null!;
    private Socket _peer = null!;
    private RequestStream _stream = null!;

    [SetUp]
    public void SetUp()
    {
        _loop = new EventLoop(new TestClock().Wheel);
        _loop.Start();
        (_peer, Socket accepted) = SocketPair.Connect();
        _stream = new RequestStream(_loop.Attach(accepted), accepted, [1, 2, 3, 4, 5]);
    }

    [TearDown]
    public async Task TearDown()
    {
        _peer.Dispose();
        await _stream.DisposeAsync();
        _loop.Dispose();
    }

    [TestCase(1)]
    [TestCase(4)]
    [TestCase(5)]
    [TestCase(8192)]
    public void The_head_is_read_in_pieces_of_any_size_before_the_call_returns(int size)
    {
        var read = new List<byte>();
        Read();

        Assert.That(read, Is.EqualTo(new byte[] { 1, 2, 3, 4, 5 }));
        Assert.That(_stream.IsAskedForMore, Is.False);

        // HttpListener begins the next read inside the callback of the last one.
        void Read()
        {
            var buffer = new byte[size];
            _stream.BeginRead(
                buffer,
                0,
                size,
                result =>
                {
                    read.AddRange(buffer[.._stream.EndRead(result)]);
                    if (read.Count < 5)
                        Read();
                },
                null);
        }
    }

    [Test]
    public void Who_asks_for_more_than_the_head_waits_for_ever()
    {
        _stream.BeginRead(new byte[10], 0, 10, result => _stream.EndRead(result), null);

        IAsyncResult more = _stream.BeginRead(new byte[10], 0, 10, _ => Assert.Fail("there is nothing more"), null);

        Assert.That(more.IsCompleted, Is.False);
        Assert.That(_stream.IsAskedForMore, Is.True);
    }

    /// <summary>
    /// HttpListener would wait up to a second for the rest of a body that it does not want. It would wait on the thread that serves the others.
    /// </summary>
    [Test]
    public void Nobody_waits_for_the_rest_of_a_request()
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
        Assert.That(_stream.Take(), Is.Null);
        Assert.That(() => _stream.Write([1], 0, 1), Throws.InstanceOf<IOException>());
    }
}
