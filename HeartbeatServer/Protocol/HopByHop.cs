namespace HeartbeatServer.Protocol;

/// <summary>
/// Knows the fields of a head that are for one connection alone, and that a relay does not pass on (RFC 9110 section 7.6.1): those with a fixed name, and
/// those that the Connection field names.
/// </summary>
internal sealed class HopByHop
{
    private static readonly string[] Fixed =
        ["Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy", "HTTP2-Settings"];

    private readonly HashSet<string> _names;

    private HopByHop(string[] named) => _names = new HashSet<string>([.. Fixed, .. named], StringComparer.OrdinalIgnoreCase);

    /// <summary>Reads the Connection field of a head.</summary>
    /// <param name="head">The fields of the head.</param>
    /// <param name="isProtected">
    /// Returns true for a field that the other side needs. The Connection field must not name it. Its name comes with <c>-</c> in place of <c>_</c>.
    /// </param>
    /// <param name="fault">The first such field that the Connection field names; null if there is none.</param>
    /// <returns>Null if there is a fault.</returns>
    public static HopByHop? Of(FieldLines head, Func<string, bool> isProtected, out string? fault)
    {
        string[] named = FieldLines.Elements(head["Connection"]);
        fault = Array.Find(named, name => isProtected(Dashed(name)));
        return fault is null ? new HopByHop(named) : null;
    }

    /// <summary>Whether a field is for one connection alone.</summary>
    public bool Has(string name) => _names.Contains(name) || Dashed(name).StartsWith("Proxy-", StringComparison.OrdinalIgnoreCase);

    /// <summary>
    /// A name as many applications see it. They read fields as variables of a gateway (RFC 3875 section 4.1.18), in which <c>-</c> and <c>_</c> are the same.
    /// </summary>
    public static string Dashed(string name) => name.Replace('_', '-');
}
