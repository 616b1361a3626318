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
            ServerOptions options = Check(Read(parsed, _root, errors), name => IsGiven(parsed, name), errors);
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
        // The server handles SIGTERM and SIGINT itself.
        return await result.InvokeAsync(new InvocationConfiguration { Output = output, Error = error, ProcessTerminationTimeout = null });
    }

    private static async Task<int> RejectAsync(IEnumerable<string> errors, TextWriter error)
    {
        foreach (string message in errors)
            await error.WriteLineAsync(message);
        await error.WriteLineAsync("See --help.");
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
                change = row.Read(row.Variable, row.IsList ? text.Split(',', StringSplitOptions.TrimEntries) : [text], errors.Add);
            options = change?.Invoke(options) ?? options;
        }
        return options;
    }

    private bool IsGiven(ParseResult parsed, string name)
    {
        (OptionRow row, Option<Change?> option) = Array.Find(_options, each => each.Row.Name == name);
        return parsed.GetResult(option) is not null || _variables.Of(row) is not null;
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
            errors.Add($"URL: '{text}' is not {expected}.");
        foreach ((OptionRow row, _) in _options.Where(each => OfHealthCheck.Contains(each.Row.Name) && parsed.GetResult(each.Option) is not null))
            errors.Add($"{row.Name}: not beside a URL, which says which server is asked.");
        return url;
    }

    /// <summary>The rules between options.</summary>
    /// <param name="options">The options as they were given.</param>
    /// <param name="isGiven">Whether an option was given, in the arguments or in the environment.</param>
    /// <param name="errors">Gets the rules that are broken.</param>
    private static ServerOptions Check(ServerOptions options, Func<string, bool> isGiven, List<string> errors)
    {
        if (options.Admin is { } admin && admin.Overlaps(options.Address))
            errors.Add($"--admin: '{admin}' has the port of --port, {options.Port}. The admin listener needs one of its own.");
        if (options.TlsCert is null != options.TlsKey is null)
            errors.Add($"{(options.TlsCert is null ? "--tls-key" : "--tls-cert")}: alone it is of no use. --tls-cert and --tls-key come together.");
        if (options.Subprotocol.IsContradiction)
            errors.Add($"--subprotocol: '{options.Subprotocol}' names subprotocols, and none. The word none stands alone.");
        if (options.Upstream is not { HasTls: true } && (options.UpstreamCa is not null || options.UpstreamInsecure))
            errors.Add($"{(options.UpstreamInsecure ? "--upstream-insecure" : "--upstream-ca")}: only with --upstream https:// or wss://.");
        if (options.UpstreamCa is not null && options.UpstreamInsecure)
            errors.Add("--upstream-insecure: with --upstream-ca the certificate is verified.");
        if (options.Upstream is not null)
            options = CheckRelay(options, isGiven, errors);
        else if (options.MaxMessage == 0)
            errors.Add("--max-message: '0' is no limit, and possible only with --upstream. The echo server holds a message until it is whole.");
        return CheckTimeout(options, isGiven, errors);
    }

    /// <summary>What <c>--upstream</c> rules out, and the defaults that it changes.</summary>
    private static ServerOptions CheckRelay(ServerOptions options, Func<string, bool> isGiven, List<string> errors)
    {
        if (isGiven("--on-message"))
            errors.Add("--on-message: with --upstream the application answers the messages.");
        if (isGiven("--subprotocol"))
            errors.Add("--subprotocol: with --upstream the application chooses the subprotocol.");
        return options with
        {
            Path = isGiven("--path") ? options.Path : ServerOptions.EveryPath,
            MaxMessage = isGiven("--max-message") ? options.MaxMessage : 0,
        };
    }

    private static ServerOptions CheckTimeout(ServerOptions options, Func<string, bool> isGiven, List<string> errors)
    {
        if (options.Ping == TimeSpan.Zero || options.Timeout <= options.Ping)
            return options;
        // A short --ping alone is no mistake: the default timeout follows it down.
        if (!isGiven("--timeout"))
            return options with { Timeout = options.Ping };
        errors.Add(
            $"--timeout: '{Duration.Format(options.Timeout)}' is longer than --ping, '{Duration.Format(options.Ping)}'. "
            + "A pong has to be judged before the next ping: at most the same.");
        return options;
    }
}
