using System.Net;
using System.Net.Sockets;
using HeartbeatServer.Engine;

namespace HeartbeatServer.Http;

/// <summary>What HttpListener reads a request from and writes its response to, in place of a NetworkStream: it waits on an event loop of ours.</summary>
internal sealed class RequestStream : Stream
{
    /// <summary>
    /// In bytes: request line and header. HttpListener, which reads 8 KiB at a time, has a limit of 32 KiB, but not for a line, and answers 400.
    /// </summary>
    public const int MaxRequest = 24 * 1024;

    private readonly Action<bool, Exception?> _afterRead;
    private int _reads;
    private int _bytes;
    private SocketTransport? _stream;

    /// <param name="stream">Of the accepted socket. Owned, until it is taken.</param>
    /// <param name="loop">That serves it.</param>
    /// <param name="afterRead">
    /// Called when HttpListener has seen what a read brought, on the thread that read; told whether it wants more, and over what it stumbled.
    /// </param>
    public RequestStream(SocketTransport stream, EventLoop loop, Action<bool, Exception?> afterRead)
    {
        (_stream, Socket, Loop, _afterRead) = (stream, stream.Socket, loop, afterRead);
        // A request that does not end must not cost those who are in their beat.
        stream.IsLowPriority = true;
    }

    public Socket Socket { get; }

    public EventLoop Loop { get; }

    /// <summary>Whether more than <see cref="MaxRequest"/> was read, and still no end of the request: nothing is read any more.</summary>
    public bool IsTooLong => _bytes > MaxRequest;

    /// <summary>The request that was read from it, when it is complete.</summary>
    public HttpListenerContext? Context { get; set; }

    /// <summary>Whether its own thread has looked for the request: it does not come again.</summary>
    public bool HasLooked { get; set; }

    public override bool CanRead => true;
    public override bool CanWrite => true;
    public override bool CanSeek => false;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    private SocketTransport Inner => _stream ?? throw new IOException("the connection was closed");

    /// <summary>The stream below, which is the caller's from here on; null if it was taken or disposed of.</summary>
    public SocketTransport? Take()
    {
        SocketTransport? stream = Interlocked.Exchange(ref _stream, null);
        if (stream is not null)
            stream.IsLowPriority = false;
        return stream;
    }

    /// <inheritdoc cref="SocketTransport.WhenReadable(Action)"/>
    public void WhenReadable(Action ready) => Inner.WhenReadable(ready);

    /// <inheritdoc cref="SocketTransport.StopWaiting"/>
    public void StopWaiting() => _stream?.StopWaiting();

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        int count = await Inner.ReadAsync(buffer, cancellationToken);
        _bytes += count;
        return count;
    }

    public override IAsyncResult BeginRead(byte[] buffer, int offset, int count, AsyncCallback? callback, object? state)
    {
        // HttpListener waits for the rest of a body that it does not want, on this thread, which is to bring it.
        if (callback is null)
            return TaskToAsyncResult.Begin(Task.FromException<int>(new IOException("nobody reads the rest of a request")), null, state);
        int reads = ++_reads;
        if (IsTooLong)
            return new TaskCompletionSource<int>(state).Task;
        return TaskToAsyncResult.Begin(
            ReadAsync(buffer.AsMemory(offset, count)).AsTask(),
            read =>
            {
                Exception? error = null;
                try
                {
                    callback(read);
                }
#pragma warning disable CA1031 // It has a thrower or two on its way to a refusal, and would end the process.
                catch (Exception e)
#pragma warning restore CA1031
                {
                    error = e;
                }
                _afterRead(_reads != reads, error);
            },
            state);
    }

    public override int EndRead(IAsyncResult asyncResult) => TaskToAsyncResult.End<int>(asyncResult);

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
        Inner.WriteAsync(buffer, cancellationToken);

    public override IAsyncResult BeginWrite(byte[] buffer, int offset, int count, AsyncCallback? callback, object? state) =>
        TaskToAsyncResult.Begin(WriteAsync(buffer.AsMemory(offset, count)).AsTask(), callback, state);

    public override void EndWrite(IAsyncResult asyncResult) => TaskToAsyncResult.End(asyncResult);

    /// <summary>For what HttpListener writes by itself: a short error, or a header without a body.</summary>
    public override void Write(byte[] buffer, int offset, int count) => Inner.Send(buffer.AsSpan(offset, count));

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
