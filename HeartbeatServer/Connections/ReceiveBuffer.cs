using HeartbeatServer.Engine;

namespace HeartbeatServer.Connections;

/// <summary>
/// Holds received bytes while the connection handles them, in an array that is lent from <see cref="LoopBuffer"/>. From one receive to the next the
/// connection keeps only what it could not read yet: the start of a header or of a control frame.
/// </summary>
internal struct ReceiveBuffer : IDisposable
{
    private byte[]? _lent;
    private byte[]? _kept;

    /// <summary>A bound of the bytes in <see cref="Array"/> that were received and not read yet.</summary>
    public int Start;

    /// <inheritdoc cref="Start"/>
    public int End { get; private set; }

    /// <summary>The lent array; empty between <see cref="Return"/> and <see cref="Take"/>.</summary>
    public readonly byte[] Array => _lent ?? [];

    /// <summary>Whether bytes are kept from the last receive. The next bytes continue them.</summary>
    public readonly bool IsKeeping => _kept is not null;

    /// <summary>Takes an array for the next receive. The bytes that were kept stand at its start.</summary>
    /// <param name="isSmall">Whether the connection is likely to keep the array for long.</param>
    /// <returns>The room for the bytes that come.</returns>
    public Memory<byte> Take(bool isSmall = false)
    {
        _lent = LoopBuffer.Take(isSmall);
        (Start, End) = (0, _kept?.Length ?? 0);
        _kept?.CopyTo(_lent, 0);
        _kept = null;
        return _lent.AsMemory(End);
    }

    /// <summary>Counts the bytes that were received into the memory from <see cref="Take"/>.</summary>
    public void Received(int count) => End += count;

    /// <summary>Gives the array back, and keeps the bytes that were not read.</summary>
    public void Return()
    {
        if (_lent is null)
            return;
        _kept = Start < End ? _lent[Start..End] : null;
        LoopBuffer.Return(_lent);
        _lent = null;
        (Start, End) = (0, 0);
    }

    /// <summary>Gives the array back, and keeps nothing.</summary>
    public void Dispose()
    {
        Start = End;
        Return();
        _kept = null;
    }
}
