using System.Text.Unicode;

namespace HeartbeatServer.Framing;

/// <summary>
/// Validates UTF-8 that comes in pieces (RFC 6455 section 8.1, RFC 3629 section 4). The validator fails at the first byte that no valid text can
/// have at this place, even if the character is not complete yet.
/// </summary>
internal struct Utf8Validator
{
    /// <summary>How many continuation bytes the character in progress still lacks: 0 to 3.</summary>
    private byte _missing;

    /// <summary>The bounds of the next continuation byte: 80-BF, and fewer values after E0, ED, F0 and F4.</summary>
    private byte _low, _high;

    /// <summary>Whether the bytes so far end with a whole character.</summary>
    public readonly bool IsComplete => _missing == 0;

    /// <summary>Checks the next bytes of the text.</summary>
    /// <returns>False if a byte is wrong. The validator cannot be used after that.</returns>
    public bool Append(ReadOnlySpan<byte> bytes)
    {
        int i = 0;
        for (; i < bytes.Length && _missing > 0; i++)
        {
            if (!Step(bytes[i]))
                return false;
        }

        // Only the last three bytes can hold the start of an incomplete character. The bytes before them go to the vectorised check. Their end is
        // moved back to the start of a character, so that the check sees whole characters only.
        int whole = bytes.Length - 3;
        while (whole > i && (bytes[whole] & 0xC0) == 0x80)
            whole--;
        if (whole > i)
        {
            if (!Utf8.IsValid(bytes[i..whole]))
                return false;
            i = whole;
        }

        for (; i < bytes.Length; i++)
        {
            if (!Step(bytes[i]))
                return false;
        }
        return true;
    }

    private bool Step(byte value)
    {
        if (_missing > 0)
        {
            if (value < _low || value > _high)
                return false;
            _missing--;
            (_low, _high) = (0x80, 0xBF);
            return true;
        }

        // RFC 3629 section 4: no overlong forms (C0, C1, E0 80-9F, F0 80-8F), no surrogates (ED A0-BF), nothing over U+10FFFF.
        (_missing, _low, _high) = value switch
        {
            < 0x80 => ((byte)0, (byte)0, (byte)0),
            >= 0xC2 and <= 0xDF => ((byte)1, (byte)0x80, (byte)0xBF),
            0xE0 => ((byte)2, (byte)0xA0, (byte)0xBF),
            0xED => ((byte)2, (byte)0x80, (byte)0x9F),
            >= 0xE1 and <= 0xEF => ((byte)2, (byte)0x80, (byte)0xBF),
            0xF0 => ((byte)3, (byte)0x90, (byte)0xBF),
            >= 0xF1 and <= 0xF3 => ((byte)3, (byte)0x80, (byte)0xBF),
            0xF4 => ((byte)3, (byte)0x80, (byte)0x8F),
            _ => (byte.MaxValue, (byte)0, (byte)0),
        };
        return _missing != byte.MaxValue;
    }
}
