using System.Buffers;

namespace HeartbeatServer.Connections;

/// <summary>
/// Where received bytes wait to be read: a small array that a connection always has, and a rented one while more comes than fits there.
/// </summary>
internal struct ReceiveBuffer() : IDisposable
{
    /// <summary>
    /// In bytes. A burst of messages, or one that is not large. Such a buffer is kept until a receive brings no more than the small one
    /// holds: at the latest, the next pong.
    /// </summary>
    public const int BurstSize = 2 * 1024;

    /// <summary>
    /// Room for any control frame (131 bytes on the wire) and for a short message. A prime: a burst of equal frames does not fill it with
    /// whole ones, which would look as if nothing more were waiting.
    /// </summary>
    private const int RestingSize = 157;
    private const int LargeSize = 16 * 1024;

    private readonly byte[] _resting = new byte[RestingSize];
    private byte[]? _rented;
    private int _count;
    private bool _filled;

    /// <summary>Bounds of the bytes that were received and not read, in <see cref="Array"/>.</summary>
    public int Start;

    /// <inheritdoc cref="Start"/>
    public int End { get; private set; }

    public readonly byte[] Array => _rented ?? _resting;

    /// <summary>Makes room for the next receive; what was not read comes along.</summary>
    /// <param name="insideFrame">Whether a frame is incomplete. With a receive that filled the buffer, it means that more is waiting.</param>
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

    /// <summary>Counts bytes received into what <see cref="Prepare"/> gave.</summary>
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
