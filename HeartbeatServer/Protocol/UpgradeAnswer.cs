namespace HeartbeatServer.Protocol;

/// <summary>The client's side of the opening handshake (RFC 6455 section 4.1): does a 101 fit the request?</summary>
internal static class UpgradeAnswer
{
    private const string Accept = "Sec-WebSocket-Accept";
    private const string Protocol = "Sec-WebSocket-Protocol";

    private const int LongestQuote = 60;

    /// <summary>Whether a field names what the application has chosen among the client's offers.</summary>
    public static bool IsChoice(string name) =>
        name.Equals(Protocol, StringComparison.OrdinalIgnoreCase) || name.Equals(Extension.Field, StringComparison.OrdinalIgnoreCase);

    /// <summary>Checks the fields of a 101.</summary>
    /// <param name="answer">The fields.</param>
    /// <param name="request">The client's request.</param>
    /// <param name="hasDeflate">Whether the application agrees to permessage-deflate.</param>
    /// <returns>What does not fit, worded to stand behind "the answer is no good"; null if all fits.</returns>
    public static string? Check(FieldLines answer, RequestHead request, out bool hasDeflate)
    {
        hasDeflate = false;
        string[] upgrade = FieldLines.Elements(answer["Upgrade"]);
        if (upgrade.Length == 0 || !Array.TrueForAll(upgrade, IsWebSocket))
            return $"its Upgrade field has {Quoted(answer["Upgrade"])} in place of websocket";
        if (!FieldLines.HasToken(answer["Connection"], "upgrade"))
            return $"its Connection field has {Quoted(answer["Connection"])}, without Upgrade";
        return CheckAccept(answer, request) ?? CheckProtocol(answer, request) ?? CheckExtensions(answer, request, out hasDeflate);
    }

    private static bool IsWebSocket(string protocol) => protocol.Equals("websocket", StringComparison.OrdinalIgnoreCase);

    private static string? CheckAccept(FieldLines answer, RequestHead request) => answer.LinesOf(Accept) switch
    {
        0 => $"{Accept} is missing",
        1 => answer[Accept] == Handshake.Accept(request["Sec-WebSocket-Key"]!) ? null : $"its {Accept} does not fit the key of the client",
        _ => $"{Accept} stands in its head more than once",
    };

    /// <summary>The names are not told: applications put tokens into them.</summary>
    private static string? CheckProtocol(FieldLines answer, RequestHead request)
    {
        // 11.3.4: the field must not appear more than once in the answer, and names one of the offers.
        string[] chosen = FieldLines.Elements(answer[Protocol]);
        if (chosen.Length > 1)
            return "it chooses more than one subprotocol";
        return chosen.Length == 1 && !Subprotocols.Offers(request[Protocol])!.Contains(chosen[0])
            ? "it chooses a subprotocol that the client has not offered"
            : null;
    }

    private static string? CheckExtensions(FieldLines answer, RequestHead request, out bool hasDeflate)
    {
        hasDeflate = false;
        bool isOffered = Extension.OffersDeflate(request);
        switch (Extension.ReadList(answer[Extension.Field] ?? ""))
        {
            case null:
                return $"its {Extension.Field} field is no list of extensions";
            case []:
                return null;
            // 9.1: "An extension is 'in use' only if it was offered."
            case var chosen when chosen.Find(one => !one.IsDeflate || !isOffered) is { } other:
                return $"it agrees to {Quoted(other.Name)}, an extension that was not offered to it";
            case { Count: > 1 }:
                return $"it agrees to {Extension.Deflate} more than once";
            case [var deflate]:
                hasDeflate = true;
                return CheckDeflate(deflate);
        }
    }

    /// <summary>RFC 7692 section 7.1: a client fails a connection whose parameters are unknown, repeated or out of range.</summary>
    private static string? CheckDeflate(Extension deflate)
    {
        for (int i = 0; i < deflate.Parameters.Count; i++)
        {
            (string name, string? value) = deflate.Parameters[i];
            bool isGood = name switch
            {
                "server_no_context_takeover" or "client_no_context_takeover" => value is null,
                "server_max_window_bits" or "client_max_window_bits" => value is "8" or "9" or "10" or "11" or "12" or "13" or "14" or "15",
                _ => false,
            };
            if (!isGood || deflate.Parameters.Take(i).Any(before => before.Name == name))
                return $"its {Extension.Deflate} has a parameter {Quoted(name)} that is unknown, repeated or out of range";
        }
        return null;
    }

    /// <summary>A value for a text that goes to the client and into the log.</summary>
    private static string Quoted(string? value) =>
        value is null ? "nothing" : PeerText.Quoted(value.Length > LongestQuote ? string.Concat(value.AsSpan(0, LongestQuote), "…") : value);
}
