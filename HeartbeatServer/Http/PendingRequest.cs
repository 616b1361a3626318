using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;
using System.Runtime.Versioning;
using System.Text;
using HeartbeatServer.Engine;
using HeartbeatServer.Options;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Http;

/// <summary>The result of one read of a request's head.</summary>
internal enum ReadOutcome
{
    /// <summary>The head is not complete yet.</summary>
    Incomplete,
    /// <summary>The client has gone.</summary>
    Closed,
    /// <summary>The bytes cannot become a request that this server answers.</summary>
    Refused,
    /// <summary>The head is complete.</summary>
    Complete,
}

/// <summary>A connection from its accept until the head of its request is complete.</summary>
[SupportedOSPlatform("linux")]
[SuppressMessage("Reliability", "CA2000", Justification = "As below.")]
[SuppressMessage("Design", "CA1001", Justification = "Whoever takes it out of the pending ones disposes of the transport, or hands it on.")]
internal sealed class PendingRequest : WheelEntry
{
    /// <summary>The longest head of a request in bytes: request line and fields.</summary>
    public const int MaxHead = 24 * 1024;

    private const int ReadSize = 8 * 1024;

    /// <summary>Characters with which HttpListener may turn a target into another URL, or refuse it.</summary>
    private static readonly SearchValues<char> Delicate = SearchValues.Create("%\\\"<>^`{|}");

    /// <summary>The buffer into which this thread reads. The bytes are copied at once, and the buffer is free again.</summary>
    [ThreadStatic]
    private static byte[]? _scratch;

    private readonly HttpPort _port;
    private readonly HttpEndPoint _endPoint;
    private readonly TimeSpan _timeout;
    private readonly EpollTransport _transport;

    /// <summary>The transport, if the port speaks TLS.</summary>
    private readonly TlsTransport? _tls;
    private Deadline _deadline;
    private byte[] _received = [];
    private int _length;
    private RequestHead? _head;
    private int _headLength;

    /// <param name="port">The port that accepted the connection.</param>
    /// <param name="socket">The accepted socket. The pending request owns it.</param>
    /// <param name="loop">The event loop that serves the socket.</param>
    /// <param name="endPoint">The end point that HttpListener needs to read the request.</param>
    /// <param name="options">How long the client may take, and how the port does its part of a TLS handshake.</param>
    /// <exception cref="SocketException">The client has gone.</exception>
    public PendingRequest(HttpPort port, Socket socket, EventLoop loop, HttpEndPoint endPoint, ListenOptions options)
    {
        (_port, _endPoint, _timeout, Loop) = (port, endPoint, options.RequestTimeout, loop);
        // The address is known now. Later the socket may be closed, and then nobody can ask for its address.
        var remote = (IPEndPoint)socket.RemoteEndPoint!;
        // A socket for both families shows IPv4 addresses mapped into IPv6. Limits, logs and trusted proxies need the IPv4 address itself.
        Remote = remote.Address.IsIPv4MappedToIPv6 ? new IPEndPoint(remote.Address.MapToIPv4(), remote.Port) : remote;
        _tls = options.Tls is null ? null : loop.AttachTls(socket, options.Tls);
        _transport = _tls ?? (EpollTransport)loop.Attach(socket);
        // Clients that only send requests must not delay the heartbeats of the connections.
        _transport.IsLowPriority = true;
        _deadline = new Deadline(loop.Wheel.Now + _timeout);
    }

    public IPEndPoint Remote { get; }

    public EventLoop Loop { get; }

    /// <summary>When the time for the head is over.</summary>
    public TimeSpan Deadline => _deadline.Due;

    /// <summary>All bytes that came, as they came: the head, and what the client sent behind it.</summary>
    private ReadOnlyMemory<byte> Received => _received.AsMemory(0, _length);

    /// <summary>Whether the client has sent bytes that nobody has read yet. They may be the rest of its request.</summary>
    public bool HasUnread => _transport.UnreadBytes > 0;

    /// <summary>Begins to wait for the request.</summary>
    public void Receive()
    {
        Loop.Wheel.Schedule(this, Deadline);
        Wait();
    }

    /// <summary>Closes the connection.</summary>
    /// <param name="reply">The reply for the client, of which as much is sent as the socket takes without waiting; null for no reply.</param>
    public void Close(HttpReply? reply)
    {
        Loop.Wheel.Remove(this);
        try
        {
            if (reply is not null)
                _transport.Send(reply.ToBytes());
        }
        catch (IOException)
        {
            // The client has gone already, or does not read.
        }
        _transport.Dispose();
    }

    protected internal override TimeSpan OnDue(TimeSpan now, TimeSpan stall)
    {
        if (!_deadline.IsOver(now, stall))
            return Deadline;
        string what = _tls is { IsOpen: false } ? "TLS handshake" : "request";
        _port.TurnAway(this, new(RefusalReason.RequestTimeout, $"the {what} was not finished within {Duration.Format(_timeout)}"));
        return TimeSpan.MaxValue;
    }

    private void Wait()
    {
        try
        {
            _transport.WhenReadable(OnReadable);
        }
        catch (IOException)
        {
            GiveUp(); // the kernel has no room to watch the socket
        }
    }

    private void OnReadable()
    {
        try
        {
            switch (Read(out Refusal? refusal))
            {
                case ReadOutcome.Incomplete:
                    Wait();
                    break;
                case ReadOutcome.Closed:
                    GiveUp();
                    break;
                case ReadOutcome.Refused:
                    _port.TurnAway(this, refusal!.Value);
                    break;
                case ReadOutcome.Complete when _port.TryTake(this):
                    HandOut();
                    break;
                case ReadOutcome.Complete:
                    break; // another thread has turned this request away meanwhile
            }
        }
#pragma warning disable CA1031 // A failure with one request must not end the others.
        catch (Exception e)
#pragma warning restore CA1031
        {
            _port.Failed(e);
            GiveUp();
        }
    }

    private void GiveUp()
    {
        _port.TryTake(this);
        _transport.Dispose();
    }

    /// <summary>Adds bytes to those that came before. The usual request comes in one piece, and has an array of its length.</summary>
    private void Keep(ReadOnlySpan<byte> bytes)
    {
        if (_length + bytes.Length > _received.Length)
            Array.Resize(ref _received, Math.Max(_length + bytes.Length, 2 * _length));
        bytes.CopyTo(_received.AsSpan(_length));
        _length += bytes.Length;
    }

    private ReadOutcome Read(out Refusal? refusal)
    {
        refusal = null;
        byte[] scratch = _scratch ??= new byte[ReadSize];
        int count;
        try
        {
            count = _transport.TryRead(scratch);
        }
        catch (TlsHandshakeException e)
        {
            refusal = TlsFailure.ByClient(e.InnerException!);
            return ReadOutcome.Refused;
        }
        catch (IOException e) when (_tls is not null)
        {
            refusal = new Refusal(RefusalReason.TlsFailed, e.Message); // a record was no good, or tried to begin a handshake anew
            return ReadOutcome.Refused;
        }
        if (count == 0 && _tls is { IsOpen: true } && _length == 0)
        {
            // Node.js and .NET look at the certificate when the handshake is done, and say nothing if they do not like it.
            refusal = new Refusal(
                RefusalReason.TlsGone, "the client went right after the TLS handshake, without a request; some do when they do not trust the certificate");
            return ReadOutcome.Refused;
        }
        if (count <= 0)
            return count < 0 ? ReadOutcome.Incomplete : ReadOutcome.Closed;

        int seen = _length;
        Keep(scratch.AsSpan(0, count));
        _headLength = RequestHead.Find(Received.Span, seen, out refusal);
        if (_headLength > MaxHead || (_headLength == 0 && _length > MaxHead))
            refusal ??= new Refusal(RefusalReason.HeaderTooLarge, $"a request of more than {MaxHead / 1024} KiB");
        else if (_headLength > 0)
            _head = RequestHead.Read(_received.AsSpan(0, _headLength), out refusal);
        if (_tls is { IsPlain: true } && refusal is not { Reason: RefusalReason.ProxyProtocol })
            refusal = new Refusal(RefusalReason.PlainHttp, "no TLS on the TLS port: this port speaks wss:// and https:// only");
        return refusal is not null ? ReadOutcome.Refused : _head is not null ? ReadOutcome.Complete : ReadOutcome.Incomplete;
    }

    /// <summary>
    /// Gives HttpListener a short request in place of the client's: only what HttpListener needs, and nothing that it would refuse by itself.
    /// HttpListener has read this request when the call of BeginReadRequest returns.
    /// </summary>
    private void HandOut()
    {
        _transport.IsLowPriority = false;
        var stream = new RequestStream(_transport, _transport.Socket!, ForHttpListener(_head!));
        var reader = new HttpConnection(stream, _endPoint);
        reader.BeginReadRequest();
        reader.ReturnBuffer();
        if (!stream.IsAskedForMore && !reader.IsClosed)
        {
            _port.Handle(new Request(this, stream, reader));
            return;
        }
        stream.Dispose();
        reader.Forget();
        throw new InvalidOperationException(
            $"HttpListener did not understand a request that RequestHead has let pass: {_head!.Method} {_head.ShownTarget}");
    }

    private static byte[] ForHttpListener(RequestHead head) => Encoding.ASCII.GetBytes(
        $"{head.Method} {(IsPlain(head.Target) ? head.Target : "/")} HTTP/1.{Math.Min(head.MinorVersion, 1)}\r\nHost: localhost\r\n"
        + "Content-Length: 0\r\n\r\n"); // without this field HttpListener answers 411 to a POST by itself

    /// <summary>
    /// Whether HttpListener turns the target into the same URL. Any other target is replaced by <c>/</c>: HttpListener only has to accept the
    /// request, and the handler uses the head.
    /// </summary>
    private static bool IsPlain(string target) =>
        target[0] == '/' && !target.StartsWith("//", StringComparison.Ordinal) && !target.AsSpan().ContainsAny(Delicate);

    /// <summary>The complete request.</summary>
    private sealed class Request(PendingRequest pending, RequestStream stream, HttpConnection reader)
        : HttpRequest(reader.TakeRequest(), pending._head!, pending.Remote, pending.Loop)
    {
        public override ReadOnlyMemory<byte> Received => pending.Received;

        public override ValueTask<Transport> UpgradeAsync(string key, string? protocol)
        {
            SocketTransport transport = TakeOver(out ReadOnlyMemory<byte> early);
            return SwitchProtocolsAsync(transport, early, key, protocol);
        }

        public override EpollTransport TakeOver(out ReadOnlyMemory<byte> early)
        {
            if (stream.Take() is null)
                throw new IOException("the client has gone");
            reader.Forget();
            pending._transport.LeaveSocket();
            early = Received[pending._headLength..];
            return pending._transport;
        }

        protected override void BeforeClose(bool isWhole)
        {
            stream.StopWaiting();
            if (isWhole && pending._tls is { } tls)
                _ = tls.NotifyCloseAsync(); // HttpListener closes the socket, and knows nothing of TLS
        }

        /// <summary>Closes the connection before HttpListener does: HttpListener would first send a header with the status 200.</summary>
        protected override void Close()
        {
            stream.Dispose();
            reader.Forget();
        }
    }
}
