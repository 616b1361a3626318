namespace HeartbeatServer.Connections;

/// <summary>A moment of a connection.</summary>
/// <param name="Now">The moment.</param>
/// <param name="Received">When the last byte before it came from the client.</param>
/// <param name="Sent">When the last byte before it was given to the socket.</param>
/// <param name="IsBlocked">Whether bytes waited then that somebody did not take.</param>
internal readonly record struct Moments(TimeSpan Now, TimeSpan Received, TimeSpan Sent, bool IsBlocked)
{
    /// <summary>The time since then; zero for a byte that another thread has moved since the moment was read from the clock.</summary>
    public TimeSpan Since(TimeSpan then) => Now > then ? Now - then : TimeSpan.Zero;
}
