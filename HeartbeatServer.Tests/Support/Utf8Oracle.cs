namespace HeartbeatServer.Tests.Support;

/// <summary>
/// Checks UTF-8 by arithmetic, without a table. Bytes begin a character if they can still become a code point that Unicode allows in a character
/// of this length (RFC 3629 section 3).
/// </summary>
internal static class Utf8Oracle
{
    /// <param name="text">The first bytes of a text.</param>
    /// <param name="isComplete">Whether the bytes end with a whole character.</param>
    /// <returns>The position of the first byte that no valid text has at this place; -1 if there is none.</returns>
    public static int FirstBadByte(ReadOnlySpan<byte> text, out bool isComplete)
    {
        isComplete = true;
        int start = 0;
        for (int i = 0; i < text.Length; i++)
        {
            int? missing = Missing(text[start..(i + 1)]);
            isComplete = missing == 0;
            if (missing is null)
                return i;
            if (isComplete)
                start = i + 1;
        }
        return -1;
    }

    public static bool IsPrefix(ReadOnlySpan<byte> text) => FirstBadByte(text, out _) < 0;

    public static bool IsWhole(ReadOnlySpan<byte> text) => FirstBadByte(text, out bool isComplete) < 0 && isComplete;

    /// <summary>How many bytes a character still lacks; null if the bytes begin no character.</summary>
    private static int? Missing(ReadOnlySpan<byte> character)
    {
        byte lead = character[0];
        (int length, int first, int last) = lead switch
        {
            < 0x80 => (1, 0, 0x7F),
            >= 0xC0 and < 0xE0 => (2, 0x80, 0x7FF),
            >= 0xE0 and < 0xF0 => (3, 0x800, 0xFFFF),
            >= 0xF0 and < 0xF8 => (4, 0x10000, 0x10FFFF),
            _ => (0, 0, 0),
        };
        if (character.Length > length)
            return null;

        int least = length == 1 ? lead : lead & (0xFF >> (length + 1));
        int most = least;
        for (int i = 1; i < length; i++)
        {
            if (i < character.Length && character[i] is < 0x80 or > 0xBF)
                return null;
            least = (least << 6) | (i < character.Length ? character[i] & 0x3F : 0);
            most = (most << 6) | (i < character.Length ? character[i] & 0x3F : 0x3F);
        }
        bool allowed = most >= first && least <= last && !(least >= 0xD800 && most <= 0xDFFF);
        return allowed ? length - character.Length : null;
    }
}
