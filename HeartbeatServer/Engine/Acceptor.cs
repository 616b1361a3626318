using System.Net.Sockets;
using System.Runtime.Versioning;

namespace HeartbeatServer.Engine;

/// <summary>Accepts the connections of a listening socket on the thread of an event loop, until the socket is closed.</summary>
[SupportedOSPlatform("linux")]
internal sealed class Acceptor : IReady, IDisposable
{
    /// <summary>So many connections are accepted in a row. Then other sockets have their turn.</summary>
    private const int Turn = 64;

    private readonly Socket _socket;
    private readonly Epoll _epoll;
    private readonly Func<Socket?, SocketError, bool> _accepted;
    private readonly int _token;
    private readonly Lock _gate = new();
    private bool _watched;
    private bool _closed;
    private uint _calls;

    /// <param name="socket">The listening socket. Its owner closes it.</param>
    /// <param name="epoll">Reports when a connection waits to be accepted.</param>
    /// <param name="accepted">
    /// Called with each new connection. When accepting fails, it is called with null and the error. It returns whether to go on: after false the
    /// acceptor pauses until <see cref="Accept"/> is called.
    /// </param>
    public Acceptor(Socket socket, Epoll epoll, Func<Socket?, SocketError, bool> accepted)
    {
        socket.Blocking = false;
        (_socket, _epoll, _accepted) = (socket, epoll, accepted);
        _token = epoll.Enter(this);
    }

    public Priority Priority => Priority.Normal;

    /// <summary>Begins to accept, or goes on after a pause.</summary>
    /// <exception cref="IOException">The kernel has no room to watch the socket.</exception>
    public void Accept()
    {
        lock (_gate)
        {
            _calls++;
            Watch(true);
        }
    }

    public void OnReady(Readiness ready)
    {
        try
        {
            for (int i = 0; i < Turn; i++)
            {
                Socket? connection = null;
                SocketError error = SocketError.Success;
                bool isMore = false;
                try
                {
                    connection = _socket.Accept();
                    isMore = _socket.Poll(0, SelectMode.SelectRead);
                }
                catch (SocketException e)
                {
                    error = e.SocketErrorCode;
                }
                catch (ObjectDisposedException)
                {
                    connection?.Dispose(); // the owner has closed the port since this client was accepted
                    return;
                }
                catch (OutOfMemoryException)
                {
                    error = SocketError.NoBufferSpaceAvailable; // accept(2) reports the same when the kernel lacks memory
                }
                uint calls = Volatile.Read(ref _calls);
                if (!_accepted(connection, error))
                {
                    Pause(calls);
                    return;
                }
                if (!isMore)
                    return;
            }
        }
        catch (ObjectDisposedException)
        {
            // The owner has closed the port meanwhile.
        }
    }

    void IReady.Abort()
    {
        // The port stays open. Epoll reports the socket again in the next round, and the acceptor tries again.
    }

    /// <summary>Stops accepting. The owner of the socket calls this before it closes the socket.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            Watch(false);
            _closed = true;
        }
        _epoll.Leave(_token);
    }

    /// <summary>Stops, unless another thread has said meanwhile that it goes on.</summary>
    /// <param name="calls">Of <see cref="Accept"/>, when the pause was decided.</param>
    private void Pause(uint calls)
    {
        lock (_gate)
        {
            if (_calls == calls)
                Watch(false);
        }
    }

    /// <summary>Under the lock.</summary>
    private void Watch(bool wanted)
    {
        if (_closed || _watched == wanted)
            return;
        _epoll.Watch((int)_socket.Handle, _token, _watched ? Readiness.Read : Readiness.None, wanted ? Readiness.Read : Readiness.None);
        _watched = wanted;
    }
}
