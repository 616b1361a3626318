using System.Globalization;
using System.Net;
using System.Numerics;
using System.Text.RegularExpressions;
using HeartbeatServer.Protocol;
using Serilog.Events;

namespace HeartbeatServer.Options;

/// <summary>Reads a value from a text.</summary>
/// <returns>Null if the text is such a value; else what would be accepted, worded to stand behind "is not".</returns>
internal delegate string? Reader<T>(string text, out T? value);

/// <summary>How a kind of value is read and written.</summary>
internal sealed record Syntax<T>(Reader<T> Read, Func<T, string> Write);

/// <summary>The kinds of values.</summary>
internal static partial class Syntax
{
    private static readonly TimeSpan LongestDuration = TimeSpan.FromDays(1);

    private delegate bool Rule<T>(string text, out T value);

    /// <summary>The message for a text that is refused. A name and a password in a URL stay out of it, because messages stand in logs.</summary>
    /// <param name="source">Where the text was given: an option, a variable, an argument.</param>
    /// <param name="text">The text.</param>
    /// <param name="expected">What would be accepted.</param>
    public static string Complaint(string source, string text, string expected) => $"{source}: '{UserInfo().Replace(text, "//***@")}' is not {expected}.";

    public static Syntax<bool> Flag { get; } = Word(StringComparison.OrdinalIgnoreCase, ("true", true), ("false", false));

    public static Syntax<string> Host { get; } = new(
        (text, out host) => HostPort.TryParseHost(text, out host) ? null : "an address, a host name or * (every interface, IPv4 and IPv6)",
        host => host);

    /// <summary>Null, written <c>off</c>, is no address.</summary>
    public static Syntax<HostPort?> AddressOrOff { get; } = new(
        (text, out address) => HostPort.TryParse(text, out address) || text == "off"
            ? null
            : "a port from 1 to 65535, host:port, such as 127.0.0.1:9090, [::1]:9090 or *:9090, or off",
        address => address?.ToString() ?? "off");

    /// <summary>
    /// The address of an application, as a URL without a path. <c>http</c> and <c>ws</c> mean the same, and so do <c>https</c> and <c>wss</c>: the port has
    /// both. Null, written <c>none</c>, is no address.
    /// </summary>
    public static Syntax<UpstreamUrl?> UrlOrNone { get; } = new(ReadUrl, url => url?.ToString() ?? "none");

    /// <summary>Where a server is asked how it is. A URL without a path means that of the health check.</summary>
    public static Syntax<Uri> HealthUrl { get; } = new(ReadHealthUrl, url => url.ToString());

    /// <summary>The path of a file. Null, written <c>none</c>, is no file.</summary>
    public static Syntax<string?> FileOrNone { get; } = new(
        (text, out file) =>
        {
            file = text is "none" ? null : text;
            return string.IsNullOrWhiteSpace(text) || text.EndsWith('/') ? "the path of a file" : null;
        },
        file => file ?? "none");

    public static Syntax<string> UrlPath { get; } = new(ReadUrlPath, path => path);

    public static Syntax<string> Origin { get; } = new(
        (text, out origin) =>
        {
            origin = text;
            return AllowedOrigins.IsOrigin(text) ? null : "an origin: https://app.example.com (no path), capacitor://localhost, file://, *.example.com, https://*.example.com or null";
        },
        origin => origin);

    public static Syntax<string> Subprotocol { get; } = new(
        (text, out name) =>
        {
            name = text;
            return RequestHead.IsToken(text) ? null : "the name of a subprotocol, such as mqtt or graphql-transport-ws, or none";
        },
        name => name);

    public static Syntax<IPNetwork> Network { get; } = new(
        (text, out network) =>
            TrustedProxies.TryParse(text, out network) ? null : "an address or a network, such as 127.0.0.1, 10.0.0.0/8 or fd00::/8",
        network => network.ToString());

    /// <summary>A whole number. Spaces may stand around it, as they may in a file of variables, and a sign before it.</summary>
    public static Syntax<T> Number<T>(T least, T most) where T : struct, IBinaryInteger<T> => Number(least, most, NumberStyles.Integer);

    /// <summary>A whole number that is written in digits alone.</summary>
    public static Syntax<T> Digits<T>(T least, T most) where T : struct, IBinaryInteger<T> => Number(least, most, NumberStyles.None);

    /// <summary>A size in bytes, or 0.</summary>
    /// <param name="least">The least that is accepted beside 0.</param>
    /// <param name="most">The most that is accepted.</param>
    /// <param name="orZero">Says behind the range when 0 is accepted.</param>
    public static Syntax<T> SizeOrZero<T>(T least, T most, string orZero) where T : struct, IBinaryInteger<T>
    {
        string range = $"a size from {ByteSize.Format(long.CreateChecked(least))} to {ByteSize.Format(long.CreateChecked(most))}{orZero}";
        return new((text, out bytes) => Read(text, out bytes) ? null : range + SuchAs<T>(Read, "65536", "64KiB", "1MiB", "1MB"), bytes => ByteSize.Format(long.CreateChecked(bytes)));

        bool Read(string text, out T bytes)
        {
            bool isGood = ByteSize.TryParse(text, out long size) && (size == 0 || (size >= long.CreateChecked(least) && size <= long.CreateChecked(most)));
            bytes = isGood ? T.CreateChecked(size) : T.Zero;
            return isGood;
        }
    }

    /// <summary>A duration up to a day.</summary>
    public static Syntax<TimeSpan> Time(TimeSpan least) => Time(least, orZero: "");

    /// <inheritdoc cref="Time(TimeSpan)"/>
    public static Syntax<TimeSpan> TimeOrZero(TimeSpan least) => Time(least, orZero: ", or 0");

    /// <summary>The levels of the log, and the names that other programs have for them.</summary>
    public static Syntax<LogEventLevel> LogLevel { get; } = Aliased(
        Word<LogEventLevel>(),
        ("trace", LogEventLevel.Verbose), ("info", LogEventLevel.Information), ("warn", LogEventLevel.Warning), ("err", LogEventLevel.Error),
        ("critical", LogEventLevel.Fatal));

    /// <summary>The values of an enumeration, in lower case when they are written, and in any case when they are read.</summary>
    public static Syntax<T> Word<T>() where T : struct, Enum =>
#pragma warning disable CA1308 // Lower case is how it is written on the command line.
        Word(StringComparison.OrdinalIgnoreCase, [.. Enum.GetValues<T>().Select(value => (value.ToString().ToLowerInvariant(), value))]);
#pragma warning restore CA1308

    public static Syntax<T> Word<T>(StringComparison comparison, params (string Word, T Value)[] words) => new(
        (text, out value) =>
        {
            int found = Array.FindIndex(words, each => each.Word.Equals(text, comparison));
            value = found < 0 ? default : words[found].Value;
            return found < 0 ? "one of " + string.Join(", ", words.Select(each => each.Word)) : null;
        },
        value => Array.Find(words, each => EqualityComparer<T>.Default.Equals(each.Value, value)).Word);

    /// <summary>Other words that are read, and never written.</summary>
    private static Syntax<T> Aliased<T>(Syntax<T> syntax, params (string Alias, T Value)[] aliases) => syntax with
    {
        Read = (text, out value) =>
        {
            int found = Array.FindIndex(aliases, each => each.Alias.Equals(text, StringComparison.OrdinalIgnoreCase));
            if (found < 0)
                return syntax.Read(text, out value);
            value = aliases[found].Value;
            return null;
        },
    };

    private static Syntax<T> Number<T>(T least, T most, NumberStyles style) where T : struct, IBinaryInteger<T> => new(
        (text, out number) => WholeNumber.TryParse(text, style, least, most, out number) ? null : $"a whole number from {least} to {most}",
        number => number.ToString(null, CultureInfo.InvariantCulture));

    private static Syntax<TimeSpan> Time(TimeSpan least, string orZero)
    {
        string range = $"a duration from {Duration.Format(least)} to {Duration.Format(LongestDuration)}{orZero}";
        return new((text, out time) => Read(text, out time) ? null : range + SuchAs<TimeSpan>(Read, "500ms", "10s", "1m30s", "2h"), Duration.Format);

        bool Read(string text, out TimeSpan time) =>
            Duration.TryParse(text, out time) && ((time >= least && time <= LongestDuration) || (time == TimeSpan.Zero && orZero.Length > 0));
    }

    /// <summary>Examples to stand behind a rule: those of the texts that the rule takes.</summary>
    private static string SuchAs<T>(Rule<T> rule, params string[] texts)
    {
        string[] good = [.. texts.Where(text => rule(text, out _))];
        return good.Length < 2 ? string.Concat(good.Select(text => $", such as {text}")) : $", such as {string.Join(", ", good[..^1])} or {good[^1]}";
    }

    // Also of what is no URL as a whole. Of several @ the last one stands before the host.
    [GeneratedRegex("//.*@")]
    private static partial Regex UserInfo();

    private static string? ReadUrl(string text, out UpstreamUrl? url)
    {
        // The default ports are those of RFC 6455 section 3 and RFC 9110 section 4.2.
        (string Scheme, int Port, bool HasTls)[] schemes = [("http://", 80, false), ("ws://", 80, false), ("https://", 443, true), ("wss://", 443, true)];
        url = null;
        if (text == "none")
            return null;
        var (scheme, port, hasTls) = Array.Find(schemes, each => text.StartsWith(each.Scheme, StringComparison.OrdinalIgnoreCase));
        if (scheme is null)
            return "the URL of an application, such as http://127.0.0.1:3000, ws://app:3000 or wss://app.example.com";
        string rest = text[scheme.Length..];
        if (rest.Contains('@', StringComparison.Ordinal))
            return "a URL without a name and a password: the Authorization of each request goes on to the application as it is";
        // A slash alone is no path (RFC 9110 section 4.2.3).
        if (rest.IndexOf('/', StringComparison.Ordinal) == rest.Length - 1)
            rest = rest.TrimEnd('/');
        if (rest.AsSpan().IndexOfAny("/?#") >= 0)
            return "a URL without a path: the target of each request goes on to the application as it is";
        // An IPv6 address stands in brackets.
        string hostAndPort = rest.LastIndexOf(':') > rest.LastIndexOf(']') ? rest : $"{rest}:{port}";
        if (!HostPort.TryParse(hostAndPort, out HostPort? address) || address.Host == "*" || hostAndPort.StartsWith(':'))
            return "the URL of an application with a host and a port from 1 to 65535, such as http://app:3000 or ws://[::1]:3000";
        url = new UpstreamUrl(address, hasTls);
        return null;
    }

    private static string? ReadHealthUrl(string text, out Uri? url)
    {
        bool isGood = Uri.TryCreate(text, UriKind.Absolute, out url) && (url.Scheme == Uri.UriSchemeHttp || url.Scheme == Uri.UriSchemeHttps);
        if (isGood && url!.PathAndQuery == "/")
            url = new Uri(url, ServerOptions.HealthPath);
        return isGood ? null : "the http:// or https:// URL of a server, such as http://127.0.0.1:8080 or https://ws.example.com/healthz";
    }

    private static string? ReadUrlPath(string text, out string path)
    {
        path = text;
        if (text == ServerOptions.EveryPath)
            return null;
        // The path is compared with that of each request, so it has to have the form that Uri gives to a request's path.
        if (!text.StartsWith('/') || text.StartsWith("//", StringComparison.Ordinal)
            || !Uri.TryCreate("http://host" + text, UriKind.Absolute, out Uri? uri) || uri.AbsolutePath != text)
        {
            return "a URL path without a query, as a client sends it (percent-encoded where it has to be), or * (every path), such as /ws or *";
        }
        return text == ServerOptions.HealthPath ? "free: health checks go there" : null;
    }
}
