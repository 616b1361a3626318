using System.Net.Sockets;
using HeartbeatServer.Engine;

namespace HeartbeatServer.Http;

/// <summary>What HttpListener has made of the bytes of a read.</summary>
internal enum ReadOutcome
{
    /// <summary>It wants more.</summary>
    Incomplete,
    /// <summary>It wants more, but has had more than <see cref="RequestStream.MaxRequest"/> bytes. It gets none.</summary>
    TooLong,
    /// <summary>It stumbled over them.</summary>
    Refused,
    /// <summary>It has closed the connection: the client has gone, or was answered by HttpListener itself.</summary>
    Closed,
    /// <summary>The request is there.</summary>
    Complete,
}

/// <summary>
/// What HttpListener reads a request from and writes its response to, in place of a NetworkStream. It waits on an event loop of ours, and keeps what it
/// has read.
/// </summary>
internal sealed class RequestStream : Stream
{
    /// <summary>
    /// In bytes: request line and header. Past it no further read begins. HttpListener, which reads 8 KiB at a time, has a limit of 32 KiB, but not for a
    /// line, and answers 400.
    /// </summary>
    public const int MaxRequest = 24 * 1024;

    /// <summary>In bytes; for a request that comes in pieces.</summary>
    private const int LeastGrowth = 256;

    private readonly Action<ReadOutcome> _afterRead;
    private SocketTransport? _transport;
    private int _begun;
    private int _ended;
    private byte[] _received = [];
    private int _length;

    /// <param name="transport">Of the accepted socket. Owned, until it is taken.</param>
    /// <param name="afterRead">Called on the thread that read, when HttpListener has seen what a read brought.</param>
    public RequestStream(SocketTransport transport, Action<ReadOutcome> afterRead)
    {
        (_transport, Socket, _afterRead) = (transport, transport.Socket, afterRead);
        // A request that does not end must not cost those who are in their beat.
        transport.IsLowPriority = true;
    }

    public Socket Socket { get; }

    /// <summary>Who reads from it; null before there is something to read.</summary>
    public HttpConnection? Reader { get; set; }

    /// <summary>Whether the transport is still here, neither taken nor disposed of.</summary>
    public bool IsOpen => _transport is not null;

    /// <summary>Whether a read is under way, into the buffer of the reader.</summary>
    public bool IsReading => _begun != _ended;

    /// <summary>All that was read, as it came: the head of the request, and what came behind it.</summary>
    public ReadOnlyMemory<byte> Received => _received.AsMemory(0, _length);

    public override bool CanRead => true;
    public override bool CanWrite => true;
    public override bool CanSeek => false;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    private SocketTransport Transport => _transport ?? throw new IOException("the connection was closed");

    private bool IsTooLong => _length > MaxRequest;

    /// <summary>The transport below, which is the caller's from here on; null if it was taken or disposed of.</summary>
    public SocketTransport? Take()
    {
        SocketTransport? transport = Interlocked.Exchange(ref _transport, null);
        if (transport is not null)
            transport.IsLowPriority = false;
        return transport;
    }

    /// <inheritdoc cref="SocketTransport.WhenReadable(Action)"/>
    public void WhenReadable(Action ready) => Transport.WhenReadable(ready);

    /// <inheritdoc cref="SocketTransport.StopWaiting"/>
    public void StopWaiting() => _transport?.StopWaiting();

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        int count = await Transport.ReadAsync(buffer, cancellationToken);
        Keep(buffer.Span[..count]);
        return count;
    }

    public override IAsyncResult BeginRead(byte[] buffer, int offset, int count, AsyncCallback? callback, object? state)
    {
        // HttpListener waits for the rest of a body that it does not want, on this thread, which is to bring it.
        if (callback is null)
            return TaskToAsyncResult.Begin(Task.FromException<int>(new IOException("nobody reads the rest of a request")), null, state);
        int read = ++_begun;
        if (IsTooLong)
            return new TaskCompletionSource<int>(state).Task;
        return TaskToAsyncResult.Begin(ReadAsync(buffer.AsMemory(offset, count)).AsTask(), result => OnEnded(read, callback, result), state);
    }

    public override int EndRead(IAsyncResult asyncResult) => TaskToAsyncResult.End<int>(asyncResult);

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
        Transport.WriteAsync(buffer, cancellationToken);

    public override IAsyncResult BeginWrite(byte[] buffer, int offset, int count, AsyncCallback? callback, object? state) =>
        TaskToAsyncResult.Begin(WriteAsync(buffer.AsMemory(offset, count)).AsTask(), callback, state);

    public override void EndWrite(IAsyncResult asyncResult) => TaskToAsyncResult.End(asyncResult);

    /// <summary>For what HttpListener writes by itself: a short error, or a header without a body.</summary>
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

    private void OnEnded(int read, AsyncCallback callback, IAsyncResult result)
    {
        _ended = read;
        bool hasStumbled = false;
        try
        {
            callback(result);
        }
#pragma warning disable CA1031 // It may throw on its way to a refusal, and would end the process.
        catch (Exception)
#pragma warning restore CA1031
        {
            hasStumbled = true;
        }
        // HttpListener begins the next read inside of its callback. If that one has ended, too, it has told the outcome already.
        if (_ended == read)
            _afterRead(Outcome(hasStumbled));
    }

    private ReadOutcome Outcome(bool hasStumbled) =>
        hasStumbled ? ReadOutcome.Refused
        : Reader?.IsClosed == true ? ReadOutcome.Closed
        : !IsReading ? ReadOutcome.Complete
        : IsTooLong ? ReadOutcome.TooLong
        : ReadOutcome.Incomplete;

    private void Keep(ReadOnlySpan<byte> bytes)
    {
        // The usual request comes in one read, and gets an array of its size.
        if (_length + bytes.Length > _received.Length)
            Array.Resize(ref _received, Math.Max(_length + bytes.Length, _length == 0 ? 0 : Math.Max(2 * _length, LeastGrowth)));
        bytes.CopyTo(_received.AsSpan(_length));
        _length += bytes.Length;
    }
}
