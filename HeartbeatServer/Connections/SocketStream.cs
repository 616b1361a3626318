using System.Net;
using System.Net.Sockets;
using System.Threading.Tasks.Sources;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Connections;

/// <summary>
/// A connected TCP socket that this stream owns. Writes are tried at once and without waiting: the usual one completes before the call
/// returns. The end of the connection is no exception for a read: it returns 0, for a reset too, and <see cref="Error"/> tells them apart.
/// </summary>
internal sealed class SocketStream : Stream
{
    private readonly Socket _socket;
    private readonly Receiver _receiver = new();
    private byte[]? _readAhead;
    private SocketError _sendError;

    /// <param name="socket">Connected.</param>
    /// <param name="readAhead">Bytes that were received before and come first.</param>
    public SocketStream(Socket socket, byte[]? readAhead = null)
    {
        _socket = socket;
        _readAhead = readAhead;
        socket.NoDelay = true;
        socket.Blocking = false;
    }

    /// <summary>
    /// Why a read returned 0: <see cref="SocketError.Success"/> for FIN. The kernel tells a reset once, and it may have told the sender.
    /// </summary>
    public SocketError Error => _receiver.Error == SocketError.Success ? _sendError : _receiver.Error;

    /// <summary>Whether the kernel has bytes that were not read yet.</summary>
    public bool HasUnreadBytes
    {
        get
        {
            try
            {
                return _socket.Available > 0;
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return false; // gone: nothing will be read from it
            }
        }
    }

    /// <summary>What the kernel knows of the connection; null where it cannot be asked.</summary>
    public TcpInfo? Tcp
    {
        get
        {
            const int ipProtoTcp = 6;
            const int tcpInfo = 11;
            if (!OperatingSystem.IsLinux())
                return null;
            try
            {
                Span<byte> info = stackalloc byte[TcpInfo.Size];
                return TcpInfo.Read(info[.._socket.GetRawSocketOption(ipProtoTcp, tcpInfo, info)]);
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return null; // gone, or a sandbox that does not allow the question
            }
        }
    }

    public override bool CanRead => true;
    public override bool CanWrite => true;
    public override bool CanSeek => false;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_readAhead is null)
            return _receiver.Receive(_socket, buffer);

        int count = Math.Min(buffer.Length, _readAhead.Length);
        _readAhead.AsSpan(0, count).CopyTo(buffer.Span);
        _readAhead = count < _readAhead.Length ? _readAhead[count..] : null;
        return new(count);
    }

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        try
        {
            int sent = _socket.Send(buffer.Span, SocketFlags.None, out SocketError error);
            return error switch
            {
                SocketError.Success when sent == buffer.Length => default,
                SocketError.Success or SocketError.WouldBlock => SendRestAsync(buffer[sent..]),
                _ => ValueTask.FromException(Failed(new SocketException((int)(_sendError = error)))),
            };
        }
        catch (ObjectDisposedException e)
        {
            return ValueTask.FromException(Failed(e));
        }
    }

    /// <summary>Sends FIN; reading goes on.</summary>
    public void ShutdownSend()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Send);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Gone already. The read in progress says so.
        }
    }

    /// <summary>Closes at once with RST: what was not sent is dropped, nothing lingers in the kernel. A read in progress returns 0.</summary>
    public void Abort()
    {
        try
        {
            _socket.LingerState = new LingerOption(true, 0);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Gone already: then there is nothing to drop.
        }
        _socket.Dispose();
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public override void Flush() { }
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _socket.Dispose();
            _receiver.Dispose();
        }
        base.Dispose(disposing);
    }

    private async ValueTask SendRestAsync(ReadOnlyMemory<byte> rest)
    {
        try
        {
            while (!rest.IsEmpty)
                rest = rest[await _socket.SendAsync(rest)..];
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            _sendError = (e as SocketException)?.SocketErrorCode ?? SocketError.OperationAborted;
            throw Failed(e);
        }
    }

    private static IOException Failed(Exception e) => new(e.Message, e);

    /// <summary>One receive at a time, without an allocation or an exception.</summary>
    private sealed class Receiver() : SocketAsyncEventArgs(true /* no execution context: nobody reads one here */), IValueTaskSource<int>
    {
        private ManualResetValueTaskSourceCore<int> _completion;

        public SocketError Error { get; private set; }

        public ValueTask<int> Receive(Socket socket, Memory<byte> buffer)
        {
            SetBuffer(buffer);
            _completion.Reset();
            try
            {
                return socket.ReceiveAsync(this) ? new(this, _completion.Version) : new(Result());
            }
            catch (ObjectDisposedException)
            {
                Error = SocketError.OperationAborted;
                return new(0);
            }
        }

        protected override void OnCompleted(SocketAsyncEventArgs e) => _completion.SetResult(Result());

        int IValueTaskSource<int>.GetResult(short token) => _completion.GetResult(token);

        ValueTaskSourceStatus IValueTaskSource<int>.GetStatus(short token) => _completion.GetStatus(token);

        void IValueTaskSource<int>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
            _completion.OnCompleted(continuation, state, token, flags);

        private int Result()
        {
            Error = SocketError;
            return SocketError == SocketError.Success ? BytesTransferred : 0;
        }
    }
}
