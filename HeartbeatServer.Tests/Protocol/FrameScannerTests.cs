using System.Globalization;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Protocol;

[TestFixture]
public sealed class FrameScannerTests
{
    private const string PongOfOurs = "0102030405060708";

    /// <summary>A stream with every kind of frame: messages in one frame and in several, control frames between them, and a Close at the end.</summary>
    private static (byte[] Stream, int[] Ends) Sample(Sender sender, bool isDeflateAgreed = false)
    {
        byte[][] frames =
        [
            Frame(sender, Opcode.Text, "hello"u8),
            Frame(sender, Opcode.Pong, Convert.FromHexString(PongOfOurs)),
            Frame(sender, Opcode.Binary, []),
            Frame(sender, Opcode.Text, [0xE2], fin: false),
            Frame(sender, Opcode.Ping, "in between"u8),
            Frame(sender, Opcode.Continuation, [], fin: false),
            Frame(sender, Opcode.Pong, Convert.FromHexString(PongOfOurs)),
            Frame(sender, Opcode.Continuation, [0x82, 0xAC]),
            Frame(sender, Opcode.Binary, new byte[126]),
            Frame(sender, Opcode.Ping, new byte[125]),
            Frame(sender, Opcode.Pong, []),
            Frame(sender, Opcode.Text, [0xFF, 0xFE]), // no UTF-8, which is not for the scanner to judge
            Frame(sender, Opcode.Close, ClientFrames.CloseBody(4404, "gone"u8)),
        ];
        if (isDeflateAgreed)
        {
            frames[0][0] |= 0x40;
            frames[3][0] |= 0x40;
        }
        int sum = 0;
        return (ClientFrames.Join(frames), [.. frames.Select(frame => sum += frame.Length)]);
    }

    private static byte[] Frame(Sender sender, Opcode opcode, ReadOnlySpan<byte> payload, bool fin = true) =>
        sender == Sender.Client ? ClientFrames.Frame(opcode, payload, fin) : ServerFrames.Frame(opcode, payload, fin);

    private static FrameScanner From(Sender sender, bool isDeflateAgreed = false, long maxMessage = long.MaxValue) =>
        new(sender, isDeflateAgreed, maxMessage);

    [Test]
    public void A_stream_passes_unchanged_in_every_two_pieces([Values] bool isClient, [Values] bool isDeflateAgreed)
    {
        Sender sender = isClient ? Sender.Client : Sender.Server;
        (byte[] stream, int[] ends) = Sample(sender, isDeflateAgreed);
        string[] controls = [.. ScanLoop.Run(stream, From(sender, isDeflateAgreed)).Controls];
        for (int cut = 0; cut <= stream.Length; cut++)
        {
            ScanLoop loop = ScanLoop.Run(stream, From(sender, isDeflateAgreed), Pieces(cut));

            Assert.That(loop.Violation, Is.Null, $"cut at {cut}");
            Assert.That(loop.Passed, Is.EqualTo(stream), $"cut at {cut}");
            Assert.That(loop.Controls, Is.EqualTo(controls), $"cut at {cut}");
            Assert.That(loop.Messages, Is.EqualTo(5), $"cut at {cut}");
            Assert.That(loop.Boundaries, Is.SubsetOf(ends.Prepend(0)), $"cut at {cut}");
        }
    }

    [Test]
    public void A_stream_passes_unchanged_in_three_pieces([Values] bool isClient)
    {
        Sender sender = isClient ? Sender.Client : Sender.Server;
        (byte[] stream, _) = Sample(sender);
        string whole = ScanLoop.Run(stream, From(sender)).ToString();
        for (int first = 1; first < stream.Length; first += 23)
        {
            for (int second = 1; second < stream.Length - first; second++)
            {
                ScanLoop loop = ScanLoop.Run(stream, From(sender), Pieces(first, second));

                if (loop.ToString() != whole)
                    Assert.Fail($"{first} and {second} bytes: {loop}");
            }
        }
    }

    [Test]
    public void Byte_by_byte_every_end_of_a_frame_is_a_boundary([Values] bool isClient)
    {
        Sender sender = isClient ? Sender.Client : Sender.Server;
        (byte[] stream, int[] ends) = Sample(sender);

        ScanLoop loop = ScanLoop.Run(stream, From(sender), PiecesOf(1));

        Assert.That(loop.Passed, Is.EqualTo(stream));
        Assert.That(loop.Boundaries, Is.EqualTo(ends.Prepend(0)));
    }

    [Test]
    public void Control_frames_are_told_with_their_unmasked_payload([Values] bool isClient)
    {
        Sender sender = isClient ? Sender.Client : Sender.Server;
        ScanLoop loop = ScanLoop.Run(Sample(sender).Stream, From(sender));

        Assert.That(loop.Controls, Is.EqualTo(new[]
        {
            Transcript.Event(Opcode.Pong, Convert.FromHexString(PongOfOurs)),
            Transcript.Event(Opcode.Ping, "in between"u8),
            Transcript.Event(Opcode.Pong, Convert.FromHexString(PongOfOurs)),
            Transcript.Event(Opcode.Ping, new byte[125]),
            Transcript.Event(Opcode.Pong, []),
            Transcript.Event(Opcode.Close, ClientFrames.CloseBody(4404, "gone"u8)),
        }));
    }

    [Test]
    public void A_dropped_pong_leaves_no_trace_whatever_the_pieces([Values] bool isClient, [Values(1, 2, 3, 7, 64, 1000)] int piece)
    {
        Sender sender = isClient ? Sender.Client : Sender.Server;
        byte[] pong = Frame(sender, Opcode.Pong, Convert.FromHexString(PongOfOurs));
        (byte[] stream, _) = Sample(sender);
        byte[] expected = Convert.FromHexString(Convert.ToHexString(stream).Replace(Convert.ToHexString(pong), "", StringComparison.Ordinal));

        ScanLoop loop = ScanLoop.Run(
            stream, From(sender), PiecesOf(piece), (opcode, payload) => opcode == Opcode.Pong && Convert.ToHexString(payload) == PongOfOurs);

        Assert.That(loop.Passed, Is.EqualTo(expected));
        Assert.That(loop.Controls, Has.Count.EqualTo(6));
    }

    [Test]
    public void What_follows_a_Close_is_not_scanned([Values] bool isClient)
    {
        Sender sender = isClient ? Sender.Client : Sender.Server;
        byte[] close = Frame(sender, Opcode.Close, []);

        ScanLoop loop = ScanLoop.Run([.. close, 0xFF, 0xFF, 0xFF], From(sender));

        Assert.That((loop.Passed, loop.Violation), Is.EqualTo((close, (WebSocketProtocolException?)null)));
    }

    /// <summary>A long frame passes in pieces. The scanner needs no memory for them, and knows how much is to come.</summary>
    [Test]
    public void A_frame_of_any_length_passes_as_it_comes()
    {
        const long length = 1L << 40;
        FrameScanner scanner = From(Sender.Client);
        byte[] header = ClientFrames.Header(0x82, length);
        int position = 0;
        Assert.That(scanner.TryRead(header, ref position, out _, out int boundary), Is.False);
        Assert.That((position, boundary, scanner.FrameRemaining, scanner.IsBetweenFrames), Is.EqualTo((header.Length, 0, length, false)));

        byte[] piece = new byte[1 << 20];
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (long sent = 0; sent < length; sent += piece.Length)
        {
            position = 0;
            if (scanner.TryRead(piece, ref position, out _, out boundary) || position != piece.Length)
                Assert.Fail($"after {sent} bytes");
        }
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;

        Assert.That((boundary, scanner.FrameRemaining, scanner.IsBetweenFrames, scanner.Messages), Is.EqualTo((piece.Length, 0L, true, 1L)));
        Assert.That(allocated, Is.Zero);
    }

    [Test]
    public void Frames_of_all_kinds_are_scanned_without_memory([Values] bool isClient)
    {
        Sender sender = isClient ? Sender.Client : Sender.Server;
        (byte[] stream, _) = Sample(sender);
        FrameScanner scanner = From(sender);
        Drain(scanner, stream);

        long before = GC.GetAllocatedBytesForCurrentThread();
        int controls = Drain(scanner, stream);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;

        Assert.That((controls, allocated), Is.EqualTo((6, 0L)));

        static int Drain(FrameScanner scanner, byte[] stream)
        {
            int controls = 0;
            int position = 0;
            while (scanner.TryRead(stream, ref position, out _, out _))
                controls++;
            return controls;
        }
    }

    [Test]
    public void The_last_boundary_of_a_piece_is_told()
    {
        byte[] whole = ServerFrames.Frame(Opcode.Binary, new byte[3]);
        byte[] stream = [.. whole, .. whole, .. whole[..4]];
        FrameScanner scanner = From(Sender.Server);
        int position = 0;

        Assert.That(scanner.TryRead(stream, ref position, out _, out int boundary), Is.False);
        Assert.That((position, boundary, scanner.FrameRemaining), Is.EqualTo((stream.Length, 2 * whole.Length, 1L)));

        position = 0;
        Assert.That(scanner.TryRead(new byte[1], ref position, out _, out boundary), Is.False);
        Assert.That((position, boundary), Is.EqualTo((1, 1)));
    }

    // The first frames; the header that breaks a rule; words of the rule; the close code.
    [TestCase(Sender.Client, "", "8100", "frame from a client is not masked", 1002)]
    [TestCase(Sender.Client, "", "880203E9", "unmasked Close 1001", 1002)]
    [TestCase(Sender.Server, "", "8180", "frame from a server is masked", 1002)]
    [TestCase(Sender.Server, "", "8980", "frame from a server is masked", 1002)]
    [TestCase(Sender.Server, "", "C1", "reserved bit", 1002)]
    [TestCase(Sender.Server, "", "A1", "reserved bit", 1002)]
    [TestCase(Sender.Server, "", "91", "reserved bit", 1002)]
    [TestCase(Sender.Server, "", "83", "reserved opcode 0x3", 1002)]
    [TestCase(Sender.Server, "", "8F", "reserved opcode 0xF", 1002)]
    [TestCase(Sender.Server, "", "09", "fragmented Ping", 1002)]
    [TestCase(Sender.Server, "", "897E", "Ping frame with a payload of more than 125 bytes", 1002)]
    [TestCase(Sender.Server, "", "827E007D", "fewest bytes", 1002)]
    [TestCase(Sender.Server, "", "827F000000000000FFFF", "fewest bytes", 1002)]
    [TestCase(Sender.Server, "", "827F80", "most significant bit", 1002)]
    [TestCase(Sender.Server, "", "8000", "without a message to continue", 1002)]
    [TestCase(Sender.Server, "8100", "0000", "without a message to continue", 1002)]
    [TestCase(Sender.Server, "0100", "8200", "inside a fragmented message", 1002)]
    [TestCase(Sender.Server, "010089008000", "8000", "without a message to continue", 1002)]
    [TestCase(Sender.Server, "", "880103", "half a code", 1002)]
    [TestCase(Sender.Server, "", "880203ED", "Close code 1005 must not be sent", 1002)]
    [TestCase(Sender.Server, "", "88020000", "Close code 0 must not be sent", 1002)]
    [TestCase(Sender.Server, "", "88021388", "Close code 5000 must not be sent", 1002)]
    [TestCase(Sender.Server, "", "880303E8FF", "reason of a Close frame", 1007)]
    public void A_broken_rule_is_told_after_the_frames_before_it(object from, string before, string bad, string rule, int code)
    {
        var sender = (Sender)from;
        byte[] good = Convert.FromHexString(before);
        for (int piece = 1; piece <= 16; piece++)
        {
            ScanLoop loop = ScanLoop.Run([.. good, .. Convert.FromHexString(bad), 0, 0, 0, 0], From(sender), PiecesOf(piece));

            Assert.That(loop.Violation?.Rule, Does.Contain(rule), $"pieces of {piece}");
            Assert.That((int)loop.Violation!.CloseCode, Is.EqualTo(code));
            Assert.That(loop.Passed, Is.EqualTo(good), $"pieces of {piece}");
        }
    }

    // RFC 7692 section 6: RSV1 stands on the first frame of a message, and never on a control frame. The other two bits have no meaning.
    [TestCase("C100", true)]
    [TestCase("C200", true)]
    [TestCase("4100" + "8000", true)]
    [TestCase("8100", true)]
    [TestCase("4100" + "C000", false)]
    [TestCase("4100" + "4000", false)]
    [TestCase("C900", false)]
    [TestCase("C800", false)]
    [TestCase("E100", false)]
    [TestCase("D100", false)]
    [TestCase("A100", false)]
    [TestCase("9100", false)]
    public void RSV1_is_for_the_first_frame_of_a_message_where_deflate_is_agreed(string hex, bool isGood)
    {
        ScanLoop loop = ScanLoop.Run(Convert.FromHexString(hex), From(Sender.Server, isDeflateAgreed: true));

        Assert.That(loop.Violation?.Message, isGood ? Is.Null : Does.Contain("where permessage-deflate sets none (RFC 6455 section 5.2)"));
    }

    [TestCase(10, "8A" + "0B", 0)] // a control frame is no part of a message
    [TestCase(10, "820A", 0)]
    [TestCase(10, "820B", 1009)]
    [TestCase(10, "020A" + "00000000000000000000" + "8000", 0)]
    [TestCase(10, "020A" + "00000000000000000000" + "8001", 1009)]
    [TestCase(10, "0200" + "0000" + "800B", 1009)]
    [TestCase(10, "820A" + "00000000000000000000" + "820A", 0)]
    [TestCase(10, "827F7FFFFFFFFFFFFFFF", 1009)]
    [TestCase(long.MaxValue, "827F7FFFFFFFFFFFFFFF", 0)]
    [TestCase(long.MaxValue, "0201" + "00" + "807F7FFFFFFFFFFFFFFF", 1009)] // the sum would overflow
    [TestCase(0, "8200", 0)]
    [TestCase(0, "8201", 1009)]
    public void The_lengths_of_the_fragments_together_are_limited(long maxMessage, string hex, int code)
    {
        ScanLoop loop = ScanLoop.Run(Convert.FromHexString(hex), From(Sender.Server, maxMessage: maxMessage));

        Assert.That((int)(loop.Violation?.CloseCode ?? 0), Is.EqualTo(code));
    }

    [Test]
    public void Random_streams_give_the_same_for_every_split([Range(1, 6)] int seed, [Values] bool isClient)
    {
        Sender sender = isClient ? Sender.Client : Sender.Server;
        var random = new Random(seed);
        byte[] likely = [0x00, 0x01, 0x02, 0x41, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A, 0xC1, 0x80, 0x84, 0x03, 0xE8, 0x7E, 0x7F, 0xFE, 0xFF, 0xC3];
        for (int round = 0; round < 3_000; round++)
        {
            byte[] stream = random.GetItems(likely, random.Next(1, 60));
            bool isDeflateAgreed = random.Next(2) == 0;
            string whole = ScanLoop.Run(stream, From(sender, isDeflateAgreed, 300)).ToString();
            ScanLoop bytes = ScanLoop.Run(stream, From(sender, isDeflateAgreed, 300), PiecesOf(1));
            ScanLoop pieces = ScanLoop.Run(stream, From(sender, isDeflateAgreed, 300), () => random.Next(1, 20));

            if (bytes.ToString() != whole || pieces.ToString() != whole)
                Assert.Fail($"seed {seed}: {Convert.ToHexString(stream)}\n{whole}\n{bytes}\n{pieces}");
            if (!stream.AsSpan().StartsWith(bytes.Passed))
                Assert.Fail($"seed {seed}: {Convert.ToHexString(stream)} passed as {Convert.ToHexString(bytes.Passed)}");
        }
    }

    /// <summary>The reference also judges text, which passes here unseen. On anything else the two agree.</summary>
    [Test]
    public void Random_streams_are_judged_as_by_the_reference([Range(1, 4)] int seed)
    {
        const int maxMessage = 300;
        var random = new Random(seed);
        byte[] likely = [0x00, 0x02, 0x82, 0x88, 0x89, 0x8A, 0x80, 0x80, 0x81, 0x84, 0x03, 0xE8, 0xFE, 0xFF, 0x41, 0xC3];
        int judged = 0;
        for (int round = 0; round < 4_000; round++)
        {
            byte[] stream = random.GetItems(likely, random.Next(1, 80));
            Transcript reference = ReferenceReader.Run(stream, maxMessage);
            if (reference.Violation == 1007)
                continue;
            judged++;
            ScanLoop loop = ScanLoop.Run(stream, From(Sender.Client, maxMessage: maxMessage));

            string[] expected = [.. reference.Events.Where(one => one[0] is 'C' or 'P')];
            string context = string.Create(CultureInfo.InvariantCulture, $"seed {seed}: {Convert.ToHexString(stream)}");
            Assert.That((int)(loop.Violation?.CloseCode ?? 0), Is.EqualTo(reference.Violation), context);
            Assert.That(loop.Controls, Is.EqualTo(expected), context);
            Assert.That(loop.Messages, Is.EqualTo(reference.Events.Count - expected.Length), context);
        }
        Assert.That(judged, Is.GreaterThan(3_000));
    }

    private static Func<int> PiecesOf(int length) => () => length;

    /// <summary>Pieces of these lengths, and the rest in one.</summary>
    private static Func<int> Pieces(params int[] lengths)
    {
        var pieces = new Queue<int>(lengths);
        return () => pieces.TryDequeue(out int piece) ? piece : int.MaxValue;
    }
}
