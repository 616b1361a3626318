using System.Text;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Protocol;

[TestFixture]
public sealed class MessageReaderTests
{
    private const int MiB = 1 << 20;

    private static IEnumerable<TestCaseData> Streams()
    {
        yield return Stream("messages in one frame each", ClientFrames.Text("Hello"), ClientFrames.Binary(Bytes(3)), ClientFrames.Text(""));
        yield return Stream(
            "16-bit lengths", ClientFrames.Binary(Bytes(126)), ClientFrames.Text(new string('x', 200)), ClientFrames.Ping());
        yield return Stream(
            "fragments with pings between",
            ClientFrames.Text("κόσμε", fin: false),
            ClientFrames.Ping("one"u8),
            ClientFrames.Continuation("", fin: false),
            ClientFrames.Ping("two"u8),
            ClientFrames.Pong(Bytes(125)),
            ClientFrames.Continuation(" 😀", fin: true),
            ClientFrames.Binary(Bytes(7)));
        yield return Stream(
            "fragments cut inside a character",
            ClientFrames.Text(Encoding.UTF8.GetBytes("😀").AsSpan(0, 1), fin: false),
            ClientFrames.Continuation(Encoding.UTF8.GetBytes("😀").AsSpan(1, 2), fin: false),
            ClientFrames.Ping(),
            ClientFrames.Continuation(Encoding.UTF8.GetBytes("😀").AsSpan(3), fin: true));
        yield return Stream(
            "a close and bytes after it", ClientFrames.Text("last"), ClientFrames.Close(1000, "går"), ClientFrames.Text("not heard"));
        yield return Stream("a close without a body", ClientFrames.Ping(Bytes(125)), ClientFrames.Close());
        yield return Stream("a violation after good frames", ClientFrames.Text("good"), ClientFrames.Ping("p"u8), [0xC1, 0x80, 1, 2, 3, 4]);
        yield return Stream("bad text", ClientFrames.Text("good"), ClientFrames.Text([0x41, 0xED, 0xA0, 0x80, 0x41]), ClientFrames.Ping());
        yield return Stream("too big after good frames", ClientFrames.Binary(Bytes(500)), ClientFrames.Binary(Bytes(501)));
        yield return Stream("an incomplete frame", ClientFrames.Text("whole"), ClientFrames.Text("incomplete")[..12]);
    }

    [TestCaseSource(nameof(Streams))]
    public void Every_split_in_two_gives_the_same_as_the_whole(byte[] stream)
    {
        string expected = ReferenceReader.Run(stream, 500).ToString();
        for (int cut = 0; cut <= stream.Length; cut++)
        {
            int at = cut;
            int NextPiece() => at > 0 ? at : int.MaxValue;
            int Once()
            {
                int piece = NextPiece();
                at = 0;
                return piece;
            }

            Assert.That(ReadLoop.Run(stream, Once, 500).ToString(), Is.EqualTo(expected), $"cut at {cut}");
            at = cut;
            Assert.That(ReadLoop.Run(stream, Once, 500, eager: true).ToString(), Is.EqualTo(expected), $"cut at {cut}, straight");
        }
    }

    [TestCaseSource(nameof(Streams))]
    public void Pieces_of_every_size_give_the_same_as_the_whole(byte[] stream)
    {
        string expected = ReferenceReader.Run(stream, 500).ToString();
        for (int size = 1; size <= stream.Length; size++)
        {
            Assert.That(ReadLoop.Run(stream, size, 500).ToString(), Is.EqualTo(expected), $"{size} bytes at a time");
            Assert.That(ReadLoop.Run(stream, () => size, 500, eager: true).ToString(), Is.EqualTo(expected), $"{size} at a time, straight");
        }
    }

    [Test]
    public void Lengths_at_the_limits_of_each_form_are_read_in_pieces_of_any_size(
        [Values(0, 1, 125, 126, 127, 159, 160, 161, 16383, 16384, 65535, 65536, 131_062, 131_072, 200_000)] int length,
        [Values(1, 7, 131, 160, 4096, 16384, 65536, int.MaxValue)] int pieces)
    {
        byte[] stream = ClientFrames.Join(ClientFrames.Binary(Bytes(length)), ClientFrames.Ping("end"u8));

        string heard = ReadLoop.Run(stream, pieces, MiB).ToString();

        Assert.That(heard, Is.EqualTo(Events((Opcode.Binary, Bytes(length)), (Opcode.Ping, "end"u8.ToArray()))));
    }

    [Test]
    public void A_message_that_lies_whole_in_the_buffer_is_handed_on_where_it_is()
    {
        using var reader = new MessageReader(MiB);
        byte[] buffer = ClientFrames.Join(ClientFrames.Text("Hello"), ClientFrames.Binary(Bytes(300)));
        int start = 0;

        Assert.That(reader.TryRead(buffer, ref start, buffer.Length, out Inbound first), Is.True);
        Assert.That((first.Buffer == buffer, first.Offset, first.Count, start), Is.EqualTo((true, 6, 5, 11)));
        Assert.That(reader.TryRead(buffer, ref start, buffer.Length, out Inbound second), Is.True);
        Assert.That((second.Buffer == buffer, second.Offset, second.Count, start), Is.EqualTo((true, 19, 300, buffer.Length)));
        Assert.That(reader.TryRead(buffer, ref start, buffer.Length, out _), Is.False);
    }

    [Test]
    public void An_assembled_message_has_room_for_the_longest_header_before_it()
    {
        using var reader = new MessageReader(MiB);
        byte[] buffer = ClientFrames.Join(ClientFrames.Text("Hel", fin: false), ClientFrames.Continuation("lo", fin: true));
        int start = 0;

        Assert.That(reader.TryRead(buffer, ref start, buffer.Length, out Inbound message), Is.True);
        Assert.That(message.Buffer, Is.Not.SameAs(buffer));
        Assert.That(message.Offset, Is.GreaterThanOrEqualTo(FrameWriter.MaxHeaderSize));
        Assert.That(message.Payload.SequenceEqual("Hello"u8));
    }

    [Test]
    public void Only_the_start_of_a_header_or_of_a_control_frame_is_left_unread()
    {
        byte[] stream = ClientFrames.Join(ClientFrames.Ping(Bytes(125)), ClientFrames.Binary(Bytes(400)));
        for (int end = 0; end <= stream.Length; end++)
        {
            using var reader = new MessageReader(MiB);
            byte[] buffer = [.. stream];
            int start = 0;
            while (reader.TryRead(buffer, ref start, end, out _)) { }
            Assert.That(end - start, Is.LessThanOrEqualTo(end < 131 ? MessageReader.MaxUnread : 7), $"{end} bytes");
        }
    }

    [Test]
    public void A_frame_in_progress_says_how_many_bytes_it_lacks()
    {
        using var reader = new MessageReader(MiB);
        byte[] buffer = ClientFrames.Binary(Bytes(1000));
        int start = 0;
        Assert.That(reader.FrameRemaining, Is.Zero);

        Assert.That(reader.TryRead(buffer, ref start, 8, out _), Is.False);
        Assert.That((reader.FrameRemaining, start), Is.EqualTo((1000L, 8)));
        Assert.That(reader.TryRead(buffer, ref start, 108, out _), Is.False);
        Assert.That((reader.FrameRemaining, start), Is.EqualTo((900L, 108)));
        Assert.That(reader.TryRead(buffer, ref start, buffer.Length, out Inbound message), Is.True);
        Assert.That(reader.FrameRemaining, Is.Zero);
        Assert.That(message.Payload.SequenceEqual(Bytes(1000)));
    }

    [Test]
    public void A_payload_received_straight_into_the_message_is_unmasked_there()
    {
        using var reader = new MessageReader(MiB);
        byte[] frame = ClientFrames.Binary(Bytes(5000));
        int start = 0;
        Assert.That(reader.TryRead(frame, ref start, 11, out _), Is.False);

        frame.AsSpan(start, 1000).CopyTo(reader.PayloadTarget().Span);
        Assert.That(reader.TryAccept(1000, out _), Is.False);
        Memory<byte> target = reader.PayloadTarget();
        Assert.That(target.Length, Is.EqualTo(reader.FrameRemaining).And.EqualTo(3997));
        frame.AsSpan(start + 1000).CopyTo(target.Span);

        Assert.That(reader.TryAccept(3997, out Inbound message), Is.True);
        Assert.That(message.Payload.SequenceEqual(Bytes(5000)));
    }

    [TestCase(1)]
    [TestCase(4096)]
    [TestCase(65537)]
    [TestCase(int.MaxValue)]
    public void Sixteen_MiB_come_through_whole_or_in_pieces(int pieces)
    {
        // Byte by byte, a shorter message is enough: it takes the same path through the code.
        byte[] payload = Bytes(pieces == 1 ? 2 * MiB : 16 * MiB);

        Transcript heard = ReadLoop.Run(ClientFrames.Binary(payload), pieces, 16 * MiB);

        Assert.That(heard.ToString(), Is.EqualTo(Events((Opcode.Binary, payload))));
    }

    [Test]
    public void Sixteen_MiB_come_through_in_fragments([Values(1000, 65536, MiB)] int size, [Values(4096, int.MaxValue)] int pieces)
    {
        byte[] payload = Bytes(16 * MiB);
        List<byte[]> frames = [];
        for (int at = 0; at < payload.Length; at += size)
        {
            int count = Math.Min(size, payload.Length - at);
            Opcode opcode = at == 0 ? Opcode.Binary : Opcode.Continuation;
            frames.Add(ClientFrames.Frame(opcode, payload.AsSpan(at, count), fin: at + count == payload.Length));
        }

        Transcript heard = ReadLoop.Run(ClientFrames.Join([.. frames]), pieces, 16 * MiB);

        Assert.That(heard.ToString(), Is.EqualTo(Events((Opcode.Binary, payload))));
    }

    [Test]
    public void A_message_of_the_limit_passes_and_one_byte_more_does_not(
        [Values(10, 126, 70_000)] int limit, [Values(1, 1000, int.MaxValue)] int pieces)
    {
        Assert.That(ReadLoop.Run(ClientFrames.Binary(Bytes(limit)), pieces, limit).Violation, Is.Zero);

        Transcript heard = ReadLoop.Run(ClientFrames.Binary(Bytes(limit + 1)), pieces, limit);
        Assert.That((heard.Events.Count, heard.Violation), Is.EqualTo((0, 1009)));
        Assert.That(heard.Rule, Is.EqualTo($"message longer than {limit} bytes (RFC 6455 section 10.4)"));
    }

    [TestCase(1001L)]
    [TestCase(65536L)]
    [TestCase(1L << 32)]
    [TestCase(long.MaxValue)]
    public void A_frame_that_is_too_long_is_refused_at_its_header(long length)
    {
        byte[] header = ClientFrames.Header(0x82, length);

        Transcript heard = ReadLoop.Run([.. header, 1, 2, 3], 1, 1000);

        Assert.That((heard.Violation, heard.BytesTaken), Is.EqualTo((1009, header.Length)));
    }

    [Test]
    public void The_sum_of_the_fragments_counts()
    {
        byte[] start = ClientFrames.Join(
            ClientFrames.Binary(Bytes(400), fin: false), ClientFrames.Ping(), ClientFrames.Continuation(Bytes(400), fin: false));
        byte[] atLimit = ClientFrames.Join(
            start, ClientFrames.Continuation(Bytes(200), fin: false), ClientFrames.Continuation([], fin: true));
        byte[] overLimit = ClientFrames.Join(start, ClientFrames.Continuation(Bytes(201), fin: true));

        Assert.That(ReadLoop.Run(atLimit, 1000).Events, Has.Count.EqualTo(2));
        Transcript over = ReadLoop.Run(overLimit, 1, 1000);
        Assert.That((over.Violation, over.BytesTaken), Is.EqualTo((1009, start.Length + 8)));
    }

    [Test]
    public void The_fragments_of_one_message_do_not_count_for_the_next()
    {
        byte[] message = ClientFrames.Join(ClientFrames.Binary(Bytes(600), fin: false), ClientFrames.Continuation(Bytes(400), fin: true));

        Assert.That(ReadLoop.Run(ClientFrames.Join(message, message, message), 1000).Events, Has.Count.EqualTo(3));
    }

    [Test]
    public void A_header_that_promises_16_MiB_does_not_make_room_for_them()
    {
        using var reader = new MessageReader(16 * MiB);
        byte[] header = ClientFrames.Header(0x82, 16 * MiB);
        int start = 0;

        Assert.That(reader.TryRead(header, ref start, header.Length, out _), Is.False);

        Assert.That(reader.FrameRemaining, Is.EqualTo(16 * MiB));
        Assert.That(reader.PayloadTarget().Length, Is.InRange(1, 16 * 1024));
    }

    [Test]
    public void Bytes_that_are_there_already_have_room_at_once_but_never_more_than_the_frame()
    {
        using var reader = new MessageReader(16 * MiB);
        byte[] header = ClientFrames.Header(0x82, 100_000);
        int start = 0;
        reader.TryRead(header, ref start, header.Length, out _);

        Assert.That(reader.PayloadTarget(waiting: 50_000).Length, Is.InRange(50_000, 100_000));
        Assert.That(reader.PayloadTarget(waiting: 500_000).Length, Is.EqualTo(100_000));
    }

    [Test]
    public void Room_grows_as_the_bytes_come()
    {
        using var reader = new MessageReader(16 * MiB);
        byte[] header = ClientFrames.Header(0x82, 16 * MiB);
        int start = 0;
        reader.TryRead(header, ref start, header.Length, out _);

        long received = 0;
        bool whole = false;
        while (!whole)
        {
            int room = reader.PayloadTarget().Length;
            Assert.That(room, Is.LessThanOrEqualTo(Math.Max(8 * 1024, 4 * received)), $"after {received} bytes");
            whole = reader.TryAccept(room, out Inbound message);
            received += room;
            Assert.That(message.Count, Is.EqualTo(whole ? 16 * MiB : 0));
        }
    }

    [Test]
    public void A_reader_can_be_disposed_of_at_any_byte_and_twice()
    {
        byte[] stream = ClientFrames.Join(
            ClientFrames.Text("a", fin: false), ClientFrames.Ping(), ClientFrames.Continuation("b", fin: true));
        for (int end = 0; end <= stream.Length; end++)
        {
            var reader = new MessageReader(MiB);
            byte[] buffer = [.. stream];
            int start = 0;
            while (reader.TryRead(buffer, ref start, end, out _)) { }
            reader.Dispose();
            Assert.DoesNotThrow(reader.Dispose);
        }
    }

    private static TestCaseData Stream(string name, params byte[][] frames) =>
        new TestCaseData(ClientFrames.Join(frames)).SetArgDisplayNames(name);

    private static string Events(params (Opcode Opcode, byte[] Payload)[] events) =>
        string.Join("\n", events.Select(e => Transcript.Event(e.Opcode, e.Payload)));

    private static byte[] Bytes(int length)
    {
        var bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        return bytes;
    }
}
