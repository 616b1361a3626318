using System.Buffers.Binary;
using System.Globalization;
using HeartbeatServer.Framing;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Framing;

[TestFixture]
public sealed class FrameHeaderTests
{
    [Test]
    public void The_masked_hello_of_the_RFC_is_read()
    {
        byte[] hello = Convert.FromHexString("818537FA213D7F9F4D5158");

        bool read = FrameHeader.TryRead(hello, out FrameHeader header);

        Assert.That(read, Is.True);
        Assert.That(header, Is.EqualTo(new FrameHeader(true, Opcode.Text, 0x3D21FA37, 5, 6)));
    }

    [TestCase(0L, 6)]
    [TestCase(1L, 6)]
    [TestCase(125L, 6)]
    [TestCase(126L, 8)]
    [TestCase(127L, 8)]
    [TestCase(65535L, 8)]
    [TestCase(65536L, 14)]
    [TestCase(int.MaxValue + 1L, 14)]
    [TestCase(long.MaxValue, 14)]
    public void A_length_is_read_from_7_16_or_64_bits(long length, int size)
    {
        byte[] bytes = ClientFrames.Header(0x82, length);

        Assert.That(FrameHeader.TryRead(bytes, out FrameHeader header), Is.True);
        Assert.That((header.PayloadLength, header.Size), Is.EqualTo((length, size)));
        Assert.That(header.MaskKey, Is.EqualTo(BinaryPrimitives.ReadUInt32LittleEndian(ClientFrames.Mask)));
    }

    [TestCase(0L)]
    [TestCase(126L)]
    [TestCase(65536L)]
    public void Every_shorter_piece_of_a_header_asks_for_more(long length)
    {
        byte[] bytes = ClientFrames.Header(0x01, length);

        for (int count = 0; count < bytes.Length; count++)
        {
            Assert.That(FrameHeader.TryRead(bytes.AsSpan(0, count), out FrameHeader header), Is.False, $"{count} bytes");
            Assert.That(header, Is.Default);
        }
    }

    [Test]
    public void What_follows_a_header_does_not_matter()
    {
        byte[] bytes = [.. ClientFrames.Header(0x82, 3), .. new byte[] { 0xFF, 0xFF, 0xFF, 0xFF }];

        Assert.That(FrameHeader.TryRead(bytes, out FrameHeader header), Is.True);
        Assert.That(header.Size, Is.EqualTo(6));
    }

    [TestCase(Opcode.Continuation, false)]
    [TestCase(Opcode.Text, false)]
    [TestCase(Opcode.Binary, false)]
    [TestCase(Opcode.Close, true)]
    [TestCase(Opcode.Ping, true)]
    [TestCase(Opcode.Pong, true)]
    public void Close_ping_and_pong_are_control_frames(object opcode, bool isControl) =>
        Assert.That(new FrameHeader(true, (Opcode)opcode, 0, 0, 6).IsControl, Is.EqualTo(isControl));

    // The header; how many bytes there are up to the one that breaks the rule; words of the rule; its section.
    [TestCase("C1", 1, "reserved bit", "5.2")]
    [TestCase("A1", 1, "reserved bit", "5.2")]
    [TestCase("91", 1, "reserved bit", "5.2")]
    [TestCase("F1", 1, "reserved bit", "5.2")]
    [TestCase("D9", 1, "reserved bit", "5.2")]
    [TestCase("83", 1, "reserved opcode 0x3", "5.2")]
    [TestCase("84", 1, "reserved opcode 0x4", "5.2")]
    [TestCase("85", 1, "reserved opcode 0x5", "5.2")]
    [TestCase("86", 1, "reserved opcode 0x6", "5.2")]
    [TestCase("87", 1, "reserved opcode 0x7", "5.2")]
    [TestCase("8B", 1, "reserved opcode 0xB", "5.2")]
    [TestCase("8C", 1, "reserved opcode 0xC", "5.2")]
    [TestCase("8D", 1, "reserved opcode 0xD", "5.2")]
    [TestCase("8E", 1, "reserved opcode 0xE", "5.2")]
    [TestCase("8F", 1, "reserved opcode 0xF", "5.2")]
    [TestCase("03", 1, "reserved opcode 0x3", "5.2")]
    [TestCase("08", 1, "fragmented Close", "5.5")]
    [TestCase("09", 1, "fragmented Ping", "5.5")]
    [TestCase("0A", 1, "fragmented Pong", "5.5")]
    [TestCase("8105", 2, "not masked", "5.1")]
    [TestCase("8100", 2, "not masked", "5.1")]
    [TestCase("817E", 2, "not masked", "5.1")]
    [TestCase("817F", 2, "not masked", "5.1")]
    [TestCase("8900", 2, "not masked", "5.1")]
    [TestCase("8800", 2, "not masked", "5.1")]
    [TestCase("880203E9", 4, "unmasked Close 1001: a proxy that stops, not the client", "5.1")]
    [TestCase("880803E8", 4, "unmasked Close 1000: from a proxy that stops, or from a client that does not mask", "5.1")]
    [TestCase("88FE", 2, "Close frame with a payload of more than 125 bytes", "5.5")]
    [TestCase("89FE", 2, "Ping frame with a payload of more than 125 bytes", "5.5")]
    [TestCase("8AFF", 2, "Pong frame with a payload of more than 125 bytes", "5.5")]
    [TestCase("81FE0000", 4, "fewest bytes", "5.2")]
    [TestCase("81FE007D", 4, "fewest bytes", "5.2")]
    [TestCase("81FF8000000000010000", 3, "most significant bit", "5.2")]
    [TestCase("81FFFFFFFFFFFFFFFFFF", 3, "most significant bit", "5.2")]
    [TestCase("81FF0000000000000000", 10, "fewest bytes", "5.2")]
    [TestCase("81FF000000000000007E", 10, "fewest bytes", "5.2")]
    [TestCase("81FF000000000000FFFF", 10, "fewest bytes", "5.2")]
    public void A_broken_rule_is_reported_at_its_byte(string hex, int at, string rule, string section)
    {
        byte[] bytes = [.. Convert.FromHexString(hex), .. ClientFrames.Mask];

        for (int count = 0; count < at; count++)
            Assert.That(FrameHeader.TryRead(bytes.AsSpan(0, count), out _), Is.False, $"{count} bytes");
        for (int count = at; count <= bytes.Length; count++)
        {
            var violation = Assert.Throws<WebSocketProtocolException>(
                () => FrameHeader.TryRead(bytes.AsSpan(0, count), out _), $"{count} bytes");
            Assert.That(violation.CloseCode, Is.EqualTo(1002));
            Assert.That(violation.Rule, Does.Contain(rule));
            Assert.That(violation.Message, Does.EndWith($"(RFC 6455 section {section})"));
        }
    }

    [Test]
    public void All_pairs_of_first_bytes_are_judged_as_the_RFC_does()
    {
        int[] known = [0, 1, 2, 8, 9, 10];
        var bytes = new byte[14];
        // A length that fits both the 16-bit and the 64-bit form.
        bytes[2] = 0x01;
        for (int pair = 0; pair <= ushort.MaxValue; pair++)
        {
            BinaryPrimitives.WriteUInt16BigEndian(bytes, (ushort)pair);
            int opcode = bytes[0] & 0x0F;
            bool fin = bytes[0] >= 0x80;
            int length = bytes[1] & 0x7F;
            bool valid = (bytes[0] & 0x70) == 0 && known.Contains(opcode) && bytes[1] >= 0x80 && (opcode < 8 || (fin && length <= 125));

            bool read;
            FrameHeader header = default;
            try
            {
                read = FrameHeader.TryRead(bytes, out header);
            }
            catch (WebSocketProtocolException e) when (e.CloseCode == 1002)
            {
                read = false;
            }

            if (read != valid || (read && (header.Fin != fin || (int)header.Opcode != opcode)))
                Assert.Fail(pair.ToString("X4", CultureInfo.InvariantCulture));
        }
    }
}
