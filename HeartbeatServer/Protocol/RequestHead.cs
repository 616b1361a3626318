using System.Buffers;
using System.Text;

namespace HeartbeatServer.Protocol;

/// <summary>
/// The head of an HTTP request (RFC 9112): the request line, and the field lines in their order. The reader is strict. A proxy and this server
/// must never understand the same request in two ways, so a head that is open to doubt is refused.
/// </summary>
internal sealed class RequestHead
{
    /// <summary>
    /// The most field lines of a head. HAProxy lets 101 pass, Apache and Kestrel 100, so what comes through one of them fits, with the lines that it adds.
    /// Node.js lets 2,000 pass, but no client needs them.
    /// </summary>
    public const int MostFields = 128;

    /// <summary>Before the request line (RFC 9112 section 2.2: at least one is to be ignored).</summary>
    private const int MostEmptyLines = 8;

    /// <summary>The characters of a token (RFC 9110 section 5.6.2).</summary>
    private static readonly SearchValues<char> TokenCharacters =
        SearchValues.Create("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

    /// <summary>The characters of a host name (RFC 3986 section 3.2.2): unreserved characters, escapes and sub-delimiters.</summary>
    private static readonly SearchValues<char> HostCharacters =
        SearchValues.Create("-._~%!$&'()*+,;=0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

    private static readonly SearchValues<char> AddressCharacters =
        SearchValues.Create(":.%0123456789ABCDEFabcdefghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ-_~");

    /// <summary>The fields that may stand in one line only. With two lines, two readers of the request could choose different ones.</summary>
    private static readonly string[] Singletons =
        ["Host", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Origin", "Content-Length", "Transfer-Encoding"];

    private RequestHead(string method, string target, int minorVersion, FieldLines? fields = null) =>
        (Method, Target, MinorVersion, Fields) = (method, target, minorVersion, fields ?? new FieldLines());

    /// <summary>The method as it was sent. The case of its letters matters (RFC 9110 section 9.1).</summary>
    public string Method { get; }

    /// <summary>
    /// The target as it was sent: no escape is decoded, and no <c>..</c> is removed. Of a target in absolute form only the path and the query
    /// stand here (RFC 9112 section 3.2.2).
    /// </summary>
    public string Target
    {
        get;
        private set
        {
            field = value;
            int query = value.IndexOf('?', StringComparison.Ordinal);
            Path = query < 0 ? value : value[..query];
        }
    }

    /// <summary>The target before the <c>?</c>.</summary>
    public string Path { get; private set; } = "";

    /// <summary>The target from the <c>?</c> on; empty if there is none.</summary>
    public string Query => Target[Path.Length..];

    /// <summary>The target as people may see it. Clients put tokens into a query, so its text is left out: <c>/ws?***</c>.</summary>
    public string ShownTarget => Query.Length == 0 ? Target : $"{Path}?***";

    /// <summary>The second digit of the HTTP version. The first digit is 1.</summary>
    public int MinorVersion { get; }

    /// <summary>
    /// The value of the Host field. The authority of a target in absolute form replaces this value. It is empty if the client names no host.
    /// </summary>
    public string Host { get; private set; } = "";

    /// <summary>The names and values of the fields, in the order in which they came, without white space around the values.</summary>
    public FieldLines Fields { get; }

    /// <summary>Whether the head announces a body.</summary>
    public bool HasBody => this["Transfer-Encoding"] is not null || this["Content-Length"] is not (null or "0");

    /// <summary>The values of all lines of a field, joined with commas (RFC 9110 section 5.3); null if the head has no such field.</summary>
    /// <param name="name">The name of the field. The case of its letters does not matter.</param>
    public string? this[string name] => Fields[name];

    /// <summary>The parts of the head that decide whether the request may be upgraded.</summary>
    public UpgradeRequest Upgrade => new(
        Method, MinorVersion >= 1, HasBody, this["Connection"], this["Upgrade"], this["Sec-WebSocket-Version"], this["Sec-WebSocket-Key"])
    {
        Protocol = this["Sec-WebSocket-Protocol"],
    };

    /// <summary>Whether a text is a token, which is a name that needs no quotes (RFC 9110 section 5.6.2).</summary>
    public static bool IsToken(ReadOnlySpan<char> text) => text.Length > 0 && !text.ContainsAnyExcept(TokenCharacters);

    /// <summary>Looks for the end of a head, and for what no head can have. Each byte is looked at once, however the bytes come.</summary>
    /// <param name="bytes">All bytes that came so far.</param>
    /// <param name="seen">How many of them an earlier call has looked at without a result.</param>
    /// <param name="refusal">What is wrong; null as long as the bytes may become a request.</param>
    /// <returns>The length of the head in bytes, with the empty line at its end; 0 if the head is not complete, or is refused.</returns>
    public static int Find(ReadOnlySpan<byte> bytes, int seen, out Refusal? refusal)
    {
        refusal = NotHttp(bytes, out bool isUndecided);
        if (refusal is not null || isUndecided)
            return 0;
        int start = EmptyLines(bytes);
        if (start > MostEmptyLines * 2)
            refusal = Bad("empty lines in the place of a request line");
        if (refusal is not null)
            return 0;
        int end = FieldLines.FindEnd(bytes, start, seen, out string? fault);
        if (fault is not null)
            refusal = Bad($"{fault} in the head of the request");
        return end;
    }

    /// <summary>Reads a whole head; null if it breaks a rule.</summary>
    /// <param name="head">The bytes of the head. <see cref="Find"/> gives their length.</param>
    /// <param name="refusal">The rule that is broken; null if there is none.</param>
    public static RequestHead? Read(ReadOnlySpan<byte> head, out Refusal? refusal)
    {
        // RFC 9112 section 2.2: a server should ignore an empty line before the request line.
        string[] lines = Encoding.Latin1.GetString(head[EmptyLines(head)..^4]).Split("\r\n");
        RequestHead? request = RequestLine(lines[0], out refusal);
        if (request is null)
            return null;
        foreach (string line in lines.AsSpan(1))
        {
            if (!request.Fields.TryAdd(line))
            {
                refusal = Bad("a line of the head is no field: a name, a colon right behind it, and a value");
                return null;
            }
        }
        refusal = request.CheckFields() ?? request.CheckTarget();
        return refusal is null ? request : null;
    }

    /// <summary>Makes a head of parts that HttpListener has read, where the bytes are not available; null if it breaks a rule.</summary>
    /// <param name="method">The method as it was sent.</param>
    /// <param name="target">The target as it was sent.</param>
    /// <param name="minorVersion">The second digit of the HTTP version.</param>
    /// <param name="fields">The fields, in their order as far as it is known.</param>
    /// <param name="refusal">The rule that is broken; null if there is none.</param>
    public static RequestHead? Of(
        string method, string target, int minorVersion, IEnumerable<(string Name, string Value)> fields, out Refusal? refusal)
    {
        var request = new RequestHead(method, target, minorVersion, new FieldLines(fields));
        refusal = target.Length == 0 ? Bad("the target is missing") : request.CheckFields() ?? request.CheckTarget();
        return refusal is null ? request : null;
    }

    /// <summary>Recognises other protocols that clients speak on an HTTP port, by their first bytes.</summary>
    /// <param name="bytes">All bytes that came so far.</param>
    /// <param name="isUndecided">Whether it takes more bytes to tell.</param>
    private static Refusal? NotHttp(ReadOnlySpan<byte> bytes, out bool isUndecided)
    {
        isUndecided = bytes is [0x16] || (bytes.Length < ProxySignature.Length && bytes.Length > 4 && ProxySignature.StartsWith(bytes));
        if (bytes is [0x16, 0x03, ..])
        {
            return new Refusal(
                RefusalReason.Tls, "TLS on the plain port: give the server --tls-cert and --tls-key, or have a proxy end the TLS before it");
        }
        if (bytes.StartsWith(ProxySignature) || bytes.StartsWith("PROXY "u8))
        {
            return new Refusal(
                RefusalReason.ProxyProtocol, "a PROXY protocol header: have the proxy send X-Forwarded-For instead, and name it with --trust-proxy");
        }
        return bytes.StartsWith("PRI * HTTP/2.0\r\n"u8)
            ? new Refusal(RefusalReason.HttpVersion, "HTTP/2 without TLS: a WebSocket upgrade is a request of HTTP/1.1")
            : null;
    }

    /// <summary>The length of the empty lines at the start in bytes.</summary>
    private static int EmptyLines(ReadOnlySpan<byte> bytes)
    {
        int count = 0;
        while (count <= MostEmptyLines * 2 && bytes[count..].StartsWith("\r\n"u8))
            count += 2;
        return count;
    }

    /// <summary>The first bytes of the PROXY protocol, version 2.</summary>
    private static ReadOnlySpan<byte> ProxySignature => "\r\n\r\n\0\r\nQUIT\n"u8;

    /// <summary>Reads the request line: method, target and version, with one space between (RFC 9112 section 3).</summary>
    private static RequestHead? RequestLine(string line, out Refusal? refusal)
    {
        refusal = null;
        string[] parts = line.Split(' ');
        if (parts is not [var method, var target, var version] || !IsToken(method) || target.Length == 0
            || target.AsSpan().ContainsAnyExceptInRange('!', '~'))
        {
            refusal = Bad("the first line is no request line: METHOD, target and version, with one space between");
            return null;
        }
        if (version is not ['H', 'T', 'T', 'P', '/', >= '0' and <= '9', '.', >= '0' and <= '9'])
            refusal = Bad("the request line does not end with a version of HTTP");
        else if (version[5] != '1')
            refusal = new Refusal(RefusalReason.HttpVersion, $"{version} is not spoken here: a WebSocket upgrade is a request of HTTP/1.1");
        return refusal is null ? new RequestHead(method, target, version[7] - '0') : null;
    }

    private Refusal? CheckFields()
    {
        if (Fields.Count > MostFields)
            return new Refusal(RefusalReason.HeaderTooLarge, $"a request with {Fields.Count} field lines: at most {MostFields} are allowed");
        foreach (string name in Singletons)
        {
            if (Fields.LinesOf(name) > 1)
                return Bad($"{name} stands in the head more than once");
        }
        string? length = this["Content-Length"];
        // RFC 9112 section 6.3: a sender of both fields may try to smuggle a second request past a proxy.
        if (length is not null && this["Transfer-Encoding"] is not null)
            return Bad("Content-Length and Transfer-Encoding in one head");
        if (length is not null && (length.Length == 0 || length.AsSpan().ContainsAnyExceptInRange('0', '9')))
            return Bad("Content-Length is no number");
        // RFC 9112 section 3.2: a server must refuse an HTTP/1.1 request without Host with 400.
        if (this["Host"] is not { } host)
            return MinorVersion >= 1 ? Bad("the Host field is missing") : null;
        if (!IsAuthority(host))
            return Bad("the Host field is no host with a port or without");
        Host = host;
        return null;
    }

    /// <summary>Checks the form of the target: origin-form, absolute-form, or <c>*</c> for OPTIONS (RFC 9112 section 3.2).</summary>
    private Refusal? CheckTarget()
    {
        // RFC 9112 section 3.2: none of the forms of a target has a fragment.
        if (Target.Contains('#', StringComparison.Ordinal))
            return Bad("the target has a fragment, which no client sends");
        if (Target[0] == '/' || (Target == "*" && Method == "OPTIONS"))
            return null;
        // The target of CONNECT is an authority. That is well-formed, but it has no path that the server serves.
        if (Method == "CONNECT" && IsAuthority(Target))
            return null;
        int scheme = Target.IndexOf("://", StringComparison.Ordinal);
        if (scheme < 0 || Target[..scheme].ToUpperInvariant() is not ("HTTP" or "HTTPS" or "WS" or "WSS"))
            return Bad("the target is neither a path nor a URL of http or ws");
        string rest = Target[(scheme + 3)..];
        int end = rest.AsSpan().IndexOfAny('/', '?');
        string authority = end < 0 ? rest : rest[..end];
        if (authority.Length == 0 || !IsAuthority(authority))
            return Bad("the URL of the target has no host");
        string path = end < 0 ? "/" : rest[end..];
        (Host, Target) = (authority, path[0] == '?' ? "/" + path : path);
        return null;
    }

    /// <summary>
    /// Whether a text is an authority without user information (RFC 3986 section 3.2): a name, an IPv4 address or an IPv6 address in brackets,
    /// and perhaps a port. An empty text counts as one.
    /// </summary>
    private static bool IsAuthority(string text)
    {
        ReadOnlySpan<char> rest = text;
        if (rest.StartsWith("["))
        {
            int end = rest.IndexOf(']');
            if (end < 0 || rest[1..end].ContainsAnyExcept(AddressCharacters))
                return false;
            rest = rest[(end + 1)..];
            return rest.IsEmpty || (rest[0] == ':' && !rest[1..].ContainsAnyExceptInRange('0', '9'));
        }
        int colon = rest.IndexOf(':');
        ReadOnlySpan<char> host = colon < 0 ? rest : rest[..colon];
        return !host.ContainsAnyExcept(HostCharacters) && (colon < 0 || !rest[(colon + 1)..].ContainsAnyExceptInRange('0', '9'));
    }

    private static Refusal Bad(string text) => new(RefusalReason.BadRequest, text);
}
