using System.Globalization;

namespace HeartbeatServer.Protocol;

/// <summary>
/// Makes a text from a client fit for a log: the text cannot break a line, reverse the direction of its letters, or control the terminal.
/// </summary>
internal static class PeerText
{
    /// <summary>The text with each unprintable character as <c>\u001b</c>.</summary>
    public static string Printable(string text) => text.All(IsPrintable) ? text : string.Concat(text.Select(c => IsPrintable(c) ? $"{c}" : $"\\u{(int)c:x4}"));

    /// <summary>The printable text in quotes. A backslash stands before each quote and each backslash in it.</summary>
    public static string Quoted(string text) => $"\"{string.Concat(text.Select(c =>
        c is '"' or '\\' ? $"\\{c}" : IsPrintable(c) ? $"{c}" : $"\\u{(int)c:x4}"))}\"";

    /// <summary>The text, or its beginning with dots behind it.</summary>
    /// <param name="text">What a client has sent, which may be 24 KiB.</param>
    /// <param name="most">So many characters are left at most, without the dots.</param>
    public static string Shortened(string text, int most) => text.Length <= most ? text : text[..most] + "...";

    private static bool IsPrintable(char c) => char.GetUnicodeCategory(c) is not
        (UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator);
}
