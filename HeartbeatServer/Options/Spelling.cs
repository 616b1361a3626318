namespace HeartbeatServer.Options;

/// <summary>Finds the name that somebody meant who wrote another one.</summary>
internal static class Spelling
{
    /// <summary>A part of a name says what was meant if it has so many letters: <c>origin</c> for <c>--allow-origin</c>.</summary>
    private const int ShortestPart = 4;

    /// <summary>The candidate that is nearest to the word. Dashes, underscores and upper case make no difference.</summary>
    /// <returns>Null if none is near: one slip for each three letters of the word, and the word is no part of a candidate.</returns>
    public static string? Nearest(string word, IEnumerable<string> candidates)
    {
        string letters = Letters(word);
        string[] names = [.. candidates];
        if (letters.Length == 0 || names.Length == 0)
            return null;
        (string Name, int Slips) nearest = names.Select(name => (name, Slips: Slips(letters, Letters(name)))).MinBy(each => each.Slips);
        if (nearest.Slips <= Math.Max(1, letters.Length / 3))
            return nearest.Name;
        return letters.Length < ShortestPart
            ? null
            : names.Where(name => Letters(name).Contains(letters, StringComparison.Ordinal)).MinBy(name => name.Length);
    }

    private static string Letters(string name) => string.Concat(name.Where(c => c is not ('-' or '_'))).ToUpperInvariant();

    /// <summary>
    /// How many slips lead from one word to the other. A slip is a letter too many, too few or another one, or two neighbours in the wrong order (the
    /// optimal string alignment).
    /// </summary>
    private static int Slips(string one, string other)
    {
        // slips[i][j] lead from the first i letters of the one to the first j of the other.
        int[][] slips = [.. Enumerable.Range(0, one.Length + 1).Select(i => Enumerable.Range(i, other.Length + 1).ToArray())];
        for (int i = 1; i <= one.Length; i++)
        {
            for (int j = 1; j <= other.Length; j++)
            {
                int replaced = slips[i - 1][j - 1] + (one[i - 1] == other[j - 1] ? 0 : 1);
                slips[i][j] = Math.Min(replaced, Math.Min(slips[i - 1][j], slips[i][j - 1]) + 1);
                if (i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1])
                    slips[i][j] = Math.Min(slips[i][j], slips[i - 2][j - 2] + 1);
            }
        }
        return slips[^1][^1];
    }
}
