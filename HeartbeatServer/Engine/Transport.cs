using System.Net.Sockets;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Engine;

/// <summary>
/// The bytes of one TCP connection in both directions, and what the kernel knows of the connection. Disposing of the transport closes the connection.
/// A read returns 0 at the end, also after a reset; <see cref="Error"/> then tells FIN from RST.
/// </summary>
internal abstract class Transport : DuplexStream
{
    /// <summary>What a read returns that <see cref="CancelRead"/> has ended.</summary>
    public const int Cancelled = -1;

    /// <summary>Why a read returned 0. <see cref="SocketError.Success"/> means that the peer has sent FIN.</summary>
    public abstract SocketError Error { get; }

    /// <summary>How many bytes the kernel has received that nobody has read yet; 0 where the kernel cannot be asked.</summary>
    public abstract int UnreadBytes { get; }

    /// <summary>
    /// How many bytes have come from the peer in all, where a read may have to wait although some have come: a TLS record is read only when it is whole. Else 0.
    /// </summary>
    public virtual long Arrived => 0;

    /// <summary>What the kernel knows of the connection; null where it cannot be asked.</summary>
    public abstract TcpInfo? Tcp { get; }

    /// <summary>
    /// Waits until there are bytes to read or the connection has ended, without a buffer. <see cref="TryRead"/> then tells which. The result means
    /// nothing, unless it is <see cref="Cancelled"/>.
    /// </summary>
    /// <param name="isBusy">Whether the peer had still more to send when its last turn was over. Then the other connections are served first.</param>
    /// <exception cref="IOException">The kernel has no room to watch the socket.</exception>
    public abstract ValueTask<int> WaitReadableAsync(bool isBusy);

    /// <summary>Receives without waiting. Only one read or wait may be in progress.</summary>
    /// <returns>The number of bytes received; 0 for the end; -1 if there is nothing yet.</returns>
    public abstract int TryRead(Memory<byte> buffer);

    /// <summary>Sends FIN. Reading goes on.</summary>
    public abstract void ShutdownSend();

    /// <summary>Closes the connection at once with RST. The kernel drops the bytes that it has not sent. A read in progress returns 0.</summary>
    public abstract void Abort();

    /// <summary>
    /// Ends the read or wait in progress, so that its buffer is free; if there is none, the next that would wait. It returns <see cref="Cancelled"/>, on another
    /// thread than this one. The connection goes on. Where the system cannot end a read, this is <see cref="Abort"/>.
    /// </summary>
    public abstract void CancelRead();
}
