using System.CommandLine;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Options;

/// <summary>Reads the command line of <c>HeartbeatServer probe</c>. Nothing of it comes from the environment.</summary>
internal sealed class ProbeCommand
{
    /// <summary>The probe writes these itself, or has an option for them.</summary>
    private static readonly Dictionary<string, string> OwnFields = new(StringComparer.OrdinalIgnoreCase)
    {
        ["Connection"] = "the probe writes it itself",
        ["Upgrade"] = "the probe writes it itself",
        ["Content-Length"] = "an upgrade has no body",
        ["Transfer-Encoding"] = "an upgrade has no body",
        ["Sec-WebSocket-Key"] = "the probe writes it itself",
        ["Sec-WebSocket-Version"] = "the probe writes it itself",
        ["Sec-WebSocket-Extensions"] = "the probe offers none",
        ["Sec-WebSocket-Protocol"] = "it is --subprotocol",
        ["Origin"] = "it is --origin",
        ["User-Agent"] = "the probe says there what it is",
    };

    private static readonly Syntax<TimeSpan> Span = Syntax.Time(TimeSpan.FromSeconds(1));

    private readonly Argument<string?> _url = new("URL") { Arity = ArgumentArity.ZeroOrOne };
    private readonly Option<string> _for = new("--for");
    private readonly Option<string[]> _headers = new("--header");
    private readonly Option<string[]> _subprotocols = new("--subprotocol");
    private readonly Option<string> _origin = new("--origin");
    private readonly Option<string> _message = new("--send");
    private readonly Option<bool> _insecure = new("--insecure");
    private readonly Option<bool> _json = new("--json");

    public ProbeCommand() => Command = new Command("probe") { _url, _for, _headers, _subprotocols, _origin, _message, _insecure, _json };

    /// <summary>Its action is the caller's.</summary>
    public Command Command { get; }

    /// <param name="parsed">The arguments.</param>
    /// <param name="errors">Gets what is wrong with them.</param>
    /// <returns>The options; null if there is no usable URL, which is an error.</returns>
    public ProbeOptions? Read(ParseResult parsed, List<string> errors)
    {
        ProbeUrl? url = null;
        if (parsed.GetValue(_url) is { } text)
            url = Read<ProbeUrl>(ProbeUrl.Read, "URL", text, errors);
        else
            errors.Add("probe: the URL is missing, such as ws://localhost:8080/ws or wss://example.com/chat.");
        List<(string, string)> headers = [.. (parsed.GetValue(_headers) ?? []).SelectMany(header => ReadHeader(header, errors))];
        string[] subprotocols = parsed.GetValue(_subprotocols) ?? [];
        foreach (string name in subprotocols.Where(name => !RequestHead.IsToken(name)))
            errors.Add($"--subprotocol: '{name}' is not the name of a subprotocol, such as mqtt or graphql-transport-ws.");
        // RFC 6455 section 4.1: the names must all be unique.
        if (subprotocols.Distinct().Count() < subprotocols.Length)
            errors.Add("--subprotocol: a name is given twice.");
        string? origin = parsed.GetValue(_origin);
        if (origin is not null && !IsValue(origin))
            errors.Add("--origin: it has a character that no field can have.");
        return url is null ? null : new ProbeOptions(url)
        {
            For = parsed.GetValue(_for) is { } time ? Read(Span.Read, "--for", time, errors) : new ProbeOptions(url).For,
            Headers = headers,
            Subprotocols = subprotocols,
            Origin = origin,
            Message = parsed.GetValue(_message),
            IsInsecure = parsed.GetValue(_insecure),
            IsJson = parsed.GetValue(_json),
        };
    }

    private static T? Read<T>(Reader<T> reader, string source, string text, List<string> errors)
    {
        if (reader(text, out T? value) is { } expected)
            errors.Add(Syntax.Complaint(source, text, expected));
        return value;
    }

    /// <summary>Reads <c>Name: value</c>, or a file of such lines. The values stay out of the messages: they may be secrets.</summary>
    private static (string Name, string Value)[] ReadHeader(string text, List<string> errors)
    {
        if (!text.StartsWith('@'))
            return ReadField(text, "--header", errors);
        string file = text[1..];
        try
        {
            return [.. File.ReadLines(file)
                .Select((line, index) => (Line: line, Source: $"--header: line {index + 1} of {file}"))
                .Where(each => each.Line.Trim().Length > 0)
                .SelectMany(each => ReadField(each.Line, each.Source, errors))];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            errors.Add($"--header: '{file}' cannot be read: {e.Message}");
            return [];
        }
    }

    private static (string Name, string Value)[] ReadField(string text, string source, List<string> errors)
    {
        string[] parts = text.Split(':', 2);
        string name = parts[0];
        if (parts.Length < 2 || !RequestHead.IsToken(name) || !IsValue(parts[1]))
            errors.Add($"{source}: it is no field: a name, a colon right behind it, and a value of printable characters.");
        else if (OwnFields.TryGetValue(name, out string? why))
            errors.Add($"{source}: {name} cannot be given: {why}.");
        else
            return [(name, parts[1].Trim(' ', '\t'))];
        return [];
    }

    /// <summary>The characters of a field's value (RFC 9110 section 5.5). What is beyond ASCII goes out as UTF-8.</summary>
    private static bool IsValue(string text) => text.All(c => c == '\t' || !char.IsControl(c));
}
