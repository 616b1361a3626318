using HeartbeatServer.Options;


namespace HeartbeatServer.Tests.Options;

[TestFixture]
public sealed class ByteSizeTests
{
    [TestCase("0", 0L)]
    [TestCase("65536", 65536L)]
    [TestCase("65536B", 65536L)]
    [TestCase("64KiB", 65536L)]
    [TestCase("1MiB", 1048576L)]
    [TestCase("1mib", 1048576L)]
    [TestCase("16MIB", 16777216L)]
    [TestCase("1GiB", 1073741824L)]
    [TestCase("1TiB", 1099511627776L)]
    [TestCase("64KB", 64000L)]
    [TestCase("1MB", 1000000L)]
    [TestCase("2gb", 2000000000L)]
    [TestCase("1TB", 1000000000000L)]
    [TestCase("9223372036854775807", long.MaxValue)]
    [TestCase("8589934591GiB", 9223372035781033984L)]
    public void A_size_is_read_in_its_unit(string text, long bytes)
    {
        Assert.That(ByteSize.TryParse(text, out long read), Is.True);
        Assert.That(read, Is.EqualTo(bytes));
    }

    [TestCase("")]
    [TestCase(" ")]
    [TestCase("KiB")]
    [TestCase("B")]
    [TestCase("-1")]
    [TestCase("+1")]
    [TestCase("1.5MiB")]
    [TestCase("1 MiB")]
    [TestCase(" 1")]
    [TestCase("1 ")]
    [TestCase("1,000")]
    [TestCase("1M")]
    [TestCase("1K")]
    [TestCase("1PiB")]
    [TestCase("0x10")]
    [TestCase("1e3")]
    [TestCase("9223372036854775808")]
    [TestCase("8589934592GiB")]
    [TestCase("99999999999999999999999999GiB")]
    public void Anything_else_is_refused_and_does_not_throw(string text)
    {
        Assert.That(ByteSize.TryParse(text, out long read), Is.False);
        Assert.That(read, Is.Zero);
    }

    [TestCase(1L, "1B")]
    [TestCase(125L, "125B")]
    [TestCase(1500L, "1500B")]
    [TestCase(1024L, "1KiB")]
    [TestCase(65536L, "64KiB")]
    [TestCase(1536L * 1024, "1536KiB")]
    [TestCase(1048576L, "1MiB")]
    [TestCase(1073741824L, "1GiB")]
    [TestCase(1099511627776L, "1TiB")]
    [TestCase(64000L, "64KB")]
    [TestCase(1000000L, "1MB")]
    [TestCase(1024000L, "1000KiB")]
    [TestCase(0L, "0")]
    public void A_size_is_written_in_the_largest_unit_that_divides_it(long bytes, string expected) =>
        Assert.That(ByteSize.Format(bytes), Is.EqualTo(expected));

    [Test]
    public void What_was_written_is_read_back()
    {
        var random = new Random(1);
        for (int round = 0; round < 1_000; round++)
        {
            long bytes = random.NextInt64(1L << random.Next(1, 62)) << random.Next(0, 2);
            Assert.That(ByteSize.TryParse(ByteSize.Format(bytes), out long read), Is.True);
            Assert.That(read, Is.EqualTo(bytes));
        }
    }
}
