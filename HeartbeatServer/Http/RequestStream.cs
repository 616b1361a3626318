using System.Diagnostics.CodeAnalysis;
using System.Net.Sockets;
using HeartbeatServer.Engine;

namespace HeartbeatServer.Http;

/// <summary>
/// The stream from which HttpListener reads a request and to which it writes the response, in place of a NetworkStream. The server has read and
/// checked the request before, so each read here completes before the call returns.
/// </summary>
/// <param name="transport">The transport of the accepted socket. The stream owns it until somebody takes it.</param>
/// <param name="socket">The accepted socket, for HttpListener.</param>
/// <param name="head">The bytes that HttpListener is to read.</param>
[SuppressMessage("Usage", "CA2213", Justification = "Disposed of by Dispose, if nobody has taken it.")]
internal sealed class RequestStream(SocketTransport transport, Socket socket, byte[] head) : Stream
{
    private SocketTransport? _transport = transport;
    private int _read;

    public Socket Socket => socket;

    /// <summary>Whether HttpListener has tried to read more than the whole head. That read never completes.</summary>
    public bool IsAskedForMore { get; private set; }

    public override bool CanRead => true;
    public override bool CanWrite => true;
    public override bool CanSeek => false;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    private SocketTransport Transport => _transport ?? throw new IOException("the connection was closed");

    /// <summary>Gives the transport to the caller, who owns it from here on; null if it was taken or disposed of before.</summary>
    public SocketTransport? Take() => Interlocked.Exchange(ref _transport, null);

    /// <inheritdoc cref="SocketTransport.StopWaiting"/>
    public void StopWaiting() => _transport?.StopWaiting();

    public override IAsyncResult BeginRead(byte[] buffer, int offset, int count, AsyncCallback? callback, object? state)
    {
        // A read without a callback comes when HttpListener wants to skip the rest of a body, and would block this thread. So the read fails.
        if (callback is null)
            return TaskToAsyncResult.Begin(Task.FromException<int>(new IOException("nobody reads the rest of a request")), null, state);
        if (_read == head.Length)
        {
            IsAskedForMore = true;
            return new TaskCompletionSource<int>(state).Task;
        }
        int part = Math.Min(count, head.Length - _read);
        head.AsSpan(_read, part).CopyTo(buffer.AsSpan(offset));
        _read += part;
        return TaskToAsyncResult.Begin(Task.FromResult(part), callback, state);
    }

    public override int EndRead(IAsyncResult asyncResult) => TaskToAsyncResult.End<int>(asyncResult);

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
        Transport.WriteAsync(buffer, cancellationToken);

    public override IAsyncResult BeginWrite(byte[] buffer, int offset, int count, AsyncCallback? callback, object? state) =>
        TaskToAsyncResult.Begin(WriteAsync(buffer.AsMemory(offset, count)).AsTask(), callback, state);

    public override void EndWrite(IAsyncResult asyncResult) => TaskToAsyncResult.End(asyncResult);

    /// <summary>Sends what HttpListener writes by itself: a short error, or a header without a body.</summary>
    public override void Write(byte[] buffer, int offset, int count) => Transport.Send(buffer.AsSpan(offset, count));

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public override void Flush() { }
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            Take()?.Dispose();
        base.Dispose(disposing);
    }
}
