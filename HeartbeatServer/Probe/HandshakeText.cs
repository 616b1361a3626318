using System.Globalization;
using HeartbeatServer.Options;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Probe;

/// <summary>Says in words how the handshake went, and what the answer shows of the way. Pure.</summary>
/// <param name="options">What was asked for.</param>
/// <param name="secrets">What must not be shown.</param>
internal sealed class HandshakeText(ProbeOptions options, Secrets secrets)
{
    private const int MostOfBody = 1000;
    private const int MostLines = 20;
    private const int MostOfValue = 200;

    /// <summary>Fields by which servers and proxies tell who they are. A name that ends with a dash stands for all that begin so.</summary>
    private static readonly string[] OfTheWay =
    [
        "Server", "Via", "X-Powered-By", "CF-RAY", "X-Amzn-", "X-Amz-Cf-", "X-Azure-", "X-MSEdge-Ref", "X-Envoy-", "X-Served-By", "X-Cache", "X-Kong-",
        "X-Vercel-", "Fly-Request-Id", "X-Proxy-", "X-Varnish",
    ];

    /// <summary>Fields by which a refusal says what to do.</summary>
    private static readonly string[] OfARefusal = ["Location", "WWW-Authenticate", "Retry-After", "Upgrade", "Sec-WebSocket-Version"];

    /// <summary>The fields of an answer that tell of the way, as people may see them.</summary>
    public IReadOnlyList<(string Name, string Value)> Way(AnswerHead head) => Fields(head, OfTheWay);

    /// <summary>The lines about a connection.</summary>
    public IEnumerable<string> Connected(Dialed dialed)
    {
        yield return $"{options.Url.Shown} at {dialed.Address}";
        yield return $"  connected: {Times(dialed)}";
        foreach ((string name, string value) in Way(dialed.Head!))
            yield return $"  on the way: {name}: {value}";
        if (options.Subprotocols.Count > 0)
            yield return $"  subprotocol: {(dialed.Head!.Fields["Sec-WebSocket-Protocol"] is { Length: > 0 } one ? secrets.Hide(one) : "none was chosen")}";
    }

    /// <summary>The lines about a refusal, or about no connection at all.</summary>
    public IEnumerable<string> Refused(Dialed dialed)
    {
        if (dialed.Fault is { } fault)
        {
            yield return $"No connection: {secrets.Hide(fault)}";
            yield break;
        }
        AnswerHead head = dialed.Head!;
        yield return $"{options.Url.Shown} at {dialed.Address}";
        yield return $"  refused: {Number(head.Status)} {secrets.Hide(head.Phrase)} ({Times(dialed)})";
        foreach ((string name, string value) in Fields(head, [.. OfARefusal, .. OfTheWay]))
            yield return $"  {name}: {value}";
        foreach (string line in Body(dialed.Body))
            yield return $"  | {line}";
        yield return $"No connection: {Meaning(head.Status)}";
    }

    /// <summary>The beginning of a body in lines.</summary>
    private string[] Body(string body)
    {
        string shown = body.Length > MostOfBody ? body[..MostOfBody] + "..." : body;
        string[] lines = [.. shown.Split('\n').Select(line => secrets.Hide(line.Trim('\r', ' ', '\t'))).Where(line => line.Length > 0)];
        return lines.Length > MostLines ? [.. lines[..MostLines], "..."] : lines;
    }

    private static string Meaning(int status) => status switch
    {
        401 or 407 => "the server wants to know who you are: --header \"Authorization: Bearer ...\", or a cookie.",
        403 => "the server does not allow it: look at --origin, or at the --header with your credentials.",
        404 => "there is nothing at this path. A proxy may have cut off a prefix.",
        426 => "the server saw no upgrade: a proxy does not pass Connection and Upgrade on, or the version is another one.",
        429 => "too many connections or requests from this address.",
        502 or 504 => "a proxy answered, and the server behind it did not.",
        503 => "the server is full, or it is being stopped.",
        >= 300 and < 400 => "the server sends you elsewhere. The probe does not follow: give it that URL.",
        >= 200 and < 300 => "this is a page, and no WebSocket. Look at the path, and whether a proxy passes Connection and Upgrade on.",
        _ => "the server refused the upgrade.",
    };

    private IReadOnlyList<(string Name, string Value)> Fields(AnswerHead head, string[] wanted) =>
    [
        .. head.Fields
            .Where(field => Array.Exists(wanted, name => name.EndsWith('-')
                ? field.Name.StartsWith(name, StringComparison.OrdinalIgnoreCase)
                : field.Name.Equals(name, StringComparison.OrdinalIgnoreCase)))
            .Select(field => (field.Name, Value(field.Name, field.Value))),
    ];

    private string Value(string name, string value)
    {
        // Tokens stand in the query of a redirect, too.
        bool isUrl = name.Equals("Location", StringComparison.OrdinalIgnoreCase) && value.Contains('?', StringComparison.Ordinal);
        return PeerText.Shortened(secrets.Hide(isUrl ? $"{value.Split('?')[0]}?***" : value), MostOfValue);
    }

    private static string Times(Dialed dialed) => string.Join(", ", dialed.Took.OrderBy(pair => pair.Key).Select(pair => $"{pair.Key switch
    {
        DialStage.LookUp => "look-up",
        DialStage.Connect => "TCP",
        DialStage.Tls => "TLS",
        _ => "upgrade",
    }} {Ms(pair.Value)}"));

    /// <summary>A short time: <c>0.4 ms</c>.</summary>
    public static string Ms(TimeSpan time) => $"{time.TotalMilliseconds.ToString("0.0", CultureInfo.InvariantCulture)} ms";

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);
}
