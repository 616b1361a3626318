using System.CommandLine;

namespace HeartbeatServer.Options;

/// <summary>
/// Reads the options of the <see cref="OptionTable"/> from the arguments, and from the environment where the arguments do not give them. Then it runs
/// what the arguments ask for.
/// </summary>
/// <param name="environment">Looks a variable up; null if it is not set.</param>
internal sealed class CommandLine(Func<string, string?> environment)
{
    /// <summary>Exit code for a bad command line.</summary>
    public const int BadCommandLine = 2;

    private const string Description =
        """
        A WebSocket server that keeps connections alive with ping/pong heartbeats, and says why the ones that died, died.

        Durations: 500ms, 10s, 1m30s, 2h, or 0. Sizes: 65536, 64KiB, 1MiB.
        Every option can also come from the environment: HEARTBEAT_PORT, HEARTBEAT_MAX_MISSED; the command line wins.

        Example:
          HeartbeatServer --port 8080 --ping 10s --timeout 500ms --max-missed 3
        """;

    private readonly (OptionRow Row, Option<Change?> Option)[] _options = [.. OptionTable.Rows.Select(row => (row, ToOption(row)))];

    /// <param name="arguments">The arguments of the program.</param>
    /// <param name="output">Gets the help and the version.</param>
    /// <param name="error">Gets what is wrong with the arguments or the environment.</param>
    /// <param name="serve">Runs the server; returns the exit code.</param>
    /// <param name="checkHealth">Asks the server at this address how it is; returns the exit code.</param>
    /// <returns>The exit code.</returns>
    public async Task<int> RunAsync(
        IReadOnlyList<string> arguments,
        TextWriter output,
        TextWriter error,
        Func<ServerOptions, Task<int>> serve,
        Func<HostPort, Task<int>> checkHealth)
    {
        var root = new RootCommand(Description);
        var healthCheck = new Command(
            "healthcheck", "ask a running server how it is: exit code 0 for healthy, 1 for not, with a line that says why. Takes --port and --host.");
        foreach ((OptionRow row, Option<Change?> option) in _options)
        {
            root.Options.Add(option);
            if (row.Name is "--port" or "--host")
                healthCheck.Options.Add(option);
        }
        root.Subcommands.Add(healthCheck);
        root.SetAction((parsed, _) =>
        {
            List<string> errors = [];
            ServerOptions options = Check(Read(parsed, root, errors), name => IsGiven(parsed, name), errors);
            return errors.Count == 0 ? serve(options) : RejectAsync(errors, error);
        });
        healthCheck.SetAction((parsed, _) =>
        {
            List<string> errors = [];
            ServerOptions options = Read(parsed, healthCheck, errors);
            return errors.Count == 0 ? checkHealth(options.Address) : RejectAsync(errors, error);
        });

        ParseResult result = root.Parse(arguments);
        if (result.Errors.Count > 0)
            return await RejectAsync(result.Errors.Select(each => each.Message), error);
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

    private static Option<Change?> ToOption(OptionRow row) => new(row.Name)
    {
        HelpName = row.ValueName,
        Description = $"{row.Help}{(row.IsList ? "; may be repeated" : "")} [default: {row.Write(new ServerOptions())}]",
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
            else if (VariableOf(row) is { } text)
                change = row.Read(row.Variable, row.IsList ? text.Split(',', StringSplitOptions.TrimEntries) : [text], errors.Add);
            options = change?.Invoke(options) ?? options;
        }
        return options;
    }

    private bool IsGiven(ParseResult parsed, string name)
    {
        (OptionRow row, Option<Change?> option) = Array.Find(_options, each => each.Row.Name == name);
        return parsed.GetResult(option) is not null || VariableOf(row) is not null;
    }

    /// <summary>An empty variable counts as none.</summary>
    private string? VariableOf(OptionRow row) => environment(row.Variable) is { Length: > 0 } text ? text : null;

    /// <summary>The rules between options.</summary>
    /// <param name="options">The options as they were given.</param>
    /// <param name="isGiven">Whether an option was given, in the arguments or in the environment.</param>
    /// <param name="errors">Gets the rules that are broken.</param>
    private static ServerOptions Check(ServerOptions options, Func<string, bool> isGiven, List<string> errors)
    {
        if (options.Admin is { } admin && admin.Overlaps(options.Address))
            errors.Add($"--admin: '{admin}' has the port of --port, {options.Port}. The admin listener needs one of its own.");
        if (options.Subprotocol.IsContradiction)
            errors.Add($"--subprotocol: '{options.Subprotocol}' names subprotocols, and none. The word none stands alone.");
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
