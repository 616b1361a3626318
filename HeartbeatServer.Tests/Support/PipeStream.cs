using System.Net.Sockets;
using HeartbeatServer.Engine;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;


namespace HeartbeatServer.Tests.Support;

/// <summary>
/// A connection in memory. The code under test has the stream, and the test is the client. The code under test handles the client's bytes before
/// <see cref="Send"/> returns, unless the reader yields its turn.
/// </summary>
internal sealed class PipeStream : Transport
{
    private readonly Lock _gate = new();
    private readonly Watch _watch = new();
    private readonly List<byte> _incoming = [];
    private readonly List<byte[]> _writes = [];
    private readonly List<(ReadOnlyMemory<byte> Bytes, TaskCompletionSource Done)> _held = [];
    private TaskCompletionSource<int>? _read;
    private Memory<byte> _target;
    private Exception? _readError;
    private bool _fin;
    private bool _holding;
    private bool _isCancelled;

    /// <summary>The failure of the next writes, if there is to be one. The task of the write has it, or the call itself throws it.</summary>
    public Exception? WriteError { get; set; }

    /// <summary>Whether the call of a write itself throws <see cref="WriteError"/>.</summary>
    public bool ThrowsAtOnce { get; set; }

    public int Disposals { get; private set; }

    /// <summary>Whether the server has sent FIN.</summary>
    public bool IsHalfClosed { get; private set; }

    public override SocketError Error => SocketError.Success;

    public override int UnreadBytes => 0;

    public override long Arrived => Records;

    /// <summary>How many bytes are to have come that may be part of something which cannot be read yet.</summary>
    public long Records { get; set; }

    public override TcpInfo? Tcp => Kernel;

    /// <summary>The figures that the kernel is to report of the connection.</summary>
    public TcpInfo? Kernel { get; set; }

    /// <summary>Whether a second write began before the first was done.</summary>
    public bool WritesOverlapped { get; private set; }

    /// <summary>Whether somebody waits for bytes.</summary>
    public bool IsReading
    {
        get
        {
            lock (_gate)
                return _read is not null;
        }
    }

    /// <summary>How many bytes the read in progress, or the last one, has room for.</summary>
    public int RoomOfRead => _target.Length;

    public bool IsWriting
    {
        get
        {
            lock (_gate)
                return _held.Count > 0;
        }
    }

    /// <summary>What was written, one array for each write.</summary>
    public IReadOnlyList<byte[]> Writes
    {
        get
        {
            lock (_gate)
                return [.. _writes];
        }
    }

    /// <summary>The whole frames among what was written.</summary>
    public IReadOnlyList<ServerFrame> Frames
    {
        get
        {
            ReadOnlySpan<byte> rest = Writes.SelectMany(write => write).ToArray();
            var frames = new List<ServerFrame>();
            while (ServerFrame.Parse(rest, out ServerFrame? frame) is > 0 and int size)
            {
                frames.Add(frame!);
                rest = rest[size..];
            }
            return frames;
        }
    }

    public override void ShutdownSend() => IsHalfClosed = true;

    public override void Abort() => Dispose();

    public override void CancelRead()
    {
        TaskCompletionSource<int>? read;
        lock (_gate)
        {
            (read, _read) = (_read, null);
            _isCancelled = read is null;
        }
        if (read is not null)
            ThreadPool.UnsafeQueueUserWorkItem(static read => read.SetResult(Cancelled), read, preferLocal: false);
    }

    /// <summary>The client sends bytes, which the server gets in one receive if it has room.</summary>
    public void Send(params byte[][] parts) => Deliver(() => _incoming.AddRange(parts.SelectMany(part => part)));

    /// <summary>The client sends FIN.</summary>
    public void SendFin() => Deliver(() => _fin = true);

    /// <summary>The next read fails.</summary>
    public void FailRead(Exception error) => Deliver(() => _readError = error);

    /// <summary>From now on the client does not read.</summary>
    public void HoldWrites()
    {
        lock (_gate)
            _holding = true;
    }

    /// <summary>The client reads again: the bytes that wait, and those that come later.</summary>
    public void ReleaseWrites()
    {
        lock (_gate)
            _holding = false;
        while (ReleaseWrite()) { }
    }

    /// <summary>The client reads the bytes of one write.</summary>
    public bool ReleaseWrite()
    {
        TaskCompletionSource done;
        lock (_gate)
        {
            if (_held.Count == 0)
                return false;
            // The bytes are copied now, so the test sees if somebody has changed them while they waited.
            _writes.Add(_held[0].Bytes.ToArray());
            done = _held[0].Done;
            _held.RemoveAt(0);
        }
        done.SetResult();
        _watch.Changed();
        return true;
    }

    /// <summary>Waits until the server has handled all bytes that were sent, and the connection waits for more or has ended.</summary>
    public Task UntilIdleAsync() => _watch.UntilAsync(() => Disposals > 0 || (_read is not null && _held.Count == 0), "an idle connection");

    public Task UntilWritingAsync() => _watch.UntilAsync(() => _held.Count > 0, "a write in progress");

    public Task UntilFramesAsync(int count) => _watch.UntilAsync(() => Frames.Count >= count, $"{count} frames");

    public ServerFrame LastFrame(Opcode opcode) => Frames.Last(frame => frame.Opcode == opcode);

    public int Count(Opcode opcode) => Frames.Count(frame => frame.Opcode == opcode);

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        TaskCompletionSource<int> read;
        lock (_gate)
        {
            Assert.That(_read, Is.Null, "one read at a time");
            if (_isCancelled)
            {
                _isCancelled = false;
                return new(Cancelled);
            }
            read = _read = new TaskCompletionSource<int>();
            _target = buffer;
        }
        Deliver(static () => { });
        return new(read.Task);
    }

    /// <summary>The read that waits has no room, so the bytes stay for <see cref="TryRead"/>.</summary>
    public override ValueTask<int> WaitReadableAsync(bool isBusy) => ReadAsync(Memory<byte>.Empty);

    public override int TryRead(Memory<byte> buffer)
    {
        Assert.That(buffer.Length, Is.Positive, "a read without room would look like FIN");
        lock (_gate)
        {
            if (_incoming.Count == 0 || Disposals > 0)
                return _fin || Disposals > 0 ? 0 : -1;
            int count = Math.Min(buffer.Length, _incoming.Count);
            _incoming.GetRange(0, count).ToArray().CopyTo(buffer);
            _incoming.RemoveRange(0, count);
            return count;
        }
    }

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (WriteError is { } error)
            return ThrowsAtOnce ? throw error : ValueTask.FromException(error);
        lock (_gate)
        {
            if (Disposals > 0)
                return ValueTask.FromException(new IOException("closed"));
            WritesOverlapped |= _held.Count > 0;
            if (_holding)
            {
                var done = new TaskCompletionSource();
                _held.Add((buffer, done));
                _watch.Changed();
                return new(done.Task);
            }
            _writes.Add(buffer.ToArray());
        }
        _watch.Changed();
        return default;
    }

    protected override void Dispose(bool disposing)
    {
        TaskCompletionSource[] held;
        lock (_gate)
        {
            Disposals++;
            held = [.. _held.Select(write => write.Done)];
            _held.Clear();
        }
        foreach (TaskCompletionSource write in held)
            write.SetException(new IOException("closed"));
        Deliver(static () => { });
        base.Dispose(disposing);
    }

    /// <summary>Makes a change, and completes the read that waits for it, on this thread.</summary>
    private void Deliver(Action change)
    {
        TaskCompletionSource<int>? read;
        int count = 0;
        Exception? error;
        lock (_gate)
        {
            change();
            error = _readError;
            if (_read is not null && (_incoming.Count > 0 || _fin || error is not null || Disposals > 0))
            {
                count = Disposals > 0 ? 0 : Math.Min(_target.Length, _incoming.Count);
                _incoming.GetRange(0, count).ToArray().CopyTo(_target);
                _incoming.RemoveRange(0, count);
                read = _read;
                _read = null;
            }
            else
            {
                read = null;
            }
        }
        if (error is not null)
            read?.SetException(error);
        else
            read?.SetResult(count);
        _watch.Changed();
    }
}
