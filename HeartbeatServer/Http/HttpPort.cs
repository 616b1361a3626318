using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;
using System.Text;
using HeartbeatServer.Admin;
using HeartbeatServer.Connections;
using HeartbeatServer.Engine;
using HeartbeatServer.Hosting;
using HeartbeatServer.Options;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Http;

/// <summary>
/// Listens on a port and lets <see cref="HttpListener"/> read the requests. It does at the door what HttpListener does not: requests that are not
/// finished in time, or have no end, are turned away; and while the process has no descriptor to spare nobody else is let in.
/// </summary>
/// <remarks>
/// The first event loop accepts, and all of them read. On Windows http.sys does it all, with timeouts and limits of its own.
/// </remarks>
internal sealed class Doorkeeper : IDisposable
{
    /// <summary>How often it is looked whether there is room again, and how often a full house is worth a line in the log.</summary>
    private static readonly TimeSpan ClosedFor = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan WarnEvery = TimeSpan.FromSeconds(10);

    private readonly HttpListener _listener = new() { IgnoreWriteExceptions = true };
    private readonly Door _door;
    private readonly EventLoops _loops;
    private readonly Func<int> _connections;
    private readonly Action<RefusalReason>? _rejected;
    private readonly ServerLog _log;
    private readonly RequestLoop _requests;
    private readonly Throttle _fullLines;
    private readonly Reopening _reopening;
    private HttpTakeover.Binding? _binding;
    private Acceptor? _acceptor;
    private OpenFiles? _files;
    private volatile bool _isFull;
    private bool _toldFull;

    // Null when the port is closed. Whoever takes a request out of it decides over its connection.
    private readonly Lock _gate = new();
    private HashSet<Request>? _unfinished = [];

    /// <param name="door">The port.</param>
    /// <param name="loops">Serve the connections.</param>
    /// <param name="handle">Answers a request, on the thread of an event loop.</param>
    /// <param name="time">The clock.</param>
    /// <param name="connections">How many descriptors are in use beside those of unfinished requests.</param>
    /// <param name="rejected">Called for each request that is turned away.</param>
    /// <param name="log">Tells.</param>
    public Doorkeeper(
        Door door,
        EventLoops loops,
        Func<HttpListenerContext, Task> handle,
        TimeProvider time,
        Func<int> connections,
        Action<RefusalReason>? rejected,
        ServerLog log)
    {
        (_door, _loops, _connections, _rejected, _log) = (door, loops, connections, rejected, log);
        _requests = new RequestLoop(_listener, handle, log);
        _fullLines = new Throttle(time, WarnEvery);
        _reopening = new Reopening(this);
    }

    private static ReadOnlySpan<byte> Closed =>
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"u8;

    private bool HasRoom
    {
        get
        {
            lock (_gate)
                return _unfinished is null || _connections() + _unfinished.Count < _files!.MaxConnections;
        }
    }

    /// <summary>How many connections the limit of open files allows.</summary>
    public int MaxConnections => _files!.MaxConnections;

    /// <summary>Whether nobody is let in at the moment.</summary>
    public bool IsFull => _isFull;

    /// <exception cref="HttpListenerException">The port could not be bound.</exception>
    public void Open()
    {
        _listener.Start();
        _binding = HttpTakeover.Bind(_listener, _door.Host, _door.Port);
        _files = new OpenFiles("/proc/self");
        _requests.Start();
        if (_binding.Socket is null)
            return; // http.sys
        _acceptor = _loops.First.Accept(_binding.Socket, OnAccepted);
        _acceptor.Accept();
    }

    /// <summary>Closes the port. Connections that were upgraded go on; unfinished requests get 503.</summary>
    public void Dispose()
    {
        _acceptor?.Dispose();
        _binding?.Dispose();
        HashSet<Request>? unfinished;
        lock (_gate)
            (unfinished, _unfinished) = (_unfinished, null);
        _loops.First.Wheel.Remove(_reopening);
        foreach (Request request in unfinished ?? [])
            request.Answer(Closed);
        _requests.Stop();
        ((IDisposable)_listener).Dispose();
    }

    /// <returns>Whether to accept another.</returns>
    private bool OnAccepted(Socket? connection, SocketError error)
    {
        try
        {
            if (connection is not null)
                Admit(connection);
        }
#pragma warning disable CA1031 // One client must not close the port for the others.
        catch (Exception e)
#pragma warning restore CA1031
        {
            _log.AcceptFailed(e);
        }
        if (IsHarmless(error) && HasRoom)
            return true;
        Close();
        return false;
    }

    /// <summary>Whether it concerns one client that went before it was let in, as accept(2) has it. All else is a lack of something.</summary>
    private static bool IsHarmless(SocketError error) => error is SocketError.Success or SocketError.WouldBlock
        or SocketError.ConnectionAborted or SocketError.ConnectionReset
        or SocketError.NetworkDown or SocketError.NetworkUnreachable or SocketError.HostDown or SocketError.HostUnreachable
        or SocketError.ProtocolOption or SocketError.ProtocolNotSupported or SocketError.OperationNotSupported;

    private void Admit(Socket socket)
    {
        Request request;
        try
        {
            request = new Request(this, socket, _loops.Next());
        }
        catch (SocketException)
        {
            socket.Dispose(); // it has gone
            return;
        }
        Request? oldest = null;
        int most = Math.Min(_door.MostUnfinished, _files!.MaxConnections - 1);
        bool isOpen;
        lock (_gate)
        {
            isOpen = _unfinished is not null;
            if (_unfinished?.Count >= most)
                oldest = _unfinished.MinBy(each => each.Deadline);
            _unfinished?.Add(request);
        }
        if (!isOpen)
        {
            request.Answer(Closed);
            return;
        }
        if (oldest is not null)
            Reject(oldest, RefusalReason.ConnectionLimit, "Service Unavailable", $"more than {most} unfinished requests");
        request.Receive();
    }

    /// <summary>Lets nobody in for a while. They wait in the kernel.</summary>
    private void Close()
    {
        _isFull = true;
        _toldFull = _fullLines.TryPass(out _);
        if (_toldFull)
            _log.NoRoom(_door.Port, _connections(), _files!.MaxConnections);
        TimingWheel wheel = _loops.First.Wheel;
        wheel.Schedule(_reopening, wheel.Now + ClosedFor);
    }

    private void Reopen()
    {
        _acceptor!.Accept();
        _isFull = false;
        if (_toldFull)
            _log.RoomAgain(_door.Port, _connections(), _files!.MaxConnections);
    }

    /// <returns>Whether it was still unfinished: then it is the caller's.</returns>
    private bool TryTake(Request request)
    {
        bool taken;
        lock (_gate)
            taken = _unfinished?.Remove(request) == true;
        request.Loop.Wheel.Remove(request);
        return taken;
    }

    private void Reject(Request request, RefusalReason reason, string phrase, string text)
    {
        if (!TryTake(request))
            return;
        _rejected?.Invoke(reason);
        _log.RequestRejected(request.Remote, reason.Status(), text);
        request.Answer(Encoding.ASCII.GetBytes(
            $"HTTP/1.1 {reason.Status()} {phrase}\r\nContent-Type: text/plain\r\nContent-Length: {text.Length + 1}\r\nConnection: close\r\n\r\n{text}\n"));
    }

    /// <summary>When there may be room again.</summary>
    private sealed class Reopening(Doorkeeper keeper) : WheelEntry
    {
        protected internal override TimeSpan OnDue(TimeSpan now, TimeSpan stall)
        {
            if (!keeper.HasRoom)
                return now + ClosedFor;
            try
            {
                keeper.Reopen();
                return TimeSpan.MaxValue;
            }
            catch (IOException)
            {
                return now + ClosedFor; // the kernel has no room, either
            }
        }
    }

    /// <summary>A connection from its accept until its request has come in.</summary>
    [SuppressMessage("Reliability", "CA2000", Justification = "As below.")]
    [SuppressMessage("Design", "CA1001", Justification = "Whoever takes it out of the unfinished disposes of the stream, or hands it on.")]
    private sealed class Request : WheelEntry
    {
        private readonly Doorkeeper _keeper;
        private readonly RequestStream _stream;
        private object? _connection;

        public Request(Doorkeeper keeper, Socket socket, EventLoop loop)
        {
            _keeper = keeper;
            _stream = new RequestStream(loop.Attach(socket), loop, OnRead);
            Deadline = loop.Wheel.Now + keeper._door.RequestTimeout;
        }

        public TimeSpan Deadline { get; }

        public EventLoop Loop => _stream.Loop;

        public EndPoint? Remote
        {
            get
            {
                try
                {
                    return _stream.Socket.RemoteEndPoint;
                }
                catch (Exception e) when (e is SocketException or ObjectDisposedException)
                {
                    return null; // it went by itself
                }
            }
        }

        public void Receive()
        {
            Loop.Wheel.Schedule(this, Deadline);
            try
            {
                // HttpListener's connection takes some 10 KB: not before there is something to read.
                _stream.WhenReadable(OnReadable);
            }
            catch (IOException)
            {
                GiveUp(); // the kernel has no room for it
            }
        }

        /// <summary>Tells the client, as far as that goes without waiting, and closes.</summary>
        /// <param name="response">A whole HTTP response.</param>
        public void Answer(ReadOnlySpan<byte> response)
        {
            Loop.Wheel.Remove(this);
            if (_connection is not null)
                HttpTakeover.Forget(_connection);
            using SocketTransport? stream = _stream.Take();
            try
            {
                stream?.Send(response);
            }
            catch (IOException)
            {
                // It went by itself.
            }
        }

        protected internal override TimeSpan OnDue(TimeSpan now, TimeSpan stall)
        {
            _keeper.Reject(this, RefusalReason.RequestTimeout, "Request Timeout", $"the request was not finished within {Duration.Format(_keeper._door.RequestTimeout)}");
            return TimeSpan.MaxValue;
        }

        private void OnReadable()
        {
            try
            {
                _connection = _keeper._binding!.Connection(_stream);
                HttpTakeover.BeginReadRequest(_connection);
            }
            catch (Exception e) when (e is IOException or ObjectDisposedException)
            {
                GiveUp(); // it was turned away meanwhile
            }
#pragma warning disable CA1031 // One request must not take the others down.
            catch (Exception e)
#pragma warning restore CA1031
            {
                _keeper._log.RequestFailed(e);
                GiveUp();
            }
        }

        private void GiveUp()
        {
            _keeper.TryTake(this);
            _stream.Dispose();
        }

        /// <summary>HttpListener has seen what came.</summary>
        /// <param name="goesOn">Whether it reads on: the request is not complete.</param>
        /// <param name="error">Over what it stumbled.</param>
        private void OnRead(bool goesOn, Exception? error)
        {
            if (error is not null)
                _keeper.Reject(this, RefusalReason.BadRequest, "Bad Request", "no request that can be understood");
            // It was no request and has been answered, after which some are read on from; or the client has gone.
            bool isClosed = HttpTakeover.IsClosed(_connection!);
            if (goesOn && !isClosed)
            {
                if (_stream.IsTooLong)
                    _keeper.Reject(this, RefusalReason.HeaderTooLarge, "Request Header Fields Too Large", $"a request of more than {RequestStream.MaxRequest / 1024} KiB");
                return;
            }
            _keeper.TryTake(this);
            if (isClosed)
                _stream.Dispose();
            if (!goesOn)
                HttpTakeover.ReturnBuffer(_connection!);
            _keeper._requests.HandOver(_stream);
            if (isClosed)
                HttpTakeover.Forget(_connection!);
        }
    }
}
