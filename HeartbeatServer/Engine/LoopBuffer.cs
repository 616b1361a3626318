using System.Buffers;

namespace HeartbeatServer.Engine;

/// <summary>
/// Lends the arrays into which the sockets of a thread are read. Each thread has one array, which serves all of its connections in turn and stays in the
/// processor's cache. So an idle connection has none. Whoever has to wait while he uses the array keeps it meanwhile, and the thread makes another one.
/// </summary>
internal static class LoopBuffer
{
    /// <summary>The size in bytes of the array: a message of 64 KiB in one piece, and its header.</summary>
    public const int Size = (64 * 1024) + 512;

    /// <summary>The size in bytes of an array for somebody who had to wait the last time, and is likely to keep this one, too.</summary>
    public const int SmallSize = 16 * 1024;

    [ThreadStatic]
    private static byte[]? _free;

    /// <param name="isSmall">Whether the small size is enough.</param>
    public static byte[] Take(bool isSmall)
    {
        if (isSmall)
            return ArrayPool<byte>.Shared.Rent(SmallSize);
        byte[] taken = _free ?? new byte[Size];
        _free = null;
        return taken;
    }

    /// <summary>Gives an array back, on whichever thread.</summary>
    public static void Return(byte[] array)
    {
        if (array.Length == Size)
            _free ??= array;
        else
            ArrayPool<byte>.Shared.Return(array);
    }
}
