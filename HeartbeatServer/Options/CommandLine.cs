using System.CommandLine;
using System.CommandLine.Parsing;
using System.Net;
using HeartbeatServer.Hosting;
using HeartbeatServer.Protocol;
using Serilog.Events;

namespace HeartbeatServer.Options;

/// <summary>The options of the README: parsed, validated, and taken from the environment where they are not given.</summary>
internal sealed class CommandLine
{
    /// <summary>Exit code for a bad command line.</summary>
    public const int BadCommandLine = 2;

    private static readonly TimeSpan LongestDuration = TimeSpan.FromDays(1);

    private readonly RootCommand _root = new(
        """
        A WebSocket server that keeps connections alive with ping/pong heartbeats, and says why the ones that died, died.

        Durations: 500ms, 10s, 1m30s, 2h, or 0. Sizes: 65536, 64KiB, 1MiB.
        Every option can also come from the environment: HEARTBEAT_PORT, HEARTBEAT_MAX_MISSED; the command line wins.

        Example:
          HeartbeatServer --port 8080 --ping 10s --timeout 500ms --max-missed 3
        """);

    private readonly Command _healthCheck = new(
        "healthcheck", "ask a running server how it is: exit code 0 for healthy, 1 for not, with a line that says why. Takes --port and --host.");

    private readonly Func<string, string?> _environment;
    private readonly List<string> _errors = [];
    private readonly Func<ParseResult, ServerOptions> _read;
    private readonly Func<ParseResult, (string Host, int Port)> _readAddress;

    /// <param name="environment">Looks a variable up; null if it is not set.</param>
    public CommandLine(Func<string, string?> environment)
    {
        _environment = environment;
        var defaults = new ServerOptions();
        Setting<int> port = Add("--port", "port", "TCP port to listen on, 1 to 65535", defaults.Port, Number(1, 65535));
        Setting<string> host = Add("--host", "address", "address or host name to bind; * is every IPv4 interface", defaults.Host, Host);
        Setting<string> path = Add("--path", "path", "where upgrades are accepted", defaults.Path, UrlPath);
        Setting<TimeSpan> ping = Add(
            "--ping", "duration", "time between two pings on one connection; 0 for no pings", defaults.Ping, Time(HeartbeatTimings.Shortest, zero: true), Duration.Format);
        Setting<TimeSpan> timeout = Add(
            "--timeout",
            "duration",
            "how long after a ping its pong counts as in time, at most --ping; 0 to never judge",
            defaults.Timeout,
            Time(HeartbeatTimings.Shortest, zero: true),
            Duration.Format);
        Setting<int> maxMissed = Add(
            "--max-missed", "count", "missed pongs in a row after which the connection is cut", defaults.MaxMissed, Number(1, 1000));
        Setting<OnMessage> onMessage = Add(
            "--on-message", "echo|discard", "what to do with data messages", defaults.OnMessage, Word<OnMessage>(), Lower);
        Setting<int> maxMessage = Add(
            "--max-message",
            "size",
            "larger messages end the connection with 1009",
            defaults.MaxMessage,
            Size(1, 1 << 30),
            size => ByteSize.Format(size));
        Setting<int> maxConnections = Add(
            "--max-connections", "count", "further upgrades get 503; 0 for no limit", defaults.MaxConnections, Number(0, int.MaxValue));
        Setting<int> maxConnectionsPerIp = Add(
            "--max-connections-per-ip",
            "count",
            "further upgrades from the same address get 429; 0 for no limit",
            defaults.MaxConnectionsPerIp,
            Number(0, int.MaxValue));
        Setting<AllowedOrigins> allowOrigin = AddList(
            "--allow-origin",
            "origin",
            "pages that may connect, others get 403: https://app.example.com, *.example.com, null; requests without Origin pass",
            defaults.AllowOrigin,
            AllowedOrigins.IsOrigin,
            "an origin: https://app.example.com (no path), *.example.com, https://*.example.com or null",
            entries => new AllowedOrigins(entries));
        Setting<TrustedProxies> trustProxy = AddList(
            "--trust-proxy",
            "network",
            "proxies whose X-Forwarded-For or Forwarded names the client: 10.0.0.0/8, 127.0.0.1",
            defaults.TrustProxy,
            text => TrustedProxies.TryParse(text, out _),
            "an address or a network, such as 127.0.0.1, 10.0.0.0/8 or fd00::/8",
            entries => new TrustedProxies([.. entries.Select(text => TrustedProxies.TryParse(text, out IPNetwork network) ? network : default)]));
        Setting<TimeSpan> handshakeTimeout = Add(
            "--handshake-timeout",
            "duration",
            "a TCP connection that has not finished its HTTP request by then is closed",
            defaults.HandshakeTimeout,
            Time(TimeSpan.FromMilliseconds(100), zero: false),
            Duration.Format);
        Setting<TimeSpan> drain = Add(
            "--drain",
            "duration",
            "at most this long from SIGTERM or Ctrl+C to the exit; 0 to cut at once",
            defaults.Drain,
            Time(TimeSpan.FromMilliseconds(1), zero: true),
            Duration.Format);
        Setting<TimeSpan> summary = Add(
            "--summary", "duration", "how often to log the totals; 0 for only at the exit", defaults.Summary, Time(TimeSpan.FromSeconds(1), zero: true), Duration.Format);
        Setting<AdminChoice> admin = Add(
            "--admin",
            "host:port",
            "where /metrics, /status and the dashboard are; a port alone is on 127.0.0.1",
            new AdminChoice(defaults.Admin),
            Admin);
        Setting<LogEventLevel> logLevel = Add(
            "--log-level",
            "level",
            "verbose, debug (each ping and pong), information, warning, error or fatal",
            defaults.LogLevel,
            Word<LogEventLevel>(),
            Lower);
        Setting<LogFormat> logFormat = Add(
            "--log-format", "text|json", "text for people, json for programs (one object a line)", defaults.LogFormat, Word<LogFormat>(), Lower);

        _healthCheck.Options.Add(port.Option);
        _healthCheck.Options.Add(host.Option);
        _root.Subcommands.Add(_healthCheck);
        _readAddress = parsed => (host.Read(parsed), port.Read(parsed));
        _read = parsed => Check(
            new ServerOptions
            {
                Port = port.Read(parsed),
                Host = host.Read(parsed),
                Path = path.Read(parsed),
                Ping = ping.Read(parsed),
                Timeout = timeout.Read(parsed),
                MaxMissed = maxMissed.Read(parsed),
                OnMessage = onMessage.Read(parsed),
                MaxMessage = maxMessage.Read(parsed),
                MaxConnections = maxConnections.Read(parsed),
                MaxConnectionsPerIp = maxConnectionsPerIp.Read(parsed),
                AllowOrigin = allowOrigin.Read(parsed),
                TrustProxy = trustProxy.Read(parsed),
                HandshakeTimeout = handshakeTimeout.Read(parsed),
                Drain = drain.Read(parsed),
                Summary = summary.Read(parsed),
                Admin = admin.Read(parsed).Address,
                LogLevel = logLevel.Read(parsed),
                LogFormat = logFormat.Read(parsed),
            },
            timeout.IsGiven(parsed));
    }

    /// <summary>Makes a value of a text, or says what would have been accepted.</summary>
    private delegate T Parser<T>(string text, Action<string> expected);

    /// <summary>Reads the arguments, and runs what they ask for: the server, the health check, the help or the version.</summary>
    /// <returns>The exit code.</returns>
    public async Task<int> RunAsync(IReadOnlyList<string> arguments, TextWriter output, TextWriter error, Func<ServerOptions, Task<int>> serve)
    {
        _root.SetAction(async (parsed, _) =>
        {
            ServerOptions options = _read(parsed);
            return _errors.Count == 0 ? await serve(options) : await RejectAsync(error);
        });
        _healthCheck.SetAction(async (parsed, _) =>
        {
            (string host, int port) = _readAddress(parsed);
            return _errors.Count == 0 ? await HealthCheck.RunAsync(new HostPort(host, port), output) : await RejectAsync(error);
        });
        ParseResult result = _root.Parse(arguments);
        if (result.Errors.Count > 0)
        {
            _errors.AddRange(result.Errors.Select(e => e.Message));
            return await RejectAsync(error);
        }
        // The server handles SIGTERM and SIGINT itself.
        return await result.InvokeAsync(new InvocationConfiguration { Output = output, Error = error, ProcessTerminationTimeout = null });
    }

    /// <summary>The rules between options.</summary>
    private ServerOptions Check(ServerOptions options, bool timeoutIsGiven)
    {
        if (options.Admin is { } admin && admin.Overlaps(options.Address))
            _errors.Add($"--admin: '{admin}' has the port of --port, {options.Port}. The admin listener needs one of its own.");
        if (options.Ping == TimeSpan.Zero || options.Timeout <= options.Ping)
            return options;
        // A short --ping alone is no mistake: the default timeout follows it down.
        if (!timeoutIsGiven)
            return options with { Timeout = options.Ping };
        _errors.Add(
            $"--timeout: '{Duration.Format(options.Timeout)}' is longer than --ping, '{Duration.Format(options.Ping)}'. "
            + "A pong has to be judged before the next ping: at most the same.");
        return options;
    }

    private async Task<int> RejectAsync(TextWriter error)
    {
        foreach (string message in _errors)
            await error.WriteLineAsync(message);
        await error.WriteLineAsync("See --help.");
        return BadCommandLine;
    }

    private Setting<T> Add<T>(string name, string valueName, string description, T fallback, Parser<T> parse, Func<T, string>? format = null) => Add(
        new Option<T>(name)
        {
            HelpName = valueName,
            Description = $"{description} [default: {format?.Invoke(fallback) ?? $"{fallback}"}]",
            CustomParser = argument =>
            {
                string text = argument.Tokens[^1].Value;
                return parse(text, expected => argument.AddError(Complaint(name, text, expected)));
            },
        },
        fallback,
        (variable, text) => parse(text, expected => _errors.Add(Complaint(variable, text, expected))));

    /// <summary>An option that may be repeated; in the environment, a list with commas.</summary>
    private Setting<T> AddList<T>(
        string name, string valueName, string description, T fallback, Predicate<string> isGood, string expected, Func<string[], T> make)
    {
        return Add(
            new Option<T>(name)
            {
                HelpName = valueName,
                Description = $"{description}; may be repeated [default: {fallback}]",
                Arity = ArgumentArity.OneOrMore,
                CustomParser = argument => Read([.. argument.Tokens.Select(token => token.Value)], name, argument.AddError),
            },
            fallback,
            (variable, text) => Read(text.Split(',', StringSplitOptions.TrimEntries), variable, _errors.Add));

        T Read(string[] entries, string source, Action<string> complain)
        {
            string[] bad = Array.FindAll(entries, entry => !isGood(entry));
            foreach (string entry in bad)
                complain(Complaint(source, entry, expected));
            return bad.Length == 0 ? make(entries) : fallback;
        }
    }

    /// <param name="option">Reads the command line.</param>
    /// <param name="fallback">If neither says anything.</param>
    /// <param name="readVariable">Reads the environment: the name and the text of the variable.</param>
    private Setting<T> Add<T>(Option<T> option, T fallback, Func<string, string, T> readVariable)
    {
        _root.Options.Add(option);
        string variable = "HEARTBEAT_" + option.Name[2..].ToUpperInvariant().Replace('-', '_');
        return new Setting<T>(
            option,
            parsed => parsed.GetResult(option) is not null ? parsed.GetValue(option)!
                : _environment(variable) is { Length: > 0 } text ? readVariable(variable, text)
                : fallback,
            parsed => parsed.GetResult(option) is not null || _environment(variable) is { Length: > 0 });
    }

    private static string Complaint(string source, string text, string expected) => $"{source}: '{text}' is not {expected}.";

    private static Parser<int> Number(int least, int most) => (text, expected) =>
    {
        if (int.TryParse(text, out int number) && number >= least && number <= most)
            return number;
        expected($"a whole number from {least} to {most}");
        return least;
    };

    private static Parser<int> Size(int least, int most) => (text, expected) =>
    {
        if (ByteSize.TryParse(text, out long size) && size >= least && size <= most)
            return (int)size;
        expected($"a size from {ByteSize.Format(least)} to {ByteSize.Format(most)}, such as 65536, 64KiB or 1MiB");
        return least;
    };

    private static Parser<TimeSpan> Time(TimeSpan least, bool zero) => (text, expected) =>
    {
        if (Duration.TryParse(text, out TimeSpan time) && ((zero && time == TimeSpan.Zero) || (time >= least && time <= LongestDuration)))
            return time;
        expected($"a duration from {Duration.Format(least)} to {Duration.Format(LongestDuration)}{(zero ? ", or 0" : "")}, such as 500ms, 10s or 1m30s");
        return least;
    };

    private static Parser<T> Word<T>() where T : struct, Enum => (text, expected) =>
    {
        foreach (T value in Enum.GetValues<T>())
        {
            if (Lower(value).Equals(text, StringComparison.OrdinalIgnoreCase))
                return value;
        }
        expected("one of " + string.Join(", ", Enum.GetValues<T>().Select(Lower)));
        return default;
    };

    private static string Host(string text, Action<string> expected)
    {
        if (!HostPort.TryParseHost(text, out string? host))
            expected("an address, a host name or * (every IPv4 interface)");
        return host ?? text;
    }

    private static AdminChoice Admin(string text, Action<string> expected)
    {
        if (!HostPort.TryParse(text, out HostPort? address) && text != "off")
            expected("a port from 1 to 65535, host:port, such as 127.0.0.1:9090, [::1]:9090 or *:9090, or off");
        return new AdminChoice(address);
    }

    /// <summary>The library takes null for a value that was not given.</summary>
    private readonly record struct AdminChoice(HostPort? Address)
    {
        public override string ToString() => Address?.ToString() ?? "off";
    }

    private static string UrlPath(string text, Action<string> expected)
    {
        // As a request's path is compared: in the form that Uri gives it.
        if (!text.StartsWith('/') || text.StartsWith("//", StringComparison.Ordinal)
            || !Uri.TryCreate("http://host" + text, UriKind.Absolute, out Uri? uri) || uri.AbsolutePath != text)
        {
            expected("a URL path without a query, such as /ws, as a client sends it (percent-encoded where it has to be)");
        }
        else if (text == ServerOptions.HealthPath)
        {
            expected("free: health checks go there");
        }
        return text;
    }

#pragma warning disable CA1308 // Lower case is how it is written on the command line.
    private static string Lower<T>(T value) where T : struct, Enum => value.ToString().ToLowerInvariant();
#pragma warning restore CA1308

    /// <param name="Option">As the parser knows it.</param>
    /// <param name="Read">From the command line, else the environment, else the default.</param>
    /// <param name="IsGiven">Whether it is not the default that is read, though it may be equal to it.</param>
    private sealed record Setting<T>(Option<T> Option, Func<ParseResult, T> Read, Func<ParseResult, bool> IsGiven);
}
