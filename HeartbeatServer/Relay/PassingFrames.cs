using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Relay;

/// <summary>
/// Goes through the frames in received bytes, from one control frame to the next, and moves what is passed on to the front. Behind a Close frame, and behind
/// what breaks a rule, nothing is read any more.
/// </summary>
internal ref struct PassingFrames
{
    private readonly Span<byte> _bytes;
    private readonly ref FrameScanner _scanner;
    private int _position; // of the first byte that is not read
    private int _start; // of the bytes that are read, and not counted yet
    private int _count;
    private bool _hasClose;
    private int _boundary = -1;
    private WebSocketProtocolException? _violation;

    /// <param name="bytes">The received bytes. Those that an earlier pass left unread stand before them.</param>
    /// <param name="scanner">Follows the frames of this direction.</param>
    public PassingFrames(Span<byte> bytes, ref FrameScanner scanner)
    {
        _bytes = bytes;
        _scanner = ref scanner;
    }

    /// <summary>Reads up to the end of the next control frame, or as far as the bytes may be passed on.</summary>
    /// <param name="control">The control frame, which is passed on unless <see cref="TakeOut"/> is called.</param>
    /// <returns>Whether there is one. If not, <see cref="End"/> has the result.</returns>
    public bool TryNext(out ControlFrame control)
    {
        control = default;
        if (_hasClose || _violation is not null)
            return false;
        try
        {
            bool isControl = _scanner.TryRead(_bytes, ref _position, out control, out int boundary);
            _boundary = Math.Max(_boundary, boundary);
            _hasClose = isControl && control.Opcode == Opcode.Close;
            return isControl;
        }
        catch (WebSocketProtocolException e)
        {
            _violation = e;
            return false;
        }
    }

    /// <summary>Passes all on but this frame, which is the last one that was read.</summary>
    public void TakeOut(in ControlFrame control)
    {
        Count(control.Start);
        _start = control.End;
    }

    /// <summary>Ends the pass.</summary>
    public Passage End()
    {
        Count(_position);
        _start = _position;
        return new Passage(_count, _hasClose || _violation is not null ? _bytes.Length : _position, _boundary, _hasClose, _violation);
    }

    private void Count(int end)
    {
        if (_start != _count)
            _bytes[_start..end].CopyTo(_bytes[_count..]);
        _count += end - _start;
    }
}

/// <summary>What has come of received bytes.</summary>
/// <param name="Count">How many bytes are passed on. They stand at the front.</param>
/// <param name="Unread">The index of the first byte that the next pass needs again.</param>
/// <param name="Boundary">The last index at which another frame may be put in; -1 if there is none. It counts only if no frame was taken out.</param>
/// <param name="HasClose">Whether a Close frame has ended the direction. It may be passed on, or taken out.</param>
/// <param name="Violation">The rule that the sender broke; null if it broke none.</param>
internal readonly record struct Passage(int Count, int Unread, int Boundary, bool HasClose, WebSocketProtocolException? Violation);
