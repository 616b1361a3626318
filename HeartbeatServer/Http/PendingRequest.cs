using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;
using System.Runtime.Versioning;
using HeartbeatServer.Engine;
using HeartbeatServer.Options;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Http;

/// <summary>A connection from its accept until its request has come in.</summary>
[SupportedOSPlatform("linux")]
[SuppressMessage("Reliability", "CA2000", Justification = "As below.")]
[SuppressMessage("Design", "CA1001", Justification = "Whoever takes it out of the pending ones disposes of the stream, or hands it on.")]
internal sealed class PendingRequest : WheelEntry
{
    private readonly HttpPort _port;
    private readonly HttpEndPoint _endPoint;
    private readonly TimeSpan _timeout;
    private readonly RequestStream _stream;

    /// <param name="port">Holds it.</param>
    /// <param name="socket">Accepted. Owned.</param>
    /// <param name="loop">Serves it.</param>
    /// <param name="endPoint">For HttpListener.</param>
    /// <param name="timeout">How long the request may take to come in.</param>
    /// <exception cref="SocketException">The client has gone.</exception>
    public PendingRequest(HttpPort port, Socket socket, EventLoop loop, HttpEndPoint endPoint, TimeSpan timeout)
    {
        (_port, _endPoint, _timeout, Loop) = (port, endPoint, timeout, loop);
        // The accept has brought the address. Later the socket may be closed, and HttpListener has forgotten it.
        Remote = (IPEndPoint)socket.RemoteEndPoint!;
        _stream = new RequestStream(loop.Attach(socket), OnRead);
        Deadline = loop.Wheel.Now + timeout;
    }

    public IPEndPoint Remote { get; }

    public EventLoop Loop { get; }

    public TimeSpan Deadline { get; }

    /// <summary>Begins to wait for the request.</summary>
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
    public void Answer(HttpReply reply)
    {
        Loop.Wheel.Remove(this);
        _stream.Reader?.Forget();
        using SocketTransport? transport = _stream.Take();
        try
        {
            transport?.Send(reply.ToBytes());
        }
        catch (IOException)
        {
            // It went by itself.
        }
    }

    protected internal override TimeSpan OnDue(TimeSpan now, TimeSpan stall)
    {
        _port.TurnAway(this, new(RefusalReason.RequestTimeout, $"the request was not finished within {Duration.Format(_timeout)}"));
        return TimeSpan.MaxValue;
    }

    private void OnReadable()
    {
        if (!_stream.IsOpen)
            return; // it was turned away, which ends the wait as well
        try
        {
            var reader = new HttpConnection(_stream, _endPoint);
            _stream.Reader = reader;
            reader.BeginReadRequest();
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            GiveUp(); // it is being turned away by another thread
        }
#pragma warning disable CA1031 // One request must not take the others down.
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
        _stream.Dispose();
    }

    /// <summary>HttpListener has seen what a read brought.</summary>
    private void OnRead(ReadOutcome outcome)
    {
        HttpConnection reader = _stream.Reader!.Value;
        if (!_stream.IsReading)
            reader.ReturnBuffer();
        switch (outcome)
        {
            case ReadOutcome.Incomplete:
                return;
            case ReadOutcome.Complete when _port.TryTake(this):
                _port.Handle(new Request(this, reader));
                return;
            case ReadOutcome.TooLong:
                _port.TurnAway(this, new(RefusalReason.HeaderTooLarge, $"a request of more than {RequestStream.MaxRequest / 1024} KiB"));
                break;
            case ReadOutcome.Refused:
                _port.TurnAway(this, new(RefusalReason.BadRequest, "no request that can be understood"));
                break;
            case ReadOutcome.Closed:
                _port.TryTake(this);
                break;
            case ReadOutcome.Complete:
                break; // another thread has turned it away meanwhile
        }
        _stream.Dispose();
        reader.Forget();
    }

    /// <summary>The request that has come in.</summary>
    private sealed class Request(PendingRequest pending, HttpConnection reader)
        : HttpRequest(reader.TakeRequest(), pending.Remote, pending.Loop)
    {
        private readonly RequestStream _stream = pending._stream;

        public override ReadOnlyMemory<byte> Received => _stream.Received;

        public override ValueTask<Transport> UpgradeAsync(string key)
        {
            SocketTransport transport = _stream.Take() ?? throw new IOException("the client has gone");
            reader.Forget();
            return SwitchProtocolsAsync(transport, Received[RequestHead.Length(Received.Span)..], key);
        }

        protected override void BeforeClose() => _stream.StopWaiting();

        /// <summary>Before HttpListener does it, which would send a header first that says 200.</summary>
        protected override void Close()
        {
            _stream.Dispose();
            reader.Forget();
        }
    }
}
