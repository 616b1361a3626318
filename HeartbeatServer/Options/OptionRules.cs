namespace HeartbeatServer.Options;

/// <summary>The rules between options: which need each other, which exclude each other, and which defaults follow another option.</summary>
/// <param name="sourceOf">What gives an option: its name if the command line does, its variable if the environment does; null if nothing does.</param>
/// <param name="complain">Called with a message for each rule that is broken.</param>
internal sealed class OptionRules(Func<string, string?> sourceOf, Action<string> complain)
{
    /// <summary>What these say has no effect on an echo server.</summary>
    private static readonly string[] OfRelay = ["--upstream-http", "--upstream-timeout"];

    /// <param name="options">The options as they were given.</param>
    /// <returns>The options with the defaults that follow from them.</returns>
    public ServerOptions Apply(ServerOptions options)
    {
        if (options.Admin is { } admin && admin.Overlaps(options.Address))
            Refuse("--admin", $"'{admin}' has the port of --port, {options.Port}. The admin listener needs one of its own.");
        if (options.TlsCert is null != options.TlsKey is null)
            Refuse(options.TlsCert is null ? "--tls-key" : "--tls-cert", "alone it is of no use. --tls-cert and --tls-key come together.");
        if (options.Subprotocol.IsContradiction)
            Refuse("--subprotocol", $"'{options.Subprotocol}' names subprotocols, and none. The word none stands alone.");
        CheckTrust(options);
        return WithTimeout(options.Upstream is null ? AsEcho(options) : AsRelay(options));
    }

    /// <summary>Who vouches for the application.</summary>
    private void CheckTrust(ServerOptions options)
    {
        const string onlyWithTls = "only with --upstream https:// or wss://.";
        bool hasTls = options.Upstream is { HasTls: true };
        if (options.UpstreamCa is not null && !hasTls)
            Refuse("--upstream-ca", onlyWithTls);
        if (options.UpstreamInsecure && !hasTls)
            Refuse("--upstream-insecure", onlyWithTls);
        if (options.UpstreamCa is not null && options.UpstreamInsecure)
            Refuse("--upstream-insecure", "with --upstream-ca the certificate is verified.");
    }

    /// <summary>What makes no sense without <c>--upstream</c>.</summary>
    private ServerOptions AsEcho(ServerOptions options)
    {
        foreach (string option in OfRelay.Where(IsGiven))
            Refuse(option, "only with --upstream.");
        if (options.MaxMessage == 0)
            Refuse("--max-message", "'0' is no limit, and possible only with --upstream. The echo server holds a message until it is whole.");
        return options;
    }

    /// <summary>What <c>--upstream</c> rules out, and the defaults that it changes.</summary>
    private ServerOptions AsRelay(ServerOptions options)
    {
        if (IsGiven("--on-message"))
            Refuse("--on-message", "with --upstream the application answers the messages.");
        if (IsGiven("--subprotocol"))
            Refuse("--subprotocol", "with --upstream the application chooses the subprotocol.");
        return options with
        {
            Path = IsGiven("--path") ? options.Path : ServerOptions.EveryPath,
            MaxMessage = IsGiven("--max-message") ? options.MaxMessage : 0,
        };
    }

    private ServerOptions WithTimeout(ServerOptions options)
    {
        if (options.Ping == TimeSpan.Zero || options.Timeout <= options.Ping)
            return options;
        // A short --ping alone is no mistake: the default timeout follows it down.
        if (!IsGiven("--timeout"))
            return options with { Timeout = options.Ping };
        Refuse(
            "--timeout",
            $"'{Duration.Format(options.Timeout)}' is longer than --ping, '{Duration.Format(options.Ping)}'. "
            + "A pong has to be judged before the next ping: at most the same.");
        return options;
    }

    private bool IsGiven(string option) => sourceOf(option) is not null;

    private void Refuse(string option, string why) => complain($"{sourceOf(option) ?? option}: {why}");
}
