using System.CommandLine;
using System.CommandLine.Invocation;
using System.Globalization;

namespace HeartbeatServer.Options;

/// <summary>What <c>--help</c> prints for the program or for one of its commands.</summary>
/// <param name="About">What it is for.</param>
/// <param name="Sections">The rest, in its order.</param>
internal sealed record HelpPage(string About, IReadOnlyList<HelpSection> Sections)
{
    /// <summary>A space at which no line ends.</summary>
    public const char FixedSpace = '\u00a0';

    /// <summary>A longer term has a line of its own.</summary>
    private const int WidestTerm = 34;

    private const int Indent = 2;

    /// <param name="output">Gets the page.</param>
    /// <param name="width">In characters: lines are not longer, unless a word is.</param>
    public void Write(TextWriter output, int width)
    {
        int column = Sections.SelectMany(section => section.Rows).Select(row => row.Term.Length).Where(length => length <= WidestTerm).Max() + 2 * Indent;
        WriteText(About, 0, width, output);
        foreach (HelpSection section in Sections)
        {
            output.WriteLine($"{Environment.NewLine}{section.Title}:");
            foreach ((string term, string text) in section.Rows)
            {
                string start = $"{"",Indent}{term}";
                if (text.Length > 0 && start.Length + Indent <= column)
                    output.Write(start.PadRight(column));
                else
                    output.WriteLine(start);
                if (text.Length == 0)
                    continue;
                if (start.Length + Indent > column)
                    output.Write("".PadRight(column));
                WriteText(text, column, width, output);
            }
        }
    }

    /// <summary>Writes words into lines. The first begins where the cursor is, which is the column of the others.</summary>
    private static void WriteText(string text, int column, int width, TextWriter output)
    {
        int used = column;
        foreach (string word in text.Split(' '))
        {
            if (used > column && used + 1 + word.Length > width)
            {
                output.Write(Environment.NewLine.PadRight(Environment.NewLine.Length + column));
                used = column;
            }
            output.Write((used > column ? " " + word : word).Replace(FixedSpace, ' '));
            used += word.Length + (used > column ? 1 : 0);
        }
        output.WriteLine();
    }
}

/// <param name="Title">Stands above the rows.</param>
/// <param name="Rows">A term, and what it means, which may be empty.</param>
internal sealed record HelpSection(string Title, IReadOnlyList<(string Term, string Text)> Rows);

/// <summary>Prints the page of the command that the arguments name.</summary>
internal sealed class PrintHelp(Func<Command, HelpPage> pageOf) : SynchronousCommandLineAction
{
    /// <summary>The width where the output is no terminal, and COLUMNS does not say another one.</summary>
    private const int UsualWidth = 100;

    private const int Narrowest = 60;
    private const int Widest = 130;

    /// <summary>Whoever asks for help gets it, whatever else is wrong.</summary>
    public override bool ClearsParseErrors => true;

    public override int Invoke(ParseResult parseResult)
    {
        int width = Width(Console.IsOutputRedirected ? null : Console.WindowWidth, Environment.GetEnvironmentVariable("COLUMNS"));
        pageOf(parseResult.CommandResult.Command).Write(parseResult.InvocationConfiguration.Output, width);
        return 0;
    }

    /// <summary>How many characters a line may have.</summary>
    /// <param name="terminal">The width of the terminal; null if the output is none.</param>
    /// <param name="columns">The variable COLUMNS, which says the width of an output that is no terminal (POSIX, XBD 8.3).</param>
    public static int Width(int? terminal, string? columns) => Math.Clamp(
        terminal - 1 ?? (WholeNumber.TryParse(columns, NumberStyles.None, 1, int.MaxValue, out int width) ? width : UsualWidth), Narrowest, Widest);
}
