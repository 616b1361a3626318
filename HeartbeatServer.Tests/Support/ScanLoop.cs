using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;
using HeartbeatServer.Relay;

namespace HeartbeatServer.Tests.Support;

/// <summary>
/// Passes a stream on as the relay does, but without a socket: what <see cref="FrameScanner"/> lets pass is kept, and what it leaves unread comes again
/// before the next bytes.
/// </summary>
internal sealed class ScanLoop
{
    private readonly List<byte> _passed = [];
    private readonly List<string> _controls = [];
    private readonly SortedSet<int> _boundaries = [];

    /// <summary>The bytes that went on.</summary>
    public byte[] Passed => [.. _passed];

    /// <summary>The control frames, each in the form of <see cref="Transcript.Event"/>.</summary>
    public IReadOnlyList<string> Controls => _controls;

    /// <summary>At which indexes of the stream another frame may be put in, as far as the scanner has told.</summary>
    public IReadOnlySet<int> Boundaries => _boundaries;

    /// <summary>How many data messages ended.</summary>
    public long Messages { get; private set; }

    /// <summary>The violation that ended the stream; null if there was none.</summary>
    public WebSocketProtocolException? Violation { get; private set; }

    /// <param name="stream">What the sender sends.</param>
    /// <param name="scanner">A new scanner.</param>
    /// <param name="nextPiece">How many bytes arrive next.</param>
    /// <param name="drops">Whether a control frame is dropped; null to drop none.</param>
    public static ScanLoop Run(byte[] stream, FrameScanner scanner, Func<int> nextPiece, Func<Opcode, byte[], bool>? drops = null)
    {
        var loop = new ScanLoop();
        byte[] held = [];
        int arrived = 0;
        while (arrived < stream.Length)
        {
            int count = Math.Min(nextPiece(), stream.Length - arrived);
            int origin = arrived - held.Length;
            // The bytes behind those that came must not matter: there are none.
            byte[] bytes = [.. held, .. stream.AsSpan(arrived, count)];
            arrived += count;
            int position = 0;
            int passed = 0;
            bool isControl;
            do
            {
                int before = position;
                try
                {
                    isControl = scanner.TryRead(bytes, ref position, out ControlFrame control, out int boundary);
                    if (boundary >= 0)
                        loop._boundaries.Add(origin + boundary);
                    Assert.That(scanner.IsBetweenFrames, Is.EqualTo(boundary == position));
                    if (!isControl)
                        break;
                    byte[] payload = control.Payload(bytes, new byte[FrameHeader.MaxControlPayload]).ToArray();
                    Assert.That((control.Start >= before, control.End), Is.EqualTo((true, position)));
                    loop._controls.Add(Transcript.Event(control.Opcode, payload));
                    loop._passed.AddRange(bytes[passed..control.Start]);
                    passed = drops?.Invoke(control.Opcode, payload) == true ? control.End : control.Start;
                    if (control.Opcode == Opcode.Close)
                    {
                        loop._passed.AddRange(bytes[passed..position]);
                        loop.Messages = scanner.Messages;
                        return loop;
                    }
                }
                catch (WebSocketProtocolException violation)
                {
                    loop._passed.AddRange(bytes[passed..position]);
                    (loop.Violation, loop.Messages) = (violation, scanner.Messages);
                    return loop;
                }
            }
            while (isControl);
            loop._passed.AddRange(bytes[passed..position]);
            held = bytes[position..];
            Assert.That(held, Has.Length.LessThanOrEqualTo(FrameScanner.MaxUnread), "bytes left unread");
        }
        loop.Messages = scanner.Messages;
        return loop;
    }

    /// <summary>Runs the stream in one piece.</summary>
    public static ScanLoop Run(byte[] stream, FrameScanner scanner) => Run(stream, scanner, () => int.MaxValue);

    /// <summary>All that must be the same for every split of the same bytes.</summary>
    public override string ToString() =>
        string.Join('\n', [.. _controls, Convert.ToHexString([.. _passed]), $"{Messages} messages", Violation?.Message ?? "no violation"]);
}
