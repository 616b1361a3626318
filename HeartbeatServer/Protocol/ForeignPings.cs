namespace HeartbeatServer.Protocol;

/// <summary>
/// Knows whether a ping that somebody else has sent to the peer, past the heartbeat, is unanswered. As long as it is, no ping of the heartbeat may leave: a
/// peer that gets two pings may answer the later one alone (RFC 6455 section 5.5.3), and the other sender would wait in vain.
/// </summary>
/// <remarks>
/// A peer that answers no foreign ping, and lives nevertheless, must not stop the heartbeat for ever. After as many beats as make a silent peer dead, the
/// pings go on, until a foreign ping is answered.
/// </remarks>
/// <param name="maxMissed">How many pings in a row may be held back: the strikes after which a silent peer is dead.</param>
internal sealed class ForeignPings(int maxMissed)
{
    private int _unanswered;
    private int _latest;
    private int _held;

    /// <summary>Notes that a foreign ping goes to the peer.</summary>
    /// <param name="payload">The payload of the ping, 0 to 125 bytes.</param>
    public void PingPassed(ReadOnlySpan<byte> payload)
    {
        _unanswered++;
        _latest = Hash(payload);
    }

    /// <summary>
    /// Notes that a pong has come which answers no ping of the heartbeat. If it has the payload of the latest foreign ping, all of them are answered.
    /// Otherwise it counts as the answer to one: to an earlier one, or by a peer that does not copy the payload.
    /// </summary>
    /// <param name="payload">The payload of the pong, 0 to 125 bytes.</param>
    public void PongPassed(ReadOnlySpan<byte> payload)
    {
        if (_unanswered > 0)
            _unanswered = Hash(payload) == _latest ? 0 : _unanswered - 1;
        if (_unanswered == 0)
            _held = 0;
    }

    /// <summary>Decides about a ping of the heartbeat that could leave now.</summary>
    /// <returns>
    /// Whether it is held back. Then the caller drops it, and calls <see cref="Heartbeat.PingHeld"/>: this beat is judged on the foreign ping.
    /// </returns>
    public bool TryHold()
    {
        if (_unanswered == 0 || _held >= maxMissed)
            return false;
        _held++;
        return true;
    }

    private static int Hash(ReadOnlySpan<byte> payload)
    {
        var hash = new HashCode();
        hash.AddBytes(payload);
        return hash.ToHashCode();
    }
}
