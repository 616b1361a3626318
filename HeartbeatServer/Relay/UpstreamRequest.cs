using System.Text;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Relay;

/// <summary>
/// Writes the request for the application from that of the client. Method, target and all end-to-end fields stay as the client sent them, in their order.
/// What belongs to one connection is taken out, and what a proxy has to say of itself is put in.
/// </summary>
internal static class UpstreamRequest
{
    private const string ForwardedFor = "X-Forwarded-For";
    private const string ForwardedProto = "X-Forwarded-Proto";
    private const string ForwardedHost = "X-Forwarded-Host";
    private const string Forwarded = "Forwarded";
    private const string Via = "Via";

    /// <summary>The fields that are written anew, or left out: Expect as RFC 9110 section 10.1.1 has it, Content-Length because it is 0.</summary>
    private static readonly string[] Own = [ForwardedFor, ForwardedProto, ForwardedHost, Forwarded, Via, "Expect", "Content-Length"];

    /// <summary>The answer to a request for a page, where pages are turned off.</summary>
    public static Refusal NoPages => new(
        RefusalReason.UpgradeRequired,
        "this relay passes WebSockets on, and with --upstream-http off no pages: let the proxy before it send pages straight to the application "
        + "(nginx: map $http_upgrade; HAProxy: acl with req.hdr(Upgrade))");

    /// <summary>Writes the head of an upgrade request.</summary>
    /// <param name="head">The head that has come from the client. It has passed <see cref="Handshake.Check"/>.</param>
    /// <param name="instance">The name of this relay: a token that no other relay has.</param>
    /// <param name="peer">The other end of the client's TCP connection.</param>
    /// <param name="refusal">Why the request cannot go on: 400 for a Connection field that hides what the application needs, 502 for a loop.</param>
    /// <returns>The bytes up to and with the empty line; null if the request is refused.</returns>
    public static byte[]? Write(RequestHead head, string instance, in Peer peer, out Refusal? refusal)
    {
        if (Fields(head, instance, peer, out refusal) is not { } fields)
            return null;
        StringBuilder text = new StringBuilder().Append(null, $"{head.Method} {head.Target} HTTP/1.1\r\n");
        foreach ((string name, string value) in fields)
        {
            string? passed = value;
            if (name.Equals(Extension.Field, StringComparison.OrdinalIgnoreCase) && !TryKeepDeflate(value, out passed))
            {
                refusal = new Refusal(RefusalReason.BadRequest, $"{Extension.Field} must be a list of extensions");
                return null;
            }
            if (passed is not null)
                text.Append(null, $"{name}: {passed}\r\n");
        }
        return Encoding.Latin1.GetBytes(text.Append("Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n").ToString());
    }

    /// <summary>Chooses and writes the fields of a request, with an upgrade or without: all but those of the new connection and of the body's framing.</summary>
    /// <inheritdoc cref="Write"/>
    /// <returns>Names and values in their order; null if the request is refused.</returns>
    public static IReadOnlyList<(string Name, string Value)>? Fields(RequestHead head, string instance, in Peer peer, out Refusal? refusal)
    {
        refusal = null;
        if (HopByHop.Of(head.Fields, IsProtected, out string? hidden) is not { } hopByHop)
            refusal = new Refusal(RefusalReason.BadRequest, $"the Connection field names {hidden}, which the application needs");
        else if (HasPassed(head[Via], Pseudonym(instance)))
            refusal = new Refusal(RefusalReason.UpstreamLoop, "a loop: this relay has passed the request on before, says the Via field");
        else
            return [.. EndToEnd(head, hopByHop, peer.IsTrusted), .. OfProxy(head, hopByHop, instance, peer)];
        return null;
    }

    private static string Pseudonym(string instance) => $"heartbeat-{instance}";

    /// <summary>Whether a Connection field may not name this field. A client could hide from the application what a proxy before it has set or checked.</summary>
    private static bool IsProtected(string name) =>
        IsForwarding(name)
        || name.StartsWith("Sec-WebSocket-", StringComparison.OrdinalIgnoreCase)
        || name.ToUpperInvariant() is "HOST" or "ORIGIN" or "COOKIE" or "AUTHORIZATION";

    /// <summary>Whether a field tells of the client behind a proxy. Only a proxy that is trusted may say so.</summary>
    private static bool IsForwarding(string dashed) =>
        dashed.StartsWith("X-Forwarded-", StringComparison.OrdinalIgnoreCase) || dashed.ToUpperInvariant() is "FORWARDED" or "X-REAL-IP";

    /// <summary>Whether a Via field (RFC 9110 section 7.6.3) names a proxy: a version, white space, the name, and perhaps a comment.</summary>
    /// <remarks>A comma in a comment parts it, too. A comment that never ends cannot hide what stands behind it.</remarks>
    private static bool HasPassed(string? via, string proxy) => Array.Exists(
        FieldLines.Elements(via),
        element => element.Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries) is [_, var name, ..]
            && name.Equals(proxy, StringComparison.OrdinalIgnoreCase));

    private static IEnumerable<(string Name, string Value)> EndToEnd(RequestHead head, HopByHop hopByHop, bool isTrusted) => head.Fields
        .Where(line => !hopByHop.Has(line.Name) && !IsOwn(line.Name) && MayForward(line.Name, isTrusted))
        .Select(line => line.Name.Equals("Host", StringComparison.OrdinalIgnoreCase) ? (line.Name, head.Host) : line);

    private static bool IsOwn(string name) => Array.Exists(Own, own => own.Equals(name, StringComparison.OrdinalIgnoreCase));

    /// <summary>
    /// Whether a field may go on as far as it tells of the client behind a proxy. A proxy writes these fields with <c>-</c>. If one comes with <c>_</c>, the
    /// client has written it, past the proxy.
    /// </summary>
    private static bool MayForward(string name, bool isTrusted)
    {
        string dashed = HopByHop.Dashed(name);
        return !IsForwarding(dashed) || (isTrusted && dashed == name);
    }

    /// <summary>Takes all extensions but permessage-deflate out of a line.</summary>
    /// <param name="line">The value of the line.</param>
    /// <param name="kept">The line with what is left; null if nothing is.</param>
    /// <returns>False if the line is no list of extensions.</returns>
    private static bool TryKeepDeflate(string line, out string? kept)
    {
        kept = null;
        if (Extension.ReadList(line) is not { } offers)
            return false;
        if (offers.Count > 0 && offers.TrueForAll(offer => offer.IsDeflate))
            kept = line;
        else if (offers.Exists(offer => offer.IsDeflate))
            kept = string.Join(", ", offers.Where(offer => offer.IsDeflate).Select(offer => offer.Text));
        return true;
    }

    /// <summary>What a proxy says of itself and of the client, one line each.</summary>
    private static IEnumerable<(string Name, string Value)> OfProxy(RequestHead head, HopByHop hopByHop, string instance, Peer peer)
    {
        string? Trusted(string name) => peer.IsTrusted ? head[name] : null;

        // The zone of an address (fe80::1%2) means something only on this machine.
        string address = peer.Address.Split('%')[0];
        (string Name, string Value)[] lines =
        [
            (ForwardedFor, Joined(Trusted(ForwardedFor), address)),
            (ForwardedProto, Trusted(ForwardedProto) ?? peer.Scheme),
            (ForwardedHost, Trusted(ForwardedHost) ?? head.Host),
            (Forwarded, Trusted(Forwarded) is { } before ? Joined(before, address.Contains(':', StringComparison.Ordinal) ? $"for=\"[{address}]\"" : $"for={address}") : ""),
            (Via, Joined(hopByHop.Has(Via) ? null : head[Via], $"1.1 {Pseudonym(instance)}")),
        ];
        return lines.Where(line => line.Value.Length > 0);

        static string Joined(string? before, string last) => string.IsNullOrEmpty(before) ? last : $"{before}, {last}";
    }
}

/// <summary>The other end of a client's TCP connection: the client itself, or a proxy.</summary>
/// <param name="Address">Its address, without a port.</param>
/// <param name="IsTrusted">Whether it is a proxy that is trusted to name the client.</param>
/// <param name="Scheme">What it speaks to this relay: <c>http</c> or <c>https</c>.</param>
internal readonly record struct Peer(string Address, bool IsTrusted, string Scheme);
