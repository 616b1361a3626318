using System.Net;
using System.Net.Sockets;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Engine;

/// <summary>
/// A connected TCP socket. A write first tries to send without waiting, and most writes complete before the call returns. A read may complete at
/// once, too, but at most <see cref="ReadsInTurn"/> reads in a row do. So a peer that always has more to send leaves others their turn.
/// </summary>
internal abstract class SocketTransport : Transport
{
    /// <summary>How many reads in a row may complete at once.</summary>
    protected const int ReadsInTurn = 4;

    private byte[]? _unread;
    private SocketError _sendError;
    private bool _sending;

    /// <inheritdoc/>
    /// <remarks>
    /// The kernel reports a reset only once. It may report the reset to a send, and then the read sees an ordinary end. So the error of a send
    /// counts here, too. Another thread may be in the middle of a send. A send does not block, so this call waits for its result.
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
                return Available();
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return 0; // the connection is gone, and nothing more can be read
            }
        }
    }

    /// <summary>What the kernel knows of the connection of a socket; null where it cannot be asked.</summary>
    public static TcpInfo? TcpOf(Socket socket) => OperatingSystem.IsLinux() ? TcpHandle.Info(socket.SafeHandle) : null;

    /// <summary>Gives back bytes that were read too early. The next reads get them first.</summary>
    public void Unread(byte[] bytes) => _unread = bytes;

    /// <summary>Whether bytes were given back, and not read again yet.</summary>
    protected bool HasUnread => _unread is not null;

    /// <summary>Stops watching a socket that somebody else is going to close. No read or write may be in progress.</summary>
    public virtual void StopWaiting()
    {
    }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        _unread is null ? ReceiveAsync(buffer) : new(ReadAgain(buffer));

    public override ValueTask<int> WaitReadableAsync(bool isBusy) => _unread is null ? WaitAsync(isBusy) : new(0);

    public override int TryRead(Memory<byte> buffer) => _unread is null ? TryReceive(buffer) : ReadAgain(buffer);

    /// <summary>Sends a few bytes. The socket takes them at once, unless its peer does not read at all.</summary>
    /// <exception cref="IOException">The socket did not take all of them, or the connection is lost.</exception>
    public virtual void Send(ReadOnlySpan<byte> bytes)
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
            int sent = Send(buffer.Span, out SocketError error);
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
            EndSending();
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The connection is gone already. The read in progress reports it.
        }
    }

    public override void Abort()
    {
        try
        {
            ResetOnClose();
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The connection is gone already, so there is nothing to drop.
        }
        CloseSocket();
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            CloseSocket();
        base.Dispose(disposing);
    }

    /// <summary>Sends as many bytes as the socket takes without waiting.</summary>
    /// <inheritdoc cref="Receive"/>
    protected abstract int Send(ReadOnlySpan<byte> bytes, out SocketError error);

    /// <summary>Receives what is there.</summary>
    /// <returns>The number of bytes. With an error it is 0.</returns>
    /// <exception cref="ObjectDisposedException">The socket is closed.</exception>
    protected abstract int Receive(Span<byte> buffer, out SocketError error);

    /// <summary>How many bytes could be received.</summary>
    /// <inheritdoc cref="EndSending"/>
    protected abstract int Available();

    /// <summary>Sends FIN.</summary>
    /// <exception cref="ObjectDisposedException">The socket is closed.</exception>
    /// <exception cref="SocketException">The connection is gone.</exception>
    protected abstract void EndSending();

    /// <summary>Lets the close send RST, and drop what was not sent.</summary>
    /// <inheritdoc cref="EndSending"/>
    protected abstract void ResetOnClose();

    /// <summary>Receives into the buffer. The result is the number of bytes; 0 is the end, and <see cref="ReceiveError"/> says why.</summary>
    protected abstract ValueTask<int> ReceiveAsync(Memory<byte> buffer);

    /// <inheritdoc cref="Transport.WaitReadableAsync"/>
    protected abstract ValueTask<int> WaitAsync(bool isBusy);

    /// <summary>Why the last receive returned 0.</summary>
    protected SocketError ReceiveError { get; set; }

    /// <summary>Sends the bytes that the socket did not take at once, as soon as it takes more.</summary>
    /// <exception cref="SocketException">The connection is lost.</exception>
    /// <exception cref="ObjectDisposedException">The socket was closed meanwhile.</exception>
    protected abstract ValueTask SendRestAsync(ReadOnlyMemory<byte> rest);

    /// <summary>Closes the socket, and ends the read and the write that wait for it. May be called more than once.</summary>
    protected abstract void CloseSocket();

    /// <summary>Sends as many bytes as the socket takes without waiting.</summary>
    /// <returns>The number of bytes sent.</returns>
    /// <exception cref="SocketException">The connection is lost.</exception>
    protected int TrySend(ReadOnlySpan<byte> bytes)
    {
        int sent = Send(bytes, out SocketError error);
        return error is SocketError.Success or SocketError.WouldBlock ? sent : throw new SocketException((int)error);
    }

    /// <returns>The number of bytes received; 0 for the end of the stream; -1 if there is nothing yet.</returns>
    protected int TryReceive(Memory<byte> buffer)
    {
        try
        {
            int count = Receive(buffer.Span, out SocketError error);
            return error switch
            {
                SocketError.Success => count,
                SocketError.WouldBlock => -1,
                _ => End(error),
            };
        }
        catch (ObjectDisposedException)
        {
            return End(SocketError.OperationAborted);
        }
    }

    /// <returns>What a read returns at the end.</returns>
    protected int End(SocketError error)
    {
        ReceiveError = error;
        return 0;
    }

    /// <summary>Reads bytes that were given back.</summary>
    protected int ReadAgain(Memory<byte> buffer)
    {
        int count = Math.Min(buffer.Length, _unread!.Length);
        _unread.AsSpan(0, count).CopyTo(buffer.Span);
        _unread = count < _unread.Length ? _unread[count..] : null;
        return count;
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
