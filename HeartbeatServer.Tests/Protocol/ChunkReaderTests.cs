using System.Text;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Tests.Protocol;

public sealed class ChunkReaderTests
{
    [TestCase("0\r\n\r\n", "")]
    [TestCase("5\r\nhello\r\n0\r\n\r\n", "hello")]
    [TestCase("00a\r\n0123456789\r\n1\r\nx\r\n000\r\n\r\n", "0123456789x")]
    [TestCase("2 ;a=\"b\";c\r\n\r\n\r\n0;x\r\nX-Sum: 1\r\nY:\r\n\r\n", "\r\n")]
    public void A_body_is_read_however_its_bytes_come(string bytes, string data)
    {
        byte[] all = Encoding.Latin1.GetBytes(bytes + "GET / next");
        for (int piece = 1; piece <= all.Length; piece++)
        {
            var reader = new ChunkReader();
            (string got, int taken) = ReadAll(reader, all, piece);
            Assert.That((got, reader.IsWhole, reader.Fault), Is.EqualTo((data, true, (string?)null)), $"in pieces of {piece}");
            Assert.That(taken, Is.EqualTo(bytes.Length), "what stands behind the body is left");
        }
    }

    [TestCase("\r\n", "missing")]
    [TestCase(";x\r\n", "missing")]
    [TestCase("g\r\n", "missing")]
    [TestCase("-1\r\n", "missing")]
    [TestCase(" 1\r\n", "missing")]
    [TestCase("0x1\r\n", "no hexadecimal number")]
    [TestCase("1 1\r\n", "no hexadecimal number")]
    [TestCase("1 \r\n", "no hexadecimal number")]
    [TestCase("1\n", "no hexadecimal number")]
    [TestCase("1\r\r", "CR without LF")]
    [TestCase("1;a\n", "control character")]
    [TestCase("1;\0\r\n", "control character")]
    [TestCase("1\r\nxx\r\n", "longer or shorter")]
    [TestCase("1\r\nx\n", "longer or shorter")]
    [TestCase("1\r\nx\rx", "longer or shorter")]
    [TestCase("1000000000000000\r\n", "larger than any body")]
    [TestCase("0000000000000001\r\n", "larger than any body")]
    [TestCase("0\r\nX: y\n", "LF without CR")]
    [TestCase("0\r\nX: y\rz", "CR without LF")]
    [TestCase("0\r\nno field\r\n\r\n", "no field")]
    [TestCase("0\r\n X: y\r\n\r\n", "no field")]
    public void What_is_no_chunk_is_named(string bytes, string fault)
    {
        for (int piece = 1; piece <= bytes.Length; piece++)
        {
            var reader = new ChunkReader();
            ReadAll(reader, Encoding.Latin1.GetBytes(bytes + "more"), piece);
            Assert.That(reader.Fault, Does.Contain(fault), $"in pieces of {piece}");
            Assert.That(reader.IsWhole, Is.False);
        }
    }

    [Test]
    public void Nothing_grows_without_an_end()
    {
        var line = new ChunkReader();
        ReadAll(line, Encoding.ASCII.GetBytes($"1;{new string('x', 5000)}"), 1000);
        Assert.That(line.Fault, Does.Contain("too long"));
        var trailers = new ChunkReader();
        ReadAll(trailers, Encoding.ASCII.GetBytes("0\r\n" + string.Concat(Enumerable.Repeat("X: y\r\n", 5000))), 1000);
        Assert.That(trailers.Fault, Does.Contain("too many fields"));
    }

    [Test]
    public void The_size_of_a_chunk_is_known_before_its_data()
    {
        var reader = new ChunkReader();
        reader.Read("fffffffffff\r\n"u8, out _);
        Assert.That(reader.Announced, Is.EqualTo(0xfffffffffff));
    }

    private static (string Data, int Taken) ReadAll(ChunkReader reader, byte[] bytes, int piece)
    {
        var data = new StringBuilder();
        int taken = 0;
        while (taken < bytes.Length && !reader.IsWhole && reader.Fault is null)
        {
            taken += reader.Read(bytes.AsSpan(taken, Math.Min(piece, bytes.Length - taken)), out ReadOnlySpan<byte> next);
            data.Append(Encoding.Latin1.GetString(next));
        }
        return (data.ToString(), taken);
    }
}
