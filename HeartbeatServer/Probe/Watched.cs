namespace HeartbeatServer.Probe;

/// <summary>What a connection is for.</summary>
internal enum ProbeRole
{
    /// <summary>Sends nothing, to the end.</summary>
    Silent,
    /// <summary>Is silent for a while, and then pings: it finds what ends without a word.</summary>
    Ladder,
    /// <summary>Pings all the time. What ends it is no silence.</summary>
    Control,
}

/// <summary>A connection as the probe sees it. All times are on the clock of the run.</summary>
/// <param name="id">Its number in the run.</param>
/// <param name="role">What it is for.</param>
internal sealed class Watched(int id, ProbeRole role)
{
    /// <summary>Our own last acknowledgement may still be answered within this time; after it each segment is one of the other kernel's own.</summary>
    private static readonly TimeSpan Settled = TimeSpan.FromSeconds(1);

    /// <summary>What comes so early is a greeting, or an answer to <c>--send</c>.</summary>
    private static readonly TimeSpan Greeting = TimeSpan.FromSeconds(2);

    private uint? _segments;
    private TimeSpan _reached;
    private TimeSpan _lastHeard;
    private uint _news;
    private TimeSpan _newsAfter;

    public int Id { get; } = id;

    public ProbeRole Role { get; set; } = role;

    /// <summary>When its 101 had come; null while it connects.</summary>
    public TimeSpan? Opened { get; private set; }

    /// <summary>When the last byte went either way.</summary>
    public TimeSpan LastByte { get; private set; }

    /// <summary>When our first ping left that has no answer yet; null if there is none.</summary>
    public TimeSpan? Pinged { get; private set; }

    /// <summary>When our last ping left.</summary>
    public TimeSpan LastPing { get; private set; }

    /// <summary>How it ended; null while it has not.</summary>
    public ProbeEnd? End { get; private set; }

    /// <summary>When it ended.</summary>
    public TimeSpan Ended { get; private set; }

    /// <summary>Of the ladder: the silence after which it pings.</summary>
    public TimeSpan Target { get; set; }

    public int Pings { get; private set; }

    public int Pongs { get; private set; }

    /// <summary>How often the server sent something that nobody asked for. A greeting does not count.</summary>
    public int Heard { get; private set; }

    /// <summary>From the first time to the last.</summary>
    public TimeSpan HeardFor { get; private set; }

    /// <summary>The longest time between two of them.</summary>
    public TimeSpan LongestPause { get; private set; }

    /// <summary>How many pings came from the server.</summary>
    public int ServerPings { get; private set; }

    /// <summary>How many segments the other side's kernel sent into a silence by itself.</summary>
    public uint KernelSegments { get; private set; }

    /// <summary>After which silence the first of them was noticed; null if there were none.</summary>
    public TimeSpan? KernelSilence { get; private set; }

    public bool IsOpen => Opened is not null && End is null;

    /// <summary>Whether it ended while it was silent, and not upon a ping.</summary>
    public bool EndedInSilence => End is not null and not { Kind: EndKind.Lost or EndKind.Done } && Pinged is null;

    /// <summary>How old it is, or was at its end.</summary>
    public TimeSpan Age(TimeSpan now) => (End is null ? now : Ended) - (Opened ?? now);

    /// <summary>For how long no byte has gone either way, or had at its end. A ping that has no answer does not end a silence.</summary>
    public TimeSpan Silence(TimeSpan now) => Pinged is not null ? _reached : (End is null ? now : Ended) - LastByte;

    public void Open(TimeSpan now) => (Opened, LastByte) = (now, now);

    /// <summary>A message of ours has left.</summary>
    public void Sent(TimeSpan now) => LastByte = now;

    public void Ping(TimeSpan now)
    {
        if (Pinged is null)
            (Pinged, _reached) = (now, now - LastByte);
        LastPing = now;
        Pings++;
    }

    public void Answer(TimeSpan now)
    {
        Pongs++;
        (Pinged, LastByte) = (null, now);
        ForgetCount();
    }

    /// <summary>Bytes have come that are no answer to a ping.</summary>
    public void Hear(bool isPing, TimeSpan now)
    {
        if (isPing)
            ServerPings++;
        if (now - Opened > Greeting)
        {
            TimeSpan pause = Heard == 0 ? TimeSpan.Zero : now - _lastHeard;
            HeardFor += pause;
            LongestPause = pause > LongestPause ? pause : LongestPause;
            _lastHeard = now;
            Heard++;
        }
        LastByte = now;
        ForgetCount();
    }

    public void Finish(ProbeEnd end, TimeSpan now) => (End, Ended) = (end, now);

    /// <summary>Compares the kernel's count of segments that have come with the last one.</summary>
    /// <remarks>A segment counts when the connection is open at the next look, too. Otherwise it was the FIN, which is about to be told.</remarks>
    public void Count(uint segments, TimeSpan now)
    {
        if (Pinged is not null || now - LastByte < Settled)
        {
            ForgetCount();
            return;
        }
        if (_news > 0)
        {
            KernelSegments += _news;
            KernelSilence ??= _newsAfter;
        }
        (_news, _newsAfter) = (_segments is { } before ? segments - before : 0, now - LastByte);
        _segments = segments;
    }

    /// <summary>What has come last belongs to bytes.</summary>
    private void ForgetCount() => (_segments, _news) = (null, 0);
}
