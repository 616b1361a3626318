namespace HeartbeatServer.Probe;

/// <summary>Writes lines for a person. On a terminal a block of progress stands below them, and is rewritten in place.</summary>
/// <param name="output">Gets the text.</param>
/// <param name="isTerminal">Whether the output understands how the cursor is moved.</param>
/// <param name="width">How many characters a line of the terminal has.</param>
internal sealed class ProbeDisplay(TextWriter output, bool isTerminal, Func<int> width)
{
    private const int DefaultWidth = 80;

    private int _shown;

    /// <summary>Whether progress is shown in place.</summary>
    public bool IsTerminal => isTerminal;

    /// <summary>Whether the block stands there.</summary>
    public bool IsShown => _shown > 0;

    public void Write(string line)
    {
        Clear();
        output.WriteLine(line);
        output.Flush();
    }

    /// <summary>Shows the present state in the place of the last one.</summary>
    public void Show(IReadOnlyList<string> lines)
    {
        // A line that is broken would take two, and the next block would stand one too low.
        int most = (width() is > 0 and var columns ? columns : DefaultWidth) - 1;
        Clear();
        foreach (string line in lines)
            output.WriteLine(line.Length > most ? line[..most] : line);
        _shown = lines.Count;
        output.Flush();
    }

    /// <summary>Takes the block away.</summary>
    public void Clear()
    {
        // Up so many lines, to the first column, and everything behind it away (ECMA-48: CUU, CR, ED).
        if (_shown > 0)
            output.Write(FormattableString.Invariant($"\u001b[{_shown}A\r\u001b[J"));
        _shown = 0;
    }
}
