using System.CommandLine;
using System.CommandLine.Help;

namespace HeartbeatServer.Options;

/// <summary>
/// Reads the options of the <see cref="OptionTable"/> from the arguments, and from the environment where the arguments do not give them. Then it runs
/// what the arguments ask for.
/// </summary>
internal sealed class CommandLine
{
    /// <summary>Exit code for a bad command line.</summary>
    public const int BadCommandLine = 2;

    private static readonly string[] OfHealthCheck = ["--port", "--host", "--tls-cert"];

    private readonly Variables _variables;
    private readonly (OptionRow Row, Option<Change?> Option)[] _options = [.. OptionTable.Rows.Select(row => (row, ToOption(row)))];
    private readonly RootCommand _root = new();
    private readonly Command _healthCheck = new("healthcheck");
    private readonly Argument<string?> _healthUrl = new("URL") { Arity = ArgumentArity.ZeroOrOne };
    private readonly ProbeCommand _probe = new();

    /// <param name="variables">Give the options that the arguments do not.</param>
    public CommandLine(Variables variables)
    {
        _variables = variables;
        foreach ((OptionRow row, Option<Change?> option) in _options)
        {
            _root.Options.Add(option);
            if (OfHealthCheck.Contains(row.Name))
                _healthCheck.Options.Add(option);
        }
        _healthCheck.Arguments.Add(_healthUrl);
        _root.Subcommands.Add(_healthCheck);
        _root.Subcommands.Add(_probe.Command);
        _root.Options.OfType<HelpOption>().Single().Action = new PrintHelp(PageOf);
        // What they do not know is refused in our own words.
        _root.TreatUnmatchedTokensAsErrors = _healthCheck.TreatUnmatchedTokensAsErrors = _probe.Command.TreatUnmatchedTokensAsErrors = false;
    }

    /// <param name="arguments">The arguments of the program.</param>
    /// <param name="output">Gets the help and the version.</param>
    /// <param name="error">Gets what is wrong with the arguments or the environment.</param>
    /// <param name="serve">Runs the server. It is told which variables set nothing. Returns the exit code.</param>
    /// <param name="checkHealth">Asks the server at this URL how it is. It is told whether that is the server of this machine. Returns the exit code.</param>
    /// <param name="probe">Measures what the way to a WebSocket does to silence; returns the exit code.</param>
    /// <returns>The exit code.</returns>
    public async Task<int> RunAsync(
        IReadOnlyList<string> arguments,
        TextWriter output,
        TextWriter error,
        Func<ServerOptions, StrayVariables, Task<int>> serve,
        Func<Uri, bool, Task<int>> checkHealth,
        Func<ProbeOptions, Task<int>> probe)
    {
        _root.SetAction((parsed, _) =>
        {
            List<string> errors = [];
            ServerOptions options = Read(parsed, _root, errors);
            if (errors.Count == 0)
                options = new OptionRules(name => SourceOf(parsed, name), errors.Add).Apply(options);
            return errors.Count == 0 ? serve(options, _variables.Stray()) : RejectAsync(errors, error);
        });
        _healthCheck.SetAction((parsed, _) =>
        {
            List<string> errors = [];
            Uri? url = ReadHealthCheck(parsed, errors);
            return errors.Count == 0 ? checkHealth(url!, parsed.GetValue(_healthUrl) is null) : RejectAsync(errors, error);
        });
        _probe.Command.SetAction((parsed, _) =>
        {
            List<string> errors = [];
            ProbeOptions? options = _probe.Read(parsed, errors);
            return errors.Count == 0 ? probe(options!) : RejectAsync(errors, error);
        });

        // An argument that begins with @ is a value of the probe's --header, and no file of further arguments.
        ParseResult result = _root.Parse(arguments, new ParserConfiguration { ResponseFileTokenReplacer = null });
        if (result.Action is not PrintHelp)
        {
            string[] errors = [.. UnknownWords.Of(result), .. result.Errors.Select(each => each.Message)];
            if (errors.Length > 0)
                return await RejectAsync(errors, error);
        }
        // The server handles SIGTERM and SIGINT itself, and the program says itself what has failed.
        return await result.InvokeAsync(new InvocationConfiguration
        {
            Output = output,
            Error = error,
            ProcessTerminationTimeout = null,
            EnableDefaultExceptionHandler = false,
        });
    }

    /// <summary>Writes lines to the standard error.</summary>
    public static async Task TellAsync(TextWriter error, params IEnumerable<string> lines)
    {
        try
        {
            foreach (string line in lines)
                await error.WriteLineAsync(line);
        }
        catch (IOException)
        {
            // There is nowhere left to say it. The exit code does.
        }
    }

    private static async Task<int> RejectAsync(IEnumerable<string> errors, TextWriter error)
    {
        await TellAsync(error, [.. errors, "See --help."]);
        return BadCommandLine;
    }

    private HelpPage PageOf(Command command) => command == _healthCheck
        ? HelpPages.HealthCheck(OptionTable.Rows.Where(row => OfHealthCheck.Contains(row.Name)))
        : command == _probe.Command ? HelpPages.Probe : HelpPages.Server;

    private static Option<Change?> ToOption(OptionRow row) => new(row.Name)
    {
        Hidden = row.IsHidden,
        Arity = row.IsList ? ArgumentArity.OneOrMore : row.Alone is null ? ArgumentArity.ExactlyOne : ArgumentArity.ZeroOrOne,
        CustomParser = argument =>
            row.Read(row.Name, argument.Tokens.Count == 0 ? [row.Alone!] : [.. argument.Tokens.Select(token => token.Value)], argument.AddError),
    };

    /// <summary>Takes each option of the command from the arguments, else from the environment, else its default.</summary>
    private ServerOptions Read(ParseResult parsed, Command command, List<string> errors)
    {
        var options = new ServerOptions();
        foreach ((OptionRow row, Option<Change?> option) in _options.Where(each => command.Options.Contains(each.Option)))
        {
            Change? change = null;
            if (parsed.GetResult(option) is not null)
                change = parsed.GetValue(option);
            else if (_variables.Of(row) is { } text)
                change = row.Read(row.Variable, row.IsList ? EntriesOf(text) : [text], errors.Add);
            options = change?.Invoke(options) ?? options;
        }
        return options;
    }

    /// <summary>The entries of a list. Templates leave a comma too many, so an empty entry is none, unless there is no other.</summary>
    private static string[] EntriesOf(string text) =>
        text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries) is { Length: > 0 } entries ? entries : [text];

    private string? SourceOf(ParseResult parsed, string name)
    {
        (OptionRow row, Option<Change?> option) = Array.Find(_options, each => each.Row.Name == name);
        return parsed.GetResult(option) is not null ? row.Name : _variables.Of(row) is not null ? row.Variable : null;
    }

    /// <summary>The URL that was given, else that of the server of this machine.</summary>
    private Uri? ReadHealthCheck(ParseResult parsed, List<string> errors)
    {
        if (parsed.GetValue(_healthUrl) is not { } text)
        {
            ServerOptions options = Read(parsed, _healthCheck, errors);
            return new Uri($"{options.HttpScheme}://{options.Address.Local}{ServerOptions.HealthPath}");
        }
        if (Syntax.HealthUrl.Read(text, out Uri? url) is { } expected)
            errors.Add(Syntax.Complaint("URL", text, expected));
        foreach ((OptionRow row, _) in _options.Where(each => OfHealthCheck.Contains(each.Row.Name) && parsed.GetResult(each.Option) is not null))
            errors.Add($"{row.Name}: not beside a URL, which says which server is asked.");
        return url;
    }
}
