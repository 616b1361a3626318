namespace HeartbeatServer.Options;

/// <summary>Puts a value into the options.</summary>
internal delegate ServerOptions Change(ServerOptions options);

/// <summary>One option of the <see cref="OptionTable"/>.</summary>
/// <param name="Name">The name on the command line: <c>--max-missed</c>.</param>
/// <param name="ValueName">What the help calls the value.</param>
/// <param name="Help">What the option is for, without its default.</param>
/// <param name="Write">The option's value as a text.</param>
/// <param name="Read">
/// Reads the texts that were given: one, unless the option is a list. The first argument names where they were given: the option or its variable. The
/// last argument is called with a message for each text that is refused. The result is null if there was one.
/// </param>
internal sealed record OptionRow(
    string Name, string ValueName, string Help, Func<ServerOptions, string> Write, Func<string, IReadOnlyList<string>, Action<string>, Change?> Read)
{
    /// <summary>Whether the option may be repeated. Its variable then holds all values, with commas between them.</summary>
    public bool IsList { get; private init; }

    /// <summary>The text that the option means when it is given without a value; null if it needs one.</summary>
    public string? Alone { get; init; }

    /// <summary>Whether the option is for those who develop the server: the help leaves it out, and <c>/status</c> does unless it is set.</summary>
    public bool IsHidden { get; init; }

    /// <summary>The option's variable in the environment: <c>HEARTBEAT_MAX_MISSED</c>.</summary>
    public string Variable => Variables.Prefix + Name[2..].ToUpperInvariant().Replace('-', '_');

    /// <summary>The help with the default, which no line break parts.</summary>
    public string Description => $"{Help}{(IsList ? "; may be repeated" : "")} [default:{HelpPage.FixedSpace}{Write(new ServerOptions())}]";

    /// <summary>A row for an option with one value.</summary>
    public static OptionRow One<T>(
        string name, string valueName, string help, Syntax<T> syntax, Func<ServerOptions, T> get, Func<ServerOptions, T, ServerOptions> set)
    {
        return new OptionRow(name, valueName, help, options => syntax.Write(get(options)), Read);

        Change? Read(string source, IReadOnlyList<string> texts, Action<string> complain)
        {
            if (syntax.Read(texts[0], out T? value) is not { } expected)
                return options => set(options, value!);
            complain(Syntax.Complaint(source, texts[0], expected));
            return null;
        }
    }

    /// <summary>A row for an option with a list of values, each of which has the syntax.</summary>
    public static OptionRow Many<T>(
        string name, string valueName, string help, Syntax<T> syntax, Func<ServerOptions, object> get, Func<ServerOptions, T[], ServerOptions> set)
    {
        return new OptionRow(name, valueName, help, options => $"{get(options)}", Read) { IsList = true };

        Change? Read(string source, IReadOnlyList<string> texts, Action<string> complain)
        {
            var values = new List<T>();
            foreach (string text in texts)
            {
                if (syntax.Read(text, out T? value) is { } expected)
                    complain(Syntax.Complaint(source, text, expected));
                else
                    values.Add(value!);
            }
            return values.Count < texts.Count ? null : options => set(options, [.. values]);
        }
    }
}
