using System.Net;
using System.Net.Sockets;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Engine;

/// <summary>
/// A connected TCP socket. A write is tried at once and without waiting: the usual one completes before the call returns. A read may complete at
/// once, too, but only <see cref="ReadsInTurn"/> in a row do, so that a peer that always has more to send leaves others their turn.
/// </summary>
internal abstract class SocketTransport : Transport
{
    /// <summary>Reads that may complete at once, one after the other.</summary>
    protected const int ReadsInTurn = 4;

    private byte[]? _unread;
    private SocketError _sendError;
    private bool _sending;

    /// <param name="socket">Connected.</param>
    protected SocketTransport(Socket socket)
    {
        Socket = socket;
        socket.Blocking = false;
    }

    /// <inheritdoc/>
    /// <remarks>
    /// The kernel tells a reset once, and it may tell the sender: then the read finds a mere end. A send that is under way on another thread at
    /// this moment has not told yet; it does not block, so this call waits for it.
    /// </remarks>
    public override SocketError Error
    {
        get
        {
            if (ReceiveError != SocketError.Success)
                return ReceiveError;
            var spin = new SpinWait();
            while (Volatile.Read(ref _sending))
                spin.SpinOnce(sleep1Threshold: -1);
            return _sendError;
        }
    }

    public override int UnreadBytes
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

    public override TcpInfo? Tcp
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

    /// <summary>Gives bytes back that were read too early: they come first.</summary>
    public void Unread(byte[] bytes) => _unread = bytes;

    /// <summary>Calls when there is something to read, or an end: on the thread that serves this socket, unless it was closed by another.</summary>
    /// <exception cref="IOException">The kernel has no room for it.</exception>
    public abstract void WhenReadable(Action ready);

    /// <summary>Lets go of a socket that somebody else is going to close. No read or write may be in progress.</summary>
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
        Volatile.Write(ref _sending, true);
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
        finally
        {
            Volatile.Write(ref _sending, false);
        }
    }

    public override void ShutdownSend()
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

    public override void Abort()
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
