using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Net.Sockets;
using System.Runtime.Versioning;
using HeartbeatServer.Engine;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Relay;

/// <summary>
/// A connection to the application, as HttpClient sees it. An application may answer before it has read the whole body of a request, 413 say, and HttpClient
/// reads the answer only when it believes that the body has left.
/// </summary>
/// <remarks>
/// So while a write of the body waits, a part of the answer is read ahead: an application that waits until its answer is taken goes on to read the body. It may
/// also close, or read no more. Then the first write that waits fails, and those after it go nowhere, and HttpClient reads the answer.
/// </remarks>
/// <param name="inner">The connection, with TLS on it or without. The stream owns it.</param>
/// <param name="page">The page whose connection it is.</param>
[SupportedOSPlatform("linux")]
[SuppressMessage("Usage", "CA2213", Justification = "The semaphore and the token source hold nothing, and a read may still end with them.")]
internal sealed class UpstreamStream(Stream inner, Page page) : DuplexStream
{
    /// <summary>So much of an answer is read ahead, in bytes.</summary>
    public const int MostAhead = 256 * 1024;

    private readonly SemaphoreSlim _turn = new(1);
    private readonly CancellationTokenSource _ends = new();

    // The page's threads write and read, and the loop's thread looks. The lock guards these fields.
    private readonly Lock _gate = new();
    private readonly SendProgress _progress = new();
    private volatile bool _isWaiting;
    private bool _isReadingAhead;
    private bool _isDisposed;

    // What was read ahead: how much in all, and how much of it has been taken. While the next piece is filled in, the array stays.
    private byte[]? _ahead;
    private IDisposable? _hold;
    private int _count;
    private int _taken;
    private bool _isFilling;

    // Whoever has the turn to read sets these.
    private bool _isAtEnd;
    private Exception? _failure;

    private volatile bool _isDeaf;
    private bool _hasRead;

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (!TryTake(buffer.Span, out int count))
        {
            await _turn.WaitAsync(cancellationToken);
            try
            {
                if (!TryTake(buffer.Span, out count))
                    count = _failure is { } failure ? throw new IOException(failure.Message, failure) : await inner.ReadAsync(buffer, cancellationToken);
            }
            finally
            {
                _turn.Release();
            }
        }
        if (count == 0 && buffer.Length > 0 && !_hasRead)
            throw UpstreamException.BadAnswer("the connection ended without one");
        _hasRead |= count > 0;
        return count;
    }

    /// <remarks>HttpClient gives up a write by disposing of the stream.</remarks>
    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_isDeaf)
            return;
        try
        {
            ValueTask write = inner.WriteAsync(buffer, _ends.Token);
            if (write.IsCompleted)
                await write;
            else
                await WaitAsync(write);
        }
        catch (IOException)
        {
            _isDeaf = true;
            throw;
        }
        catch (OperationCanceledException e)
        {
            _isDeaf = true;
            throw new IOException("the application takes no more of the body", e);
        }
    }

    public override Task FlushAsync(CancellationToken cancellationToken) => _isDeaf ? Task.CompletedTask : inner.FlushAsync(cancellationToken);

    /// <summary>
    /// Ends a body of which the application has taken no byte for too long. If it has answered, and does not wait until more of its answer is taken, it gets FIN, and
    /// the client the answer.
    /// </summary>
    /// <param name="leg">The connection.</param>
    /// <param name="tcp">What the kernel knows of it; null where it cannot be asked.</param>
    /// <param name="now">The present time.</param>
    /// <param name="stall">How late the server is with this look.</param>
    /// <param name="patience">How long the application may take nothing.</param>
    /// <returns>Why the page fails; null if it goes on.</returns>
    public Refusal? Look(Socket leg, in TcpInfo? tcp, TimeSpan now, TimeSpan stall, TimeSpan patience)
    {
        int ahead;
        lock (_gate)
        {
            if (!_isWaiting)
                return null;
            ahead = _count;
            _progress.Forgive(stall);
            if (tcp is { } known)
                _progress.Look(known, now);
            if (now - _progress.LastMove < patience)
                return null;
        }
        if (ahead is 0 or MostAhead)
            return Refusals.NotTaken(patience, isAnswering: ahead > 0);
        try
        {
            leg.Shutdown(SocketShutdown.Send);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The connection is gone already, and the write ends by that.
        }
        _ = _ends.CancelAsync(); // what it cancels must not run on the thread of an event loop
        return null;
    }

    protected override void Dispose(bool disposing)
    {
        IDisposable? hold;
        lock (_gate)
            (_isDisposed, hold, _hold) = (true, _hold, null);
        hold?.Dispose();
        if (disposing)
            inner.Dispose();
        base.Dispose(disposing);
    }

    /// <summary>Waits for a write to the application.</summary>
    private async Task WaitAsync(ValueTask write)
    {
        bool begins;
        lock (_gate)
        {
            _progress.Begin(page.Now);
            _isWaiting = true;
            begins = !_isReadingAhead;
            _isReadingAhead = true;
        }
        if (begins)
            _ = ReadAheadAsync();
        page.WatchClient();
        try
        {
            using (page.Hold(PageBody.PieceSize))
                await write;
        }
        finally
        {
            lock (_gate)
                _isWaiting = false;
        }
    }

    private async Task ReadAheadAsync()
    {
        while (GoesOn())
        {
            await _turn.WaitAsync();
            try
            {
                // A read of no byte waits without a buffer.
                if (await inner.ReadAsync(Memory<byte>.Empty) == 0 && _isWaiting)
                    await ReadPieceAsync();
            }
#pragma warning disable CA1031 // Whoever reads next gets it.
            catch (Exception e)
#pragma warning restore CA1031
            {
                (_failure, _isAtEnd) = (e, true);
            }
            finally
            {
                _turn.Release();
            }
        }
    }

    /// <summary>Whether there is more to read ahead. If not, the next write that waits begins anew.</summary>
    private bool GoesOn()
    {
        lock (_gate)
            return _isReadingAhead = _isWaiting && !_isAtEnd && _count < MostAhead;
    }

    private async ValueTask ReadPieceAsync()
    {
        Memory<byte> room = Room();
        if (room.IsEmpty)
        {
            byte[] array = ArrayPool<byte>.Shared.Rent(MostAhead);
            IDisposable? hold = page.Hold(array.Length);
            lock (_gate)
            {
                _ahead = array;
                if (!_isDisposed)
                    (_hold, hold) = (hold, null);
            }
            hold?.Dispose();
            room = Room();
        }
        int count = 0;
        try
        {
            count = await inner.ReadAsync(room);
            _isAtEnd = count == 0;
        }
        finally
        {
            IDisposable? hold;
            lock (_gate)
            {
                _isFilling = false;
                _count += count;
                hold = EndIfTaken();
            }
            hold?.Dispose();
        }
    }

    /// <summary>Begins to fill in a piece.</summary>
    /// <returns>The room for it; empty if there is no array.</returns>
    private Memory<byte> Room()
    {
        lock (_gate)
        {
            _isFilling = _ahead is not null;
            return _ahead.AsMemory(_count, _isFilling ? MostAhead - _count : 0);
        }
    }

    /// <summary>Takes bytes that were read ahead.</summary>
    /// <returns>False if there are none.</returns>
    private bool TryTake(Span<byte> buffer, out int count)
    {
        IDisposable? hold;
        lock (_gate)
        {
            count = Math.Min(buffer.Length, _count - _taken);
            if (_count == _taken)
                return false;
            _ahead.AsSpan(_taken, count).CopyTo(buffer);
            _taken += count;
            hold = EndIfTaken();
        }
        hold?.Dispose();
        return true;
    }

    /// <summary>Gives the array back, if nothing is in it and nothing comes into it. The caller holds the lock.</summary>
    /// <returns>What counts it, to be disposed of behind the lock.</returns>
    private IDisposable? EndIfTaken()
    {
        if (_taken < _count || _isFilling || _ahead is null)
            return null;
        IDisposable? hold = _hold;
        ArrayPool<byte>.Shared.Return(_ahead);
        (_ahead, _hold, _taken, _count) = (null, null, 0, 0);
        return hold;
    }
}
