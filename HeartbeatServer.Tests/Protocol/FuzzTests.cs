using System.Text;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Protocol;

/// <summary>
/// Gives <see cref="MessageReader"/> random streams in random pieces. The reader may throw only a <see cref="WebSocketProtocolException"/>, and must
/// report the same events as the reference reader. A failure names its seed and its bytes.
/// </summary>
[TestFixture]
public sealed class FuzzTests
{
    private const int MaxMessage = 2000;

    [Test]
    public void Random_bytes_are_heard_as_the_reference_hears_them([Range(1, 4)] int seed)
    {
        var random = new Random(seed);
        for (int round = 0; round < 4_000; round++)
        {
            var stream = new byte[random.Next(1, 64)];
            random.NextBytes(stream);
            Check(stream, random, seed);
        }
    }

    [Test]
    public void Random_bytes_with_likely_headers_are_heard_as_the_reference_hears_them([Range(1, 4)] int seed)
    {
        var random = new Random(seed);
        byte[] likely = [0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A, 0x80, 0x84, 0x03, 0xE8, 0xFE, 0xFF, 0x41, 0xC3, 0xA9];
        for (int round = 0; round < 4_000; round++)
            Check(random.GetItems(likely, random.Next(1, 80)), random, seed);
    }

    [Test]
    public void Valid_streams_are_heard_as_the_reference_hears_them([Range(1, 4)] int seed)
    {
        var random = new Random(seed);
        for (int round = 0; round < 500; round++)
        {
            byte[] stream = ValidStream(random);
            Assert.That(Check(stream, random, seed).Violation, Is.Zero, $"seed {seed}: {Convert.ToHexString(stream)}");
        }
    }

    [Test]
    public void Mutated_streams_are_heard_as_the_reference_hears_them([Range(1, 8)] int seed)
    {
        var random = new Random(seed);
        for (int round = 0; round < 1_000; round++)
        {
            List<byte> stream = [.. ValidStream(random)];
            for (int i = random.Next(1, 4); i > 0 && stream.Count > 0; i--)
                Mutate(stream, random);
            Check([.. stream], random, seed);
        }
    }

    private static Transcript Check(byte[] stream, Random random, int seed)
    {
        string expected = ReferenceReader.Run(stream, MaxMessage).ToString();
        try
        {
            Transcript whole = ReadLoop.Run(stream, MaxMessage);
            Transcript[] others =
            [
                ReadLoop.Run(stream, 1, MaxMessage),
                ReadLoop.Run(stream, () => 1, MaxMessage, eager: true),
                ReadLoop.Run(stream, () => random.Next(1, 20), MaxMessage),
                ReadLoop.Run(stream, () => random.Next(1, 400), MaxMessage, eager: true),
            ];
            Assert.That(whole.ToString(), Is.EqualTo(expected));
            foreach (Transcript other in others)
            {
                Assert.That(other.ToString(), Is.EqualTo(expected));
                Assert.That(other.Rule, Is.EqualTo(whole.Rule), "the same rule for every split");
            }
            return whole;
        }
        catch (Exception e)
        {
            Assert.Fail($"seed {seed}: {Convert.ToHexString(stream)}\n{e}");
            throw;
        }
    }

    private static byte[] ValidStream(Random random)
    {
        List<byte> stream = [];
        for (int i = random.Next(1, 8); i > 0; i--)
        {
            byte[] payload;
            switch (random.Next(6))
            {
                case 0:
                    stream.AddRange(ClientFrames.Ping(Bytes(random, random.Next(126))));
                    break;
                case 1:
                    stream.AddRange(ClientFrames.Pong(Bytes(random, random.Next(126))));
                    break;
                case 2:
                case 3:
                    payload = Encoding.UTF8.GetBytes(Text(random));
                    AddMessage(stream, Opcode.Text, payload, random);
                    break;
                default:
                    payload = Bytes(random, random.GetItems([0, 1, 124, 125, 126, 127, 150, 160, 500, MaxMessage], 1)[0]);
                    AddMessage(stream, Opcode.Binary, payload, random);
                    break;
            }
        }
        if (random.Next(2) == 0)
            stream.AddRange(ClientFrames.Close(random.GetItems([1000, 1001, 1011, 3000, 4999], 1)[0], Text(random)[..2]));
        return [.. stream];
    }

    private static void AddMessage(List<byte> stream, Opcode opcode, byte[] payload, Random random)
    {
        int at = 0;
        bool fin;
        do
        {
            fin = random.Next(2) == 0;
            int count = fin ? payload.Length - at : random.Next(payload.Length - at + 1);
            stream.AddRange(ClientFrames.Frame(opcode, payload.AsSpan(at, count), fin));
            at += count;
            opcode = Opcode.Continuation;
            if (!fin && random.Next(3) == 0)
                stream.AddRange(ClientFrames.Ping(Bytes(random, random.Next(9))));
        }
        while (!fin);
    }

    private static void Mutate(List<byte> stream, Random random)
    {
        int at = random.Next(stream.Count);
        switch (random.Next(6))
        {
            case 0:
            case 1:
                stream[at] ^= (byte)(1 << random.Next(8));
                break;
            case 2:
                stream[at] = (byte)random.Next(256);
                break;
            case 3:
                stream.RemoveAt(at);
                break;
            case 4:
                stream.InsertRange(at, Bytes(random, random.Next(1, 4)));
                break;
            default:
                stream.RemoveRange(at, random.Next(Math.Min(20, stream.Count - at)));
                break;
        }
    }

    private static string Text(Random random)
    {
        Rune[] runes = [new('a'), new('\0'), new(0x7FF), new(0x800), new(0xFFFD), new(0x10000), new(0x10FFFF)];
        return "ab" + string.Concat(random.GetItems(runes, random.Next(60)).Select(rune => rune.ToString()));
    }

    private static byte[] Bytes(Random random, int length)
    {
        var bytes = new byte[length];
        random.NextBytes(bytes);
        return bytes;
    }
}
