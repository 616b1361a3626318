namespace HeartbeatServer.Framing;

/// <summary>Status codes of a Close frame (RFC 6455 section 7.4).</summary>
internal static class CloseCode
{
    public const ushort GoingAway = 1001;
    public const ushort ProtocolError = 1002;
    /// <summary>Stands for a Close frame without a code (section 7.1.5). It is never sent.</summary>
    public const ushort NoStatus = 1005;
    public const ushort InvalidPayload = 1007;
    public const ushort MessageTooBig = 1009;
    public const ushort InternalError = 1011;
    /// <summary>Of the IANA registry: the server is overloaded.</summary>
    public const ushort TryAgainLater = 1013;

    /// <summary>
    /// Whether a peer may send this code. It may send the codes of section 7.4.1 except 1004, 1005, 1006 and 1015, the codes 1012-1014 of the
    /// IANA registry, and 3000-4999, which are for libraries and applications (section 7.4.2).
    /// </summary>
    public static bool MayBeSent(ushort code) =>
        code is (>= 1000 and <= 1003) or (>= 1007 and <= 1014) or (>= 3000 and <= 4999);
}
