using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Runtime.Versioning;
using HeartbeatServer.Engine;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Engine;

[Platform("Linux")]
[SupportedOSPlatform("linux")]
public sealed class AcceptorTests
{
    private readonly ConcurrentQueue<Socket> _accepted = new();
    private readonly ConcurrentQueue<SocketError> _errors = new();
    private readonly List<Socket> _clients = [];
    private EventLoop _loop = null!;
    private Socket _listening = null!;
    private Acceptor _acceptor = null!;
    private volatile int _mostInTurn = int.MaxValue;

    [SetUp]
    public void SetUp()
    {
        _loop = new EventLoop(new TestClock().Wheel);
        _loop.Start();
        _listening = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        _listening.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listening.Listen();
        _acceptor = _loop.Accept(_listening, OnAccepted);
    }

    [TearDown]
    public void TearDown()
    {
        _acceptor.Dispose();
        _listening.Dispose();
        _loop.Dispose();
        foreach (Socket socket in _clients.Concat(_accepted))
            socket.Dispose();
        _clients.Clear();
        _accepted.Clear();
        _errors.Clear();
        _mostInTurn = int.MaxValue;
    }

    [Test]
    public async Task Connections_are_accepted_as_they_come_and_those_that_wait()
    {
        await ConnectAsync(100);
        _acceptor.Accept();
        await Safety.UntilAsync(() => _accepted.Count == 100, "those that waited");

        await ConnectAsync(3);

        await Safety.UntilAsync(() => _accepted.Count == 103, "those that came");
        Assert.That(_accepted.Select(socket => socket.RemoteEndPoint), Is.EquivalentTo(_clients.Select(socket => socket.LocalEndPoint)));
        Assert.That(_errors, Is.Empty);
    }

    [Test]
    public async Task A_pause_lasts_until_it_is_told_to_go_on()
    {
        _mostInTurn = 2;
        _acceptor.Accept();
        await ConnectAsync(5);
        await Safety.UntilAsync(() => _accepted.Count == 2, "as many as were wanted");
        Assert.That(_listening.Poll(0, SelectMode.SelectRead), Is.True, "the others wait in the kernel");

        _mostInTurn = 4;
        _acceptor.Accept();
        await Safety.UntilAsync(() => _accepted.Count == 4, "two more");

        _mostInTurn = int.MaxValue;
        _acceptor.Accept();
        await Safety.UntilAsync(() => _accepted.Count == 5, "the last");
    }

    [Test]
    public async Task After_its_end_nobody_is_accepted_and_nothing_is_told()
    {
        _acceptor.Accept();
        await ConnectAsync(1);
        await Safety.UntilAsync(() => _accepted.Count == 1, "the first");

        _acceptor.Dispose();
        _listening.Dispose();
        _acceptor.Accept();

        Assert.That(_accepted, Has.Count.EqualTo(1));
        Assert.That(_errors, Is.Empty);
    }

    private bool OnAccepted(Socket? connection, SocketError error)
    {
        if (connection is not null)
            _accepted.Enqueue(connection);
        if (error != SocketError.Success)
            _errors.Enqueue(error);
        return _accepted.Count < _mostInTurn;
    }

    private async Task ConnectAsync(int count)
    {
        for (int i = 0; i < count; i++)
        {
            var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            _clients.Add(client);
            await client.ConnectAsync(_listening.LocalEndPoint!);
        }
    }
}
