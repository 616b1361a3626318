using System.Numerics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace HeartbeatServer.Framing;

/// <summary>Removes the mask of a client's payload (RFC 6455 section 5.3).</summary>
internal static class Masking
{
    /// <summary>Writes <paramref name="source"/> without its mask to <paramref name="destination"/>.</summary>
    /// <param name="source">The masked bytes.</param>
    /// <param name="destination">
    /// Gets the unmasked bytes. It is at least as long as the source. In the same array it may begin at the source or before it, but not after it.
    /// </param>
    /// <param name="key">The mask key, in the form of <see cref="FrameHeader.MaskKey"/>.</param>
    /// <param name="offset">The position in the payload of the first byte of <paramref name="source"/>. Only its last two bits matter.</param>
    public static void Unmask(ReadOnlySpan<byte> source, Span<byte> destination, uint key, long offset)
    {
        key = BitOperations.RotateRight(key, 8 * (int)(offset & 3));
        uint word = BitConverter.IsLittleEndian ? key : ReverseBytes(key);

        ReadOnlySpan<Vector128<uint>> masked = MemoryMarshal.Cast<byte, Vector128<uint>>(source);
        Span<Vector128<uint>> unmasked = MemoryMarshal.Cast<byte, Vector128<uint>>(destination)[..masked.Length];
        Vector128<uint> mask = Vector128.Create(word);
        for (int vector = 0; vector < masked.Length; vector++)
            unmasked[vector] = masked[vector] ^ mask;

        // The vector loop stops at a multiple of 4, so the key still begins with its first byte here.
        int i = masked.Length * Vector128<byte>.Count;
        for (; i <= source.Length - sizeof(uint); i += sizeof(uint))
            MemoryMarshal.Write(destination[i..], MemoryMarshal.Read<uint>(source[i..]) ^ word);
        for (int shift = 0; i < source.Length; i++, shift += 8)
            destination[i] = (byte)(source[i] ^ (key >> shift));
    }

    private static uint ReverseBytes(uint key) => System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(key);
}
