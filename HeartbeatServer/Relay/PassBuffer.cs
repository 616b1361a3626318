using System.Buffers;

namespace HeartbeatServer.Relay;

/// <summary>
/// Lends the arrays through which bytes pass from one leg to the other. Each thread has one array, which serves all of its connections in turn: an
/// idle connection has none. A write that waits for its peer keeps the array, and the thread takes another one.
/// </summary>
internal static class PassBuffer
{
    /// <summary>The size in bytes of an array for a peer that takes what it gets.</summary>
    private const int Size = 64 * 1024 + 512;

    /// <summary>The size in bytes of an array for a peer that has made the last write wait.</summary>
    private const int SmallSize = 16 * 1024;

    [ThreadStatic]
    private static byte[]? _free;

    /// <param name="isSlow">Whether the bytes go to a peer that has made the last write wait.</param>
    public static byte[] Take(bool isSlow)
    {
        if (isSlow)
            return ArrayPool<byte>.Shared.Rent(SmallSize);
        byte[] taken = _free ?? new byte[Size];
        _free = null;
        return taken;
    }

    public static void Return(byte[] array)
    {
        if (array.Length == Size)
            _free ??= array;
        else
            ArrayPool<byte>.Shared.Return(array);
    }
}
