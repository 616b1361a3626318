using System.Globalization;
using System.Numerics;

namespace HeartbeatServer.Options;

/// <summary>Whole numbers in decimal digits.</summary>
internal static class WholeNumber
{
    /// <param name="text">The whole text: nothing may follow the number.</param>
    /// <param name="style">What may stand around the digits.</param>
    /// <param name="least">The smallest number that is accepted.</param>
    /// <param name="most">The largest number that is accepted.</param>
    /// <param name="number">Zero if the text is refused.</param>
    public static bool TryParse<T>(ReadOnlySpan<char> text, NumberStyles style, T least, T most, out T number)
        where T : IBinaryInteger<T>
    {
        bool isGood = T.TryParse(text, style, CultureInfo.InvariantCulture, out T? read) && read >= least && read <= most;
        number = isGood ? read! : T.Zero;
        return isGood;
    }
}
