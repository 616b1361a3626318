using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;
using HeartbeatServer.Relay;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Relay;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class PassingFramesTests
{
    private static readonly byte[] Text = ClientFrames.Text("hello");
    private static readonly byte[] Ours = ClientFrames.Pong([1]);
    private static readonly byte[] Foreign = ClientFrames.Pong([2, 2]);
    private static readonly byte[] Close = ClientFrames.Close(1000, "bye");

    private FrameScanner _scanner = Scanner();

    [Test]
    public void All_goes_on_where_nothing_is_taken_out()
    {
        byte[] bytes = ClientFrames.Join(Text, Foreign, Text);

        Passage passage = Pass(bytes, out byte[] passed);

        Assert.That(passed, Is.EqualTo(bytes));
        Assert.That(passage, Is.EqualTo(new Passage(bytes.Length, bytes.Length, bytes.Length, HasClose: false, Violation: null)));
    }

    [Test]
    public void Frames_that_are_taken_out_leave_no_gap_wherever_they_stand()
    {
        byte[][] frames = [Ours, Text, Ours, Ours, Foreign, Text, Ours];

        Passage passage = Pass(ClientFrames.Join(frames), out byte[] passed);

        Assert.That(passed, Is.EqualTo(ClientFrames.Join(Text, Foreign, Text)));
        Assert.That(passage.Unread, Is.EqualTo(ClientFrames.Join(frames).Length));
    }

    [Test]
    public void Frames_alone_that_are_taken_out_leave_nothing() => Assert.That(Pass(ClientFrames.Join(Ours, Ours), out _).Count, Is.Zero);

    [Test]
    public void In_every_two_pieces_the_same_goes_on()
    {
        byte[] stream = ClientFrames.Join(Ours, Text, Ours, Foreign, ClientFrames.Text("a", fin: false), Ours, ClientFrames.Continuation("b", fin: true), Close);
        byte[] expected = ClientFrames.Join(Text, Foreign, ClientFrames.Text("a", fin: false), ClientFrames.Continuation("b", fin: true), Close);
        for (int cut = 0; cut <= stream.Length; cut++)
        {
            _scanner = Scanner();
            Passage first = Pass(stream[..cut], out byte[] before);
            Passage second = Pass(stream[first.Unread..], out byte[] after);

            Assert.That(first.HasClose || second.HasClose, Is.True, $"cut at {cut}");
            Assert.That((byte[])[.. before, .. after], Is.EqualTo(expected), $"cut at {cut}");
        }
    }

    [Test]
    public void Behind_a_Close_nothing_goes_on_and_nothing_is_unread()
    {
        byte[] bytes = ClientFrames.Join(Text, Close, Text);

        Passage passage = Pass(bytes, out byte[] passed);

        Assert.That(passed, Is.EqualTo(ClientFrames.Join(Text, Close)));
        Assert.That((passage.HasClose, passage.Unread), Is.EqualTo((true, bytes.Length)));
    }

    [Test]
    public void A_Close_may_be_taken_out()
    {
        Passage passage = Pass(ClientFrames.Join(Text, Close), out byte[] passed, Opcode.Close);

        Assert.That(passed, Is.EqualTo(Text));
        Assert.That(passage.HasClose, Is.True);
    }

    [Test]
    public void What_comes_before_a_violation_goes_on()
    {
        byte[] tooLong = ClientFrames.Text(new string('x', 101));
        byte[] bytes = ClientFrames.Join(Text, Ours, tooLong);

        Passage passage = Pass(bytes, out byte[] passed);

        Assert.That(passed, Is.EqualTo(Text));
        Assert.That((passage.Violation!.CloseCode, passage.Unread), Is.EqualTo((CloseCode.MessageTooBig, bytes.Length)));
    }

    [Test]
    public void The_boundary_is_the_end_of_the_last_whole_frame_even_if_a_part_follows()
    {
        Passage passage = Pass(ClientFrames.Join(Text, Text[..^1]), out byte[] passed);

        Assert.That((passed.Length, passage.Boundary), Is.EqualTo(((2 * Text.Length) - 1, Text.Length)), "a part of a data frame goes on");
        Assert.That(Pass(Text[^1..], out _).Boundary, Is.EqualTo(1));
    }

    [Test]
    public void A_control_frame_that_is_not_whole_stays_unread()
    {
        Passage passage = Pass(ClientFrames.Join(Text, Foreign[..^1]), out byte[] passed);

        Assert.That(passed, Is.EqualTo(Text));
        Assert.That(passage.Unread, Is.EqualTo(Text.Length));
    }

    private static FrameScanner Scanner() => new(Sender.Client, isDeflateAgreed: false, maxMessage: 100);

    /// <summary>Passes bytes on, without pongs of ours and, if it is a Close, without the frames of one kind.</summary>
    private Passage Pass(byte[] bytes, out byte[] passed, Opcode drops = Opcode.Pong)
    {
        byte[] array = [.. bytes];
        var frames = new PassingFrames(array, ref _scanner);
        while (frames.TryNext(out ControlFrame control))
        {
            if (control.Opcode == drops && (drops == Opcode.Close || control.Header.PayloadLength == 1))
                frames.TakeOut(control);
        }
        Passage passage = frames.End();
        passed = array[..passage.Count];
        return passage;
    }
}
