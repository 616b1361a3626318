using System.Buffers;

namespace HeartbeatServer.Connections;

/// <summary>
/// Holds received bytes until the connection reads them. A connection always has a small array. While more comes than fits there, it rents a
/// larger one.
/// </summary>
internal struct ReceiveBuffer() : IDisposable
{
    /// <summary>
    /// The size in bytes of the buffer for a burst of messages, or for a single message that is not large. The connection keeps this buffer until a
    /// receive brings no more bytes than the small array holds. At the latest the next pong is such a receive.
    /// </summary>
    public const int BurstSize = 2 * 1024;

    /// <summary>
    /// The size of the small array in bytes. It has room for any control frame (131 bytes on the wire) and for a short message. The number is
    /// prime, so a burst of equal frames does not fill the array with whole frames only. Then it would look as if nothing more were waiting.
    /// </summary>
    private const int RestingSize = 157;
    private const int LargeSize = 16 * 1024;

    private readonly byte[] _resting = new byte[RestingSize];
    private byte[]? _rented;
    private int _count;
    private bool _filled;

    /// <summary>A bound of the bytes in <see cref="Array"/> that were received and not read yet.</summary>
    public int Start;

    /// <inheritdoc cref="Start"/>
    public int End { get; private set; }

    public readonly byte[] Array => _rented ?? _resting;

    /// <summary>Makes room for the next receive, and keeps the bytes that were not read.</summary>
    /// <param name="insideFrame">
    /// Whether a frame is incomplete. If the last receive also filled the buffer, more bytes are waiting, and the next buffer is larger.
    /// </param>
    public Memory<byte> Prepare(bool insideFrame)
    {
        ReadOnlySpan<byte> unread = Array.AsSpan(Start, End - Start);
        byte[]? before = _rented;
        int size = RestingSize;
        if (_filled && (insideFrame || !unread.IsEmpty))
            size = before is null ? BurstSize : LargeSize;
        else if (_count > RestingSize)
            size = BurstSize;

        if (size != Array.Length)
            _rented = size == RestingSize ? null : ArrayPool<byte>.Shared.Rent(size);
        unread.CopyTo(Array);
        (Start, End) = (0, unread.Length);
        if (before is not null && before != _rented)
            ArrayPool<byte>.Shared.Return(before);
        return Array.AsMemory(End);
    }

    /// <summary>Counts the bytes that were received into the memory from <see cref="Prepare"/>.</summary>
    public void Received(int count)
    {
        _count = count;
        End += count;
        _filled = End == Array.Length;
    }

    /// <summary>Gives rented memory back.</summary>
    public void Dispose()
    {
        if (_rented is not null)
            ArrayPool<byte>.Shared.Return(_rented);
        _rented = null;
        (Start, End) = (0, 0);
    }
}
