using System.Net.Sockets;
using System.Runtime.Versioning;

namespace HeartbeatServer.Engine;

/// <summary>Accepts the connections of a listening socket, until that is closed.</summary>
/// <param name="socket">Listens. Its owner closes it.</param>
/// <param name="accepted">
/// Gets a connection; or null and the reason why there is none. Returns whether to go on: false is a pause, until <see cref="Accept"/>.
/// </param>
internal abstract class Acceptor(Socket socket, Func<Socket?, SocketError, bool> accepted) : IDisposable
{
    protected Socket Socket => socket;

    /// <summary>Begins, or goes on.</summary>
    /// <exception cref="IOException">The kernel has no room for it.</exception>
    public abstract void Accept();

    public abstract void Dispose();

    protected bool Accepted(Socket? connection, SocketError error) => accepted(connection, error);
}

/// <summary>Accepts on the thread of an event loop.</summary>
[SupportedOSPlatform("linux")]
internal sealed class EpollAcceptor : Acceptor, IReady
{
    /// <summary>Connections in a row, before others have their turn.</summary>
    private const int Turn = 64;

    private readonly Epoll _epoll;
    private readonly int _token;
    private readonly Lock _gate = new();
    private bool _watched;
    private bool _closed;

    /// <param name="socket">Listens.</param>
    /// <param name="epoll">Tells of connections.</param>
    /// <param name="accepted">See <see cref="Acceptor"/>.</param>
    public EpollAcceptor(Socket socket, Epoll epoll, Func<Socket?, SocketError, bool> accepted)
        : base(socket, accepted)
    {
        socket.Blocking = false;
        _epoll = epoll;
        _token = epoll.Enter(this);
    }

    public bool IsLowPriority => false;

    public override void Accept() => Watch(true);

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
                    connection = Socket.Accept();
                    isMore = Socket.Poll(0, SelectMode.SelectRead);
                }
                catch (SocketException e)
                {
                    error = e.SocketErrorCode;
                }
                if (!Accepted(connection, error))
                {
                    Watch(false);
                    return;
                }
                if (!isMore)
                    return;
            }
        }
        catch (ObjectDisposedException)
        {
            // The port was closed.
        }
    }

    /// <summary>To be called before the socket is closed.</summary>
    public override void Dispose()
    {
        Watch(false);
        lock (_gate)
            _closed = true;
        _epoll.Leave(_token);
    }

    private void Watch(bool wanted)
    {
        lock (_gate)
        {
            if (_closed || _watched == wanted)
                return;
            _epoll.Watch((int)Socket.Handle, _token, _watched ? Readiness.Read : Readiness.None, wanted ? Readiness.Read : Readiness.None);
            _watched = wanted;
        }
    }
}

/// <summary>Accepts in the framework's own way.</summary>
internal sealed class PortableAcceptor : Acceptor
{
    private readonly SocketAsyncEventArgs _operation = new();

    /// <inheritdoc cref="Acceptor(Socket, Func{Socket, SocketError, bool})"/>
    public PortableAcceptor(Socket socket, Func<Socket?, SocketError, bool> accepted)
        : base(socket, accepted) => _operation.Completed += (_, _) =>
        {
            if (Accepted())
                Accept();
        };

    public override void Accept()
    {
        try
        {
            do
                _operation.AcceptSocket = null;
            while (!Socket.AcceptAsync(_operation) && Accepted());
        }
        catch (ObjectDisposedException)
        {
            // The port was closed.
        }
    }

    public override void Dispose() => _operation.Dispose();

    private bool Accepted() => _operation.SocketError != SocketError.OperationAborted
        && Accepted(_operation.SocketError == SocketError.Success ? _operation.AcceptSocket : null, _operation.SocketError);
}
