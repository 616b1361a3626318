using HeartbeatServer.Framing;


namespace HeartbeatServer.Tests.Framing;

[TestFixture]
public sealed class MaskingTests
{
    private const int LongestLength = 300;
    private static readonly byte[] KeyBytes = [0x01, 0x82, 0x43, 0xC4];
    private static readonly uint Key = BitConverter.IsLittleEndian ? 0xC4438201 : 0x018243C4;

    [Test]
    public void The_masked_hello_of_the_RFC_is_unmasked()
    {
        byte[] payload = Convert.FromHexString("7F9F4D5158");

        Masking.Unmask(payload, payload, 0x3D21FA37, 0);

        Assert.That(payload, Is.EqualTo("Hello"u8.ToArray()));
    }

    [Test]
    public void Every_length_at_every_offset_is_unmasked_in_place([Range(0, 7)] int offset)
    {
        for (int length = 0; length <= LongestLength; length++)
        {
            for (int start = 0; start < 4; start++)
                CheckMove(length, offset, start, start);
        }
    }

    [Test]
    public void Every_length_may_be_moved_to_an_earlier_place_that_overlaps(
        [Values(1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 33, 63, 64, 100)] int distance)
    {
        for (int length = 0; length <= LongestLength; length++)
        {
            for (int offset = 0; offset < 8; offset++)
                CheckMove(length, offset, distance + 1, 1);
        }
    }

    [Test]
    public void A_destination_in_another_array_is_written_and_the_source_is_not()
    {
        for (int length = 0; length <= LongestLength; length++)
        {
            byte[] source = Sample(length);
            byte[] destination = [.. Enumerable.Repeat((byte)0xEE, length + 40)];

            Masking.Unmask(source, destination, Key, 3);

            Assert.That(source, Is.EqualTo(Sample(length)));
            Assert.That(destination.AsSpan(0, length).SequenceEqual(Naive(source, 3)), $"{length} bytes");
            Assert.That(destination[length..], Is.All.EqualTo(0xEE), $"{length} bytes");
        }
    }

    [TestCase(int.MaxValue + 1L)]
    [TestCase(long.MaxValue)]
    [TestCase((1L << 40) + 2)]
    public void An_offset_far_into_a_long_payload_counts_by_its_last_two_bits(long offset)
    {
        byte[] payload = Sample(100);

        Masking.Unmask(payload, payload, Key, offset);

        Assert.That(payload.AsSpan().SequenceEqual(Naive(Sample(100), (int)(offset % 4))));
    }

    [Test]
    public void Pieces_give_the_same_as_the_whole()
    {
        byte[] masked = Sample(200);
        byte[] whole = Naive(masked, 0);
        for (int cut = 0; cut <= masked.Length; cut++)
        {
            byte[] pieces = [.. masked];
            Masking.Unmask(pieces.AsSpan(0, cut), pieces.AsSpan(0, cut), Key, 0);
            Masking.Unmask(pieces.AsSpan(cut), pieces.AsSpan(cut), Key, cut);
            Assert.That(pieces.AsSpan().SequenceEqual(whole), $"cut at {cut}");
        }
    }

    /// <summary>Unmasks within one array, and checks that only the destination has changed.</summary>
    private static void CheckMove(int length, int offset, int from, int to)
    {
        byte[] array = Sample(from + length + 40);
        byte[] expected = [.. array];
        Naive(array.AsSpan(from, length), offset).CopyTo(expected, to);

        Masking.Unmask(array.AsSpan(from, length), array.AsSpan(to, length), Key, offset);

        if (!array.AsSpan().SequenceEqual(expected))
            Assert.Fail($"{length} bytes, offset {offset}, from {from} to {to}");
    }

    private static byte[] Sample(int length)
    {
        var bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        return bytes;
    }

    private static byte[] Naive(ReadOnlySpan<byte> masked, int offset)
    {
        byte[] bytes = masked.ToArray();
        for (int i = 0; i < bytes.Length; i++)
            bytes[i] ^= KeyBytes[(i + offset) % 4];
        return bytes;
    }
}
