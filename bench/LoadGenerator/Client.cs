namespace LoadGenerator;

internal enum ClientState
{
    /// <summary>Not begun, or over: it has no socket.</summary>
    None,
    /// <summary>The upgrade request waits for the connection to stand.</summary>
    Connecting,
    /// <summary>The request is sent.</summary>
    Upgrading,
    Open,
    /// <summary>We sent a Close frame.</summary>
    Closing,
}

/// <summary>One connection of a <see cref="Crowd"/>. Times are of <see cref="Crowd.Now"/>.</summary>
/// <param name="number">Its index in the crowd.</param>
internal sealed class Client(int number)
{
    public readonly int Number = number;
    public int Fd = -1;
    public ClientState State;
    public long ConnectedAt, OpenedAt;

    // Receive state. Unread: the start of a header, of a control frame or of the response, until the rest comes.
    public byte[] Unread = [];
    public byte Opcode;
    public bool Final;
    public long PayloadLeft;
    public bool InMessage;

    // Send state: what the socket did not take yet.
    public byte[] Unsent = [];
    public int UnsentStart, UnsentEnd;

    // Idle mode.
    public bool Mute;
    public int Pings;
    public long LastPing, FirstPing, ClosedAt;

    // Echo mode: messages by their number, and when each one in flight was sent.
    public int Sent, Received, ReceivedBytes;
    public long[] SentAt = [];
}
