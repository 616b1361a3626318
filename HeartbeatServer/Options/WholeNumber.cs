using System.Globalization;
using System.Numerics;

namespace HeartbeatServer.Options;

/// <summary>Whole numbers in decimal digits.</summary>
internal static class WholeNumber
{
    /// <param name="text">Digits alone, unless <paramref name="style"/> allows more.</param>
    /// <param name="least">The smallest number that is accepted.</param>
    /// <param name="most">The largest number that is accepted.</param>
    /// <param name="number">Zero if the text is refused.</param>
    /// <param name="style">What may stand around the digits.</param>
    public static bool TryParse<T>(ReadOnlySpan<char> text, T least, T most, out T number, NumberStyles style = NumberStyles.None)
        where T : IBinaryInteger<T>
    {
        bool isGood = T.TryParse(text, style, CultureInfo.InvariantCulture, out T? read) && read >= least && read <= most;
        number = isGood ? read! : T.Zero;
        return isGood;
    }
}
