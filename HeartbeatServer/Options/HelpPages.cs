namespace HeartbeatServer.Options;

/// <summary>The pages of <c>--help</c>.</summary>
internal static class HelpPages
{
    private static readonly HelpSection Documentation = new("Documentation", [
        ("README.md", "what the server does, and what its causes mean; beside the program in the archive of a release"),
        ("docs/reference.md", "every option, answer, metric and line of the log"),
        ("docs/probe.md", "the probe, and how to read its verdicts"),
        ("docs/troubleshooting.md", "\"my WebSocket drops every N seconds\""),
    ]);

    /// <summary>The page of the program itself: the server.</summary>
    public static HelpPage Server { get; } = new(
        "A WebSocket server that keeps connections alive with ping/pong heartbeats, and says why the ones that died, died.",
        [
            new HelpSection("Usage", [
                ("HeartbeatServer [options]", "serve"),
                ("HeartbeatServer healthcheck [URL]", "ask a running server how it is"),
                ("HeartbeatServer probe URL", "find out which silence the way to a WebSocket survives"),
            ]),
            new HelpSection("Example", [("HeartbeatServer --port 8080 --ping 10s --admin 9090", "")]),
            .. OptionTable.Groups.Select(group => new HelpSection(group.Title, Rows(group.Rows))).Where(section => section.Rows.Count > 0),
            new HelpSection("Other options", [
                ("--version", "show the version and the commit"),
                ("-h, -?, --help", "show this; after a command, what it takes"),
            ]),
            new HelpSection("Values", [
                ("duration", "500ms, 10s, 1m30s, 2h, 1d, or 0"),
                ("size", "65536, 64KiB, 1MiB, 1MB (a million)"),
                ("environment", "every option can also come from there: HEARTBEAT_PORT, HEARTBEAT_MAX_MISSED; the command line wins"),
            ]),
            new HelpSection("Exit codes", [
                ("0", "stopped cleanly"),
                ("1", "could not start, or failed"),
                ("2", "an option or a variable is wrong"),
            ]),
            Documentation,
        ]);

    /// <summary>The page of <c>healthcheck</c>.</summary>
    /// <param name="options">The options that it takes.</param>
    public static HelpPage HealthCheck(IEnumerable<OptionRow> options) => new(
        "Asks a running server how it is, and prints one line that says why. A container without a shell can check itself with it.",
        [
            new HelpSection("Usage", [
                ("HeartbeatServer healthcheck", "ask the server of this machine"),
                ("HeartbeatServer healthcheck URL", "ask that server; a URL without a path means /healthz"),
            ]),
            new HelpSection("Example", [
                ("HeartbeatServer healthcheck --port 8080", ""),
                ("HeartbeatServer healthcheck http://127.0.0.1:9090/readyz", ""),
            ]),
            new HelpSection("Which server, without a URL", Rows(options)),
            new HelpSection("Exit codes", [
                ("0", "healthy: the answer is 200 to 299, within 2s"),
                ("1", "not healthy: another answer, or none; or the output cannot be written"),
                ("2", "an option or a variable is wrong"),
            ]),
            Documentation,
        ]);

    /// <summary>The page of <c>probe</c>.</summary>
    public static HelpPage Probe { get; } = new(
        "Finds out which silence the way to a WebSocket survives, and which --ping it takes. It needs nothing but the URL. "
        + "It opens at most 24 connections, is silent on most of them, and says which silence ends them, and how. Ctrl+C shows what is known by then. "
        + "With --for below 35s it is a plain client: one connection, and the pings as they come.",
        [
            new HelpSection("Usage", [("HeartbeatServer probe URL [options]", "")]),
            new HelpSection("Example", [
                ("HeartbeatServer probe wss://example.com/ws", ""),
                ("HeartbeatServer probe ws://localhost:8080/ws --for 15s", ""),
            ]),
            new HelpSection("Options", [
                ("--for <duration>", "how long it measures at most [default: 5m]"),
                ("--header <\"Name: value\">", "a field for each request, or @file with one field a line; may be repeated"),
                ("--subprotocol <name>", "a subprotocol that is offered; may be repeated"),
                ("--origin <origin>", "the Origin field, as a browser sends it: https://app.example.com"),
                ("--send <text>", "a text message that each connection sends once, for an application that waits for one"),
                ("--insecure", "take the server's certificate as it is"),
                ("--json", "write one JSON object, and nothing else"),
            ]),
            new HelpSection("Exit codes", [
                ("0", "no limit was found within --for; a plain client was open to its end, and its pings were answered"),
                ("1", "no connection; or the output cannot be written"),
                ("2", "an option is wrong"),
                ("3", "a limit was found"),
                ("4", "not known: the server itself breaks the silence or answers no ping, connections end at random, or the probe was interrupted"),
            ]),
            Documentation,
        ]);

    private static IReadOnlyList<(string Term, string Text)> Rows(IEnumerable<OptionRow> rows) =>
        [.. rows.Where(row => !row.IsHidden).Select(row => ($"{row.Name} <{row.ValueName}>", row.Description))];
}
