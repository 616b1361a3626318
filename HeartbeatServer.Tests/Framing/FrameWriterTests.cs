using System.Text;
using HeartbeatServer.Framing;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Framing;

[TestFixture]
public sealed class FrameWriterTests
{
    [TestCase(0, "8200")]
    [TestCase(125, "827D")]
    [TestCase(126, "827E007E")]
    [TestCase(127, "827E007F")]
    [TestCase(65535, "827EFFFF")]
    [TestCase(65536, "827F0000000000010000")]
    [TestCase(int.MaxValue, "827F000000007FFFFFFF")]
    public void A_length_takes_the_fewest_bytes(int length, string expected)
    {
        var bytes = new byte[FrameWriter.MaxHeaderSize];

        int size = FrameWriter.WriteHeader(bytes, Opcode.Binary, length);

        Assert.That(Convert.ToHexString(bytes, 0, size), Is.EqualTo(expected));
        Assert.That(FrameWriter.HeaderSize(length), Is.EqualTo(size));
    }

    [TestCase(Opcode.Text, "8105")]
    [TestCase(Opcode.Binary, "8205")]
    [TestCase(Opcode.Close, "8805")]
    [TestCase(Opcode.Ping, "8905")]
    [TestCase(Opcode.Pong, "8A05")]
    public void Every_frame_is_final_and_unmasked(object opcode, string expected)
    {
        var bytes = new byte[2];

        FrameWriter.WriteHeader(bytes, (Opcode)opcode, 5);

        Assert.That(Convert.ToHexString(bytes), Is.EqualTo(expected));
    }

    [Test]
    public void A_header_leaves_the_bytes_behind_it_alone()
    {
        foreach (int length in new[] { 0, 125, 126, 65535, 65536 })
        {
            byte[] bytes = [.. Enumerable.Repeat((byte)0xEE, 16)];
            int size = FrameWriter.WriteHeader(bytes, Opcode.Text, length);
            Assert.That(bytes[size..], Is.All.EqualTo(0xEE));
        }
    }

    [Test]
    public void A_server_header_is_four_bytes_shorter_than_the_clients()
    {
        foreach (int length in new[] { 0, 1, 125, 126, 65535, 65536, 1 << 24 })
            Assert.That(FrameWriter.HeaderSize(length) + 4, Is.EqualTo(ClientFrames.Header(0x82, length).Length), $"{length}");
    }

    [TestCase(1UL, "89080000000000000001")]
    [TestCase(0x0102030405060708UL, "89080102030405060708")]
    [TestCase(ulong.MaxValue, "8908FFFFFFFFFFFFFFFF")]
    public void A_ping_carries_its_number_big_endian(ulong number, string expected)
    {
        var bytes = new byte[FrameWriter.PingSize];

        FrameWriter.WritePing(bytes, number);

        Assert.That(Convert.ToHexString(bytes), Is.EqualTo(expected));
    }

    [Test]
    public void A_Close_frame_carries_code_and_reason() =>
        Assert.That(FrameWriter.Close(1002, "nö"), Is.EqualTo(ServerFrames.Frame(Opcode.Close, ClientFrames.CloseBody(1002, "nö"u8))));

    [Test]
    public void A_Close_frame_without_a_reason_has_two_bytes() =>
        Assert.That(Convert.ToHexString(FrameWriter.Close(1001)), Is.EqualTo("880203E9"));

    [Test]
    public void A_Close_frame_without_a_code_has_no_body() =>
        Assert.That(Convert.ToHexString(FrameWriter.Close(1005, "never sent")), Is.EqualTo("8800"));

    [Test]
    public void A_reason_of_123_bytes_goes_whole_and_one_of_124_is_cut()
    {
        string whole = new('r', 123);

        Assert.That(Encoding.UTF8.GetString(FrameWriter.Close(1000, whole).AsSpan(4)), Is.EqualTo(whole));
        Assert.That(FrameWriter.Close(1000, whole + "s"), Is.EqualTo(FrameWriter.Close(1000, whole)));
        Assert.That(FrameWriter.Close(1000, whole), Has.Length.EqualTo(127));
    }

    [Test]
    public void A_long_reason_is_cut_at_a_character([Values("é", "€", "😀")] string character, [Range(0, 4)] int shift)
    {
        string reason = new string('r', shift) + string.Concat(Enumerable.Repeat(character, 200));

        byte[] frame = FrameWriter.Close(1002, reason);

        string sent = new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(frame.AsSpan(4));
        Assert.That(reason, Does.StartWith(sent));
        Assert.That(frame[1], Is.EqualTo(frame.Length - 2));
        int character8 = Encoding.UTF8.GetByteCount(character);
        Assert.That(frame[1], Is.InRange(126 - character8, 125), "no character too many is cut");
    }

    [TestCase("lone \uD800 surrogate")]
    [TestCase("at the end \uD83D")]
    public void Half_a_surrogate_pair_in_a_reason_is_replaced(string reason) =>
        Assert.That(
            Encoding.UTF8.GetString(FrameWriter.Close(1000, reason).AsSpan(4)),
            Is.EqualTo(reason.Replace('\uD800', '\uFFFD').Replace('\uD83D', '\uFFFD')));

    [TestCase(0, 6)]
    [TestCase(125, 6)]
    [TestCase(126, 8)]
    [TestCase(65536, 14)]
    public void A_frame_of_a_client_is_read_back_by_a_server(int length, int headerSize)
    {
        byte[] payload = [.. Enumerable.Range(0, length).Select(i => (byte)i)];

        byte[] frame = FrameWriter.Masked(Opcode.Text, payload, 0x01020304);

        Assert.That(FrameHeader.TryRead(frame, out FrameHeader header), Is.True);
        Assert.That(header, Is.EqualTo(new FrameHeader(Fin: true, Opcode.Text, 0x01020304, length, headerSize)));
        var unmasked = new byte[length];
        Masking.Unmask(frame.AsSpan(headerSize), unmasked, header.MaskKey, 0);
        Assert.That(unmasked, Is.EqualTo(payload));
    }

    /// <summary>The example of RFC 6455 section 5.7.</summary>
    [Test]
    public void The_mask_is_on_the_wire_as_the_RFC_has_it() =>
        Assert.That(FrameWriter.Masked(Opcode.Text, "Hello"u8, 0x3d21fa37), Is.EqualTo(new byte[] { 0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58 }));
}
