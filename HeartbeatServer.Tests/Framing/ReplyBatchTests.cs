using HeartbeatServer.Framing;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Framing;

[TestFixture]
public sealed class ReplyBatchTests
{
    [Test]
    public void A_new_batch_is_empty()
    {
        var batch = new ReplyBatch();

        Assert.That(batch.IsEmpty, Is.True);
        Assert.That((batch.Start, batch.End), Is.EqualTo((0, 0)));
    }

    [TestCase(0)]
    [TestCase(125)]
    [TestCase(126)]
    [TestCase(65535)]
    [TestCase(65536)]
    public void The_payload_of_a_single_frame_stays_where_it_is(int length)
    {
        byte[] payload = Payload(length, 1);
        byte[] buffer = ClientFrames.Binary(payload);
        int offset = buffer.Length - length;
        payload.CopyTo(buffer, offset);

        var batch = new ReplyBatch();
        batch.Add(buffer, Opcode.Binary, offset, length);

        Assert.That(batch.End, Is.EqualTo(buffer.Length));
        Assert.That(batch.Start, Is.EqualTo(4), "where the client had its mask there is room for the header");
        Assert.That(buffer.AsSpan(batch.Start).SequenceEqual(ServerFrames.Frame(Opcode.Binary, payload)));
    }

    [Test]
    public void An_empty_frame_alone_makes_a_batch()
    {
        byte[] buffer = ClientFrames.Ping();

        var batch = new ReplyBatch();
        batch.Add(buffer, Opcode.Pong, 6, 0);

        Assert.That(batch.IsEmpty, Is.False);
        Assert.That(buffer[batch.Start..batch.End], Is.EqualTo(ServerFrames.Frame(Opcode.Pong, [])));
    }

    [Test]
    public void Replies_stand_behind_each_other_and_no_unread_byte_is_overwritten([Range(1, 40)] int seed)
    {
        var random = new Random(seed);
        int[] lengths = [0, 0, 1, 5, 64, 124, 125, 126, 127, 300, 65535, 65536];
        (Opcode Opcode, byte[] Payload)[] frames =
        [
            .. Enumerable.Range(0, random.Next(2, 12)).Select(i => random.Next(3) switch
            {
                0 => (Opcode.Ping, Payload(random.Next(126), i)),
                1 => (Opcode.Text, Payload(random.GetItems(lengths, 1)[0], i)),
                _ => (Opcode.Binary, Payload(random.GetItems(lengths, 1)[0], i)),
            }),
        ];
        byte[] stream = ClientFrames.Join([.. frames.Select(frame => ClientFrames.Frame(frame.Opcode, frame.Payload))]);
        byte[] buffer = [.. stream];
        var batch = new ReplyBatch();
        List<byte> expected = [];
        int read = 0;

        foreach ((Opcode opcode, byte[] payload) in frames)
        {
            Assert.That(buffer.AsSpan(read).SequenceEqual(stream.AsSpan(read)), "the unread bytes are whole");
            int offset = read + ClientFrames.Header(0x82, payload.Length).Length;
            payload.CopyTo(buffer, offset);
            read = offset + payload.Length;
            // Some frames get no reply, so there are gaps between the payloads.
            if (random.Next(5) == 0)
                continue;
            Opcode reply = opcode == Opcode.Ping ? Opcode.Pong : opcode;
            batch.Add(buffer, reply, offset, payload.Length);
            expected.AddRange(ServerFrames.Frame(reply, payload));
            Assert.That(batch.End, Is.LessThanOrEqualTo(read));
        }

        Assert.That(buffer.AsSpan(batch.Start, batch.End - batch.Start).SequenceEqual(expected.ToArray()));
    }

    [Test]
    public void A_batch_can_be_used_again_after_it_was_cleared()
    {
        byte[] buffer = ClientFrames.Join(ClientFrames.Ping("a"u8), ClientFrames.Ping("b"u8));
        var batch = new ReplyBatch();
        batch.Add(buffer, Opcode.Pong, 6, 1);

        batch.Clear();
        Assert.That(batch.IsEmpty, Is.True);

        buffer[13] = (byte)'b';
        batch.Add(buffer, Opcode.Pong, 13, 1);
        Assert.That(buffer[batch.Start..batch.End], Is.EqualTo(ServerFrames.Frame(Opcode.Pong, "b"u8)));
    }

    private static byte[] Payload(int length, int seed)
    {
        var bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }
}
