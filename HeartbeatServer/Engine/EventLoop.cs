using System.Diagnostics.CodeAnalysis;
using System.Net.Sockets;
using System.Runtime.Versioning;
using HeartbeatServer.Http;

namespace HeartbeatServer.Engine;

/// <summary>
/// One thread that serves some of the connections. It waits until one of their sockets is ready or their wheel has to tick, and does
/// what is to be done there and then: nothing on it may block.
/// </summary>
/// <remarks>
/// With sockets and beats on one thread, the answers to the pings of a tick are there when the last of them was sent, and no thread has to be
/// woken for them. Where there is no epoll the loop only ticks, and the framework's threads serve the sockets.
/// </remarks>
internal sealed class EventLoop : IDisposable
{
    private readonly ManualResetEventSlim _wanted = new();
    private readonly Thread _thread;
    private volatile bool _stopped;

    /// <param name="wheel">Driven by this loop alone.</param>
    /// <param name="epoll">Whether to use it where there is one.</param>
    /// <exception cref="IOException">No descriptor is left.</exception>
    public EventLoop(TimingWheel wheel, bool epoll = true)
    {
        Wheel = wheel;
        Epoll = epoll && OperatingSystem.IsLinux() ? new Epoll() : null;
        _thread = new Thread(Run, 256 * 1024) { IsBackground = true, Name = "heartbeat" };
        wheel.Wanted = Wake;
    }

    public TimingWheel Wheel { get; }

    /// <summary>Null where there is none.</summary>
    public Epoll? Epoll { get; }

    [SupportedOSPlatformGuard("linux")]
    [MemberNotNullWhen(true, nameof(Epoll))]
    private bool HasEpoll => Epoll is not null;

    public void Start() => _thread.Start();

    /// <summary>Makes a socket one of this loop's.</summary>
    /// <param name="socket">Connected, and waited for by nobody else. The stream owns it.</param>
    public SocketStream Stream(Socket socket)
    {
        if (HasEpoll)
            return new EpollStream(socket, Epoll);
        HttpTakeover.PreferInlineCompletions(socket, true); // nothing of ours blocks the framework's thread
        return new PortableSocketStream(socket);
    }

    /// <inheritdoc cref="Engine.Acceptor(Socket, Func{Socket, SocketError, bool})"/>
    public Acceptor Acceptor(Socket socket, Func<Socket?, SocketError, bool> accepted) =>
        HasEpoll ? new EpollAcceptor(socket, Epoll, accepted) : new PortableAcceptor(socket, accepted);

    public void Dispose()
    {
        _stopped = true;
        Wake();
        if (!_thread.ThreadState.HasFlag(ThreadState.Unstarted))
            _thread.Join();
        if (HasEpoll)
            Epoll.Dispose();
        _wanted.Dispose();
    }

    private void Wake()
    {
        if (Thread.CurrentThread == _thread)
            return;
        if (HasEpoll)
            Epoll.Wake();
        else
            _wanted.Set();
    }

    private void Run()
    {
        while (!_stopped)
        {
            // With no connection there is no tick. A loop that is late does not wait: a negative time would be for ever.
            int milliseconds = Wheel.UntilTick is { } until ? Math.Max(0, (int)Math.Ceiling(until.TotalMilliseconds)) : Timeout.Infinite;
            if (HasEpoll)
            {
                Epoll.Wait(milliseconds);
            }
            else
            {
                _wanted.Wait(milliseconds);
                _wanted.Reset();
            }
            Wheel.Advance();
        }
    }
}
