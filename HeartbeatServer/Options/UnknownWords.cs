using System.CommandLine;
using System.CommandLine.Parsing;

namespace HeartbeatServer.Options;

/// <summary>Says which words of the command line nobody knows, and what was perhaps meant.</summary>
internal static class UnknownWords
{
    /// <returns>A message for each of them.</returns>
    public static IEnumerable<string> Of(ParseResult result)
    {
        Command command = result.CommandResult.Command;
        // Where a command takes an argument, System.CommandLine takes an option that it does not know for that.
        IEnumerable<string> asArgument = result.CommandResult.Tokens.Select(token => token.Value).Where(IsOption);
        bool isBehindOption = false;
        foreach (string word in asArgument.Concat(result.UnmatchedTokens))
        {
            // What follows an option that is unknown is its value.
            if (IsOption(word))
                yield return OfOption(word, command, result);
            else if (!isBehindOption)
                yield return OfWord(word, command);
            isBehindOption = IsOption(word);
        }
    }

    private static bool IsOption(string word) => word.Length > 1 && word.StartsWith('-');

    private static string OfOption(string word, Command command, ParseResult result)
    {
        string name = word.Split('=', ':')[0];
        if (NamesOf(command).Contains(name))
            return $"'{word}' stands behind --, where no option is read.";
        if (NamesOf(result.RootCommandResult.Command).Contains(name))
            return $"'{name}' is an option of the server, not of {command.Name}.";
        return $"'{name}' is no option{DidYouMean(Spelling.Nearest(name, NamesOf(command)))}";
    }

    private static string OfWord(string word, Command command)
    {
        if (command is not RootCommand)
            return $"'{word}' is one word too many for {command.Name}.";
        return $"'{word}' is no command{DidYouMean(Spelling.Nearest(word, command.Subcommands.Select(each => each.Name).Concat(NamesOf(command))))}";
    }

    private static string DidYouMean(string? name) => name is null ? "." : $". Did you mean {name}?";

    private static IEnumerable<string> NamesOf(Command command)
    {
        IEnumerable<Command> above = command.Parents.OfType<Command>();
        return command.Options.Concat(above.SelectMany(each => each.Options).Where(option => option.Recursive))
            .Where(option => !option.Hidden)
            .SelectMany(option => option.Aliases.Prepend(option.Name));
    }
}
