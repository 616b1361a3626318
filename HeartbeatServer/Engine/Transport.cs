using System.Net.Sockets;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Engine;

/// <summary>
/// The bytes of one connection, both ways, and what is known of the connection below them. The stream owns the connection: disposing of one closes
/// the other. A read that returns 0 is the end, after a reset too; <see cref="Error"/> tells FIN from RST.
/// </summary>
internal abstract class Transport : Stream
{
    public sealed override bool CanRead => true;
    public sealed override bool CanWrite => true;
    public sealed override bool CanSeek => false;
    public sealed override long Length => throw new NotSupportedException();
    public sealed override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    /// <summary>Why a read returned 0: <see cref="SocketError.Success"/> for FIN.</summary>
    public abstract SocketError Error { get; }

    /// <summary>Bytes from the peer that the kernel has and nobody has read yet; 0 where the kernel cannot be asked.</summary>
    public abstract int UnreadBytes { get; }

    /// <summary>What the kernel knows of the connection; null where it cannot be asked.</summary>
    public abstract TcpInfo? Tcp { get; }

    /// <summary>Sends FIN; reading goes on.</summary>
    public abstract void ShutdownSend();

    /// <summary>Closes at once with RST: the kernel drops what it has not sent. A read in progress returns 0.</summary>
    public abstract void Abort();

    public sealed override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public sealed override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public sealed override void Flush() { }
    public sealed override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public sealed override void SetLength(long value) => throw new NotSupportedException();
}
