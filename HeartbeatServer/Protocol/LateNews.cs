namespace HeartbeatServer.Protocol;

/// <summary>
/// Decides what is worth a line in the log about a client that answers late or not at all. A client that stays as it is is told once.
/// </summary>
/// <remarks>
/// It is told again when it changes: more strikes in a row than were told; a round trip of more than twice the one that was told; or
/// <see cref="PingsToRecover"/> pings without a strike and without a late pong. After that it begins anew. After each strike that was told, the first
/// sign of life is told, too.
/// </remarks>
internal struct LateNews
{
    /// <summary>After so many pings without trouble a client counts as recovered.</summary>
    public const int PingsToRecover = 10;

    private ulong _lastTrouble;
    private int _strikesTold;
    private TimeSpan _roundTripTold;
    private bool _owesSignOfLife;

    /// <summary>Notes a strike.</summary>
    /// <param name="ping">The number of the last ping.</param>
    /// <param name="strikes">The strikes in a row.</param>
    /// <returns>Whether to tell it.</returns>
    public bool OnStrike(ulong ping, int strikes)
    {
        OnTrouble(ping);
        if (strikes <= _strikesTold)
            return false;
        _strikesTold = strikes;
        return _owesSignOfLife = true;
    }

    /// <summary>Notes a pong that came after its deadline.</summary>
    /// <param name="ping">The number of the last ping.</param>
    /// <param name="roundTrip">Of that pong.</param>
    /// <returns>Whether to tell it. It is a sign of life.</returns>
    public bool OnLatePong(ulong ping, TimeSpan roundTrip)
    {
        OnTrouble(ping);
        if (roundTrip <= 2 * _roundTripTold)
            return false;
        _roundTripTold = roundTrip;
        _owesSignOfLife = false;
        return true;
    }

    /// <summary>Notes a sign of life that has cleared strikes.</summary>
    /// <returns>Whether to tell it.</returns>
    public bool OnSignOfLife()
    {
        bool isNews = _owesSignOfLife;
        _owesSignOfLife = false;
        return isNews;
    }

    /// <summary>Notes a pong that came in time.</summary>
    /// <param name="ping">The number of the last ping.</param>
    /// <returns>Whether to tell that a client that was late has recovered.</returns>
    public bool OnPongInTime(ulong ping)
    {
        bool isNews = _roundTripTold > TimeSpan.Zero && HasRecovered(ping);
        if (isNews)
            this = default;
        return isNews;
    }

    private readonly bool HasRecovered(ulong ping) => ping - _lastTrouble >= PingsToRecover;

    private void OnTrouble(ulong ping)
    {
        if (HasRecovered(ping))
            this = default;
        _lastTrouble = ping;
    }
}
