using System.Diagnostics.CodeAnalysis;
using System.Net.Security;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.Versioning;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Engine;

/// <summary>
/// A socket whose bytes are TLS records. Reads and writes are those of the content. <see cref="SslStream"/> makes it of the records, on the thread of the
/// event loop, and it reads and writes them as <see cref="EpollTransport"/> does.
/// </summary>
/// <remarks>
/// SslStream knows no read that does not wait. So each wait here is a read of SslStream without a buffer: the step. It lends no memory as long as nothing
/// comes, and it is over when content has been decrypted, or the end has come. The next read then completes at once. The first step of a server is the
/// handshake. docs/decisions/0014 says why it runs here.
/// </remarks>
[SupportedOSPlatform("linux")]
[SuppressMessage("Reliability", "CA2012", Justification = "Each ValueTask gives its awaiter away, and is not used again.")]
[SuppressMessage("Usage", "CA2213", Justification = "CloseSocket disposes of SslStream.")]
internal sealed class TlsTransport : EpollTransport
{
    /// <summary>The first byte of a client that speaks TLS: the type of a record with a handshake message (RFC 8446 section 5.1).</summary>
    private const byte HandshakeRecord = 22;

    /// <summary>What a write says that SslStream does not begin.</summary>
    private const string Closed = "TLS: the connection is closed, or its sending half, or another thread is closing it";

    private readonly Func<SslStream, Task> _authenticate;
    private readonly SslStream _tls;
    private readonly ContentWait _content = new();
    private readonly Action _onStep;
    private ConfiguredValueTaskAwaitable<int>.ConfiguredValueTaskAwaiter _step;

    /// <summary>The first byte of a client, once it has come: 0 if the client has gone before.</summary>
    private byte? _first;

    /// <summary>Why the last step failed; null if it did not.</summary>
    private Exception? _failure;
    private long _arrived;
    private bool _filled;
    private bool _hasEnded;
    private volatile bool _isWriting;

    /// <param name="socket">A connected socket, which no other epoll instance watches.</param>
    /// <param name="epoll">The instance that is to watch the socket.</param>
    /// <param name="authenticate">Begins the handshake of the server or of the client.</param>
    public TlsTransport(Socket socket, Epoll epoll, Func<SslStream, Task> authenticate)
        : base(socket, epoll)
    {
        (_authenticate, _onStep) = (authenticate, OnStep);
        _tls = new SslStream(new Records(this));
    }

    /// <summary>Whether the handshake is done.</summary>
    public bool IsOpen { get; private set; }

    /// <summary>Whether the client has begun with something else than TLS. It is read and answered as it is, in plain.</summary>
    public bool IsPlain { get; private set; }

    public override long Arrived => Volatile.Read(ref _arrived);

    /// <summary>Does the handshake of a client. A server's is done by its first read.</summary>
    /// <exception cref="TlsHandshakeException">The peers do not agree, or the server's certificate is no good.</exception>
    /// <exception cref="IOException">The connection is lost.</exception>
    public async Task AuthenticateAsync()
    {
        bool wasLow = IsLowPriority;
        IsLowPriority = true; // a handshake takes a hundred times as long as a message
        try
        {
            await _authenticate(_tls);
            IsOpen = true;
        }
#pragma warning disable CA1031 // SslStream throws many kinds. Whoever began the handshake gets them as one.
        catch (Exception e) when (e.GetBaseException() is not SocketException)
#pragma warning restore CA1031
        {
            throw _content.IsClosed ? new IOException(e.Message, new ObjectDisposedException(nameof(TlsTransport))) : new TlsHandshakeException(e);
        }
        finally
        {
            IsLowPriority = wasLow;
        }
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        int count;
        while ((count = TryRead(buffer)) < 0)
            await WaitReadableAsync(isBusy: false);
        return count;
    }

    public override ValueTask<int> WaitReadableAsync(bool isBusy)
    {
        if (IsPlain)
            return base.WaitReadableAsync(isBusy);
        return HasUnread || Step() ? new(0) : _content.WaitAsync();
    }

    /// <inheritdoc/>
    /// <remarks>A server begins with this. So the handshake, too, runs on the thread that serves this socket.</remarks>
    public override void WhenReadable(Action ready)
    {
        if (IsPlain || _first is null)
        {
            base.WhenReadable(IsPlain ? ready : () => OnFirst(ready));
            return;
        }
        if (HasUnread || Step() || !_content.TryWait(ready))
            ready();
    }

    public override int TryRead(Memory<byte> buffer)
    {
        if (IsPlain || HasUnread)
            return IsPlain ? base.TryRead(buffer) : ReadAgain(buffer);
        if (!Step())
            return -1;
        if (_failure is { } failure)
            return Ended(failure);
        try
        {
            ValueTaskAwaiter<int> read = _tls.ReadAsync(buffer).GetAwaiter();
            int count = read.IsCompleted ? read.GetResult() : throw new InvalidOperationException("SslStream waits although it has content");
            _content.OnRead(isEnd: count == 0);
            return count;
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            return Ended(_failure = e);
        }
    }

    public override void CancelRead() => _content.Cancel();

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        _isWriting = true;
        try
        {
            await _tls.WriteAsync(buffer, CancellationToken.None);
        }
        catch (Exception e) when (e is ObjectDisposedException or InvalidOperationException or NotSupportedException)
        {
            throw new IOException(Closed, e);
        }
        finally
        {
            _isWriting = false;
        }
    }

    /// <inheritdoc/>
    /// <remarks>Before the handshake nothing can be said to a client, unless it speaks no TLS.</remarks>
    public override void Send(ReadOnlySpan<byte> bytes)
    {
        if (IsPlain)
        {
            base.Send(bytes);
            return;
        }
        try
        {
            _tls.Write(bytes);
        }
        catch (Exception e) when (e is ObjectDisposedException or InvalidOperationException)
        {
            throw new IOException(Closed, e);
        }
    }

    /// <summary>Sends close_notify (RFC 8446 section 6.1) and FIN. Reading goes on.</summary>
    public override void ShutdownSend() => _ = ShutdownAsync();

    /// <summary>Sends close_notify, unless a write is in progress: it may have left half a record, and nothing can follow that.</summary>
    public async Task NotifyCloseAsync()
    {
        if (!IsOpen || _isWriting || _content.IsClosed)
            return;
        try
        {
            await _tls.ShutdownAsync();
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException or InvalidOperationException or NotSupportedException)
        {
            // The connection is gone already, or it was said before, or another thread has begun a write.
        }
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _ = NotifyCloseAsync();
        base.Dispose(disposing);
    }

    protected override void CloseSocket()
    {
        _content.Close();
        base.CloseSocket(); // the step in progress ends, and so does the wait for it
        _tls.Dispose();
    }

    private async Task ShutdownAsync()
    {
        await NotifyCloseAsync();
        base.ShutdownSend();
    }

    /// <summary>Begins a step, if none is in progress and nothing can be read.</summary>
    /// <returns>Whether a read would complete at once.</returns>
    private bool Step()
    {
        if (!_content.TryBeginStep(out bool isReadable))
            return isReadable;
        try
        {
            _step = (IsOpen ? _tls.ReadAsync(Memory<byte>.Empty) : OpenAsync()).ConfigureAwait(false).GetAwaiter();
        }
        catch (ObjectDisposedException e)
        {
            EndStep(e);
            return true;
        }
        if (!_step.IsCompleted)
        {
            _step.UnsafeOnCompleted(_onStep);
            return false;
        }
        OnStep();
        return true;
    }

    private void OnStep()
    {
        Exception? failure = null;
        try
        {
            _step.GetResult();
        }
#pragma warning disable CA1031 // Whoever reads next gets it.
        catch (Exception e)
#pragma warning restore CA1031
        {
            failure = e;
        }
        EndStep(failure);
    }

    private void EndStep(Exception? failure)
    {
        _failure = failure;
        _content.EndStep();
    }

    /// <summary>Looks whether the client begins with TLS, and goes on to wait for its content.</summary>
    private void OnFirst(Action ready)
    {
        if (!TryPeek(out _first))
        {
            WhenReadable(ready);
            return;
        }
        IsPlain = _first != HandshakeRecord;
        if (IsPlain)
            ready();
        else
            WhenReadable(ready);
    }

    /// <summary>Looks at the next byte, and leaves it to the kernel.</summary>
    /// <param name="first">The byte; 0 if the connection has ended, null if nothing has come after all.</param>
    private bool TryPeek([NotNullWhen(true)] out byte? first)
    {
        Span<byte> one = [0];
        SocketError error = SocketError.Success;
        try
        {
            LookAt(one, out error);
        }
        catch (ObjectDisposedException)
        {
            // It was closed meanwhile. The next read says so.
        }
        first = error == SocketError.WouldBlock ? null : one[0];
        return first is not null;
    }

    /// <summary>The first step of a server.</summary>
    private async ValueTask<int> OpenAsync()
    {
        await AuthenticateAsync();
        return await _tls.ReadAsync(Memory<byte>.Empty);
    }

    /// <returns>0, if the failure is the end of the connection. <see cref="Transport.Error"/> says how it has ended.</returns>
    /// <exception cref="TlsHandshakeException">The handshake has failed.</exception>
    /// <exception cref="IOException">A record was no good.</exception>
    private int Ended(Exception failure)
    {
        if (_content.IsClosed)
            return End(SocketError.OperationAborted);
        if (!IsOpen)
            throw failure is TlsHandshakeException ? failure : new TlsHandshakeException(failure);
        // The peer's end may stand in the middle of a record. That is its end all the same.
        return _hasEnded ? 0 : throw new IOException($"TLS: {TlsFailure.ByRecord(failure)}", failure);
    }

    /// <summary>Receives records, or waits for them without a buffer.</summary>
    private ValueTask<int> ReceiveRecordsAsync(Memory<byte> buffer)
    {
        if (buffer.IsEmpty)
            return WaitAsync(_filled);
        ValueTask<int> receive = ReceiveAsync(buffer);
        return receive.IsCompletedSuccessfully ? new(Received(receive.Result, buffer.Length)) : LaterAsync(receive, buffer.Length);

        async ValueTask<int> LaterAsync(ValueTask<int> later, int room) => Received(await later, room);
    }

    private int Received(int count, int room)
    {
        Volatile.Write(ref _arrived, _arrived + count);
        _filled = count == room;
        _hasEnded |= count == 0;
        return count;
    }

    private ValueTask SendRecordsAsync(ReadOnlyMemory<byte> records) => base.WriteAsync(records);

    private void SendRecords(ReadOnlySpan<byte> records) => base.Send(records);

    /// <summary>The stream below SslStream.</summary>
    [SuppressMessage("Performance", "CA1844", Justification = "SslStream reads and writes memory.")]
    private sealed class Records(TlsTransport transport) : DuplexStream
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => transport.ReceiveRecordsAsync(buffer);

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
            transport.SendRecordsAsync(buffer);

        public override void Write(ReadOnlySpan<byte> buffer) => transport.SendRecords(buffer);
        public override void Write(byte[] buffer, int offset, int count) => transport.SendRecords(buffer.AsSpan(offset, count));
    }
}
