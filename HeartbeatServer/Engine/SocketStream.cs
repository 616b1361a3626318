using System.Net;
using System.Net.Sockets;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Engine;

/// <summary>
/// A connected TCP socket that this stream owns. Writes are tried at once and without waiting: the usual one completes before the call
/// returns. The end of the connection is no exception for a read: it returns 0, for a reset too, and <see cref="Error"/> tells them apart.
/// A read may complete at once as well, but only <see cref="ReadsInTurn"/> in a row do, so that a peer that always has more to send leaves
/// others their turn.
/// </summary>
internal abstract class SocketStream : Stream
{
    /// <summary>Reads that may complete at once, one after the other.</summary>
    protected const int ReadsInTurn = 4;

    private byte[]? _unread;
    private SocketError _sendError;

    /// <param name="socket">Connected.</param>
    protected SocketStream(Socket socket)
    {
        Socket = socket;
        socket.Blocking = false;
    }

    /// <summary>
    /// Why a read returned 0: <see cref="SocketError.Success"/> for FIN. The kernel tells a reset once, and it may have told the sender.
    /// </summary>
    public SocketError Error => ReceiveError == SocketError.Success ? _sendError : ReceiveError;

    /// <summary>Bytes that the kernel has and nobody has read yet.</summary>
    public int UnreadBytes
    {
        get
        {
            try
            {
                return Socket.Available;
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return 0; // gone: nothing will be read from it
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
                return TcpInfo.Read(info[..Socket.GetRawSocketOption(ipProtoTcp, tcpInfo, info)]);
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return null; // gone, or a sandbox that does not allow the question
            }
        }
    }

    public Socket Socket { get; }

    /// <summary>Whether others that are ready, too, come first.</summary>
    public bool IsLowPriority { get; set; }

    public override bool CanRead => true;
    public override bool CanWrite => true;
    public override bool CanSeek => false;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    /// <summary>Gives bytes back that were read too early: they come first.</summary>
    public void Unread(byte[] bytes) => _unread = bytes;

    /// <summary>Calls when there is something to read, or an end: on the thread that serves this socket, unless it was closed by another.</summary>
    /// <exception cref="IOException">The kernel has no room for it.</exception>
    public abstract void WhenReadable(Action ready);

    /// <summary>Lets go of a socket that somebody else is going to close. Nothing may wait for it.</summary>
    public virtual void StopWaiting()
    {
    }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_unread is null)
            return ReceiveAsync(buffer);

        int count = Math.Min(buffer.Length, _unread.Length);
        _unread.AsSpan(0, count).CopyTo(buffer.Span);
        _unread = count < _unread.Length ? _unread[count..] : null;
        return new(count);
    }

    /// <summary>Sends a little, which the socket takes at once unless its peer does not read at all.</summary>
    /// <exception cref="IOException">It did not, or the connection is lost.</exception>
    public void Send(ReadOnlySpan<byte> bytes)
    {
        try
        {
            if (TrySend(bytes) < bytes.Length)
                throw new IOException("the client does not read");
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            throw Failed(e);
        }
    }

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        try
        {
            int sent = Socket.Send(buffer.Span, SocketFlags.None, out SocketError error);
            return error switch
            {
                SocketError.Success when sent == buffer.Length => default,
                SocketError.Success or SocketError.WouldBlock => SendWaitingAsync(buffer[sent..]),
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
            Socket.Shutdown(SocketShutdown.Send);
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
            Socket.LingerState = new LingerOption(true, 0);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Gone already: then there is nothing to drop.
        }
        CloseSocket();
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public override void Flush() { }
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            CloseSocket();
        base.Dispose(disposing);
    }

    /// <summary>Receives into the buffer; 0 is the end, with <see cref="ReceiveError"/>.</summary>
    protected abstract ValueTask<int> ReceiveAsync(Memory<byte> buffer);

    /// <summary>Why the last receive was the end.</summary>
    protected abstract SocketError ReceiveError { get; }

    /// <summary>Sends what the socket did not take at once, when it does.</summary>
    /// <exception cref="SocketException">The connection is lost.</exception>
    /// <exception cref="ObjectDisposedException">The socket was closed meanwhile.</exception>
    protected abstract ValueTask SendRestAsync(ReadOnlyMemory<byte> rest);

    /// <summary>Closes the socket and ends what waits for it. May be called more than once.</summary>
    protected abstract void CloseSocket();

    /// <summary>Sends what the socket takes without waiting.</summary>
    /// <returns>The bytes sent.</returns>
    /// <exception cref="SocketException">The connection is lost.</exception>
    protected int TrySend(ReadOnlySpan<byte> bytes)
    {
        int sent = Socket.Send(bytes, SocketFlags.None, out SocketError error);
        return error is SocketError.Success or SocketError.WouldBlock ? sent : throw new SocketException((int)error);
    }

    private async ValueTask SendWaitingAsync(ReadOnlyMemory<byte> rest)
    {
        try
        {
            await SendRestAsync(rest);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            _sendError = (e as SocketException)?.SocketErrorCode ?? SocketError.OperationAborted;
            throw Failed(e);
        }
    }

    private static IOException Failed(Exception e) => new(e.Message, e);
}
