using System.Text;
using HeartbeatServer.Framing;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Protocol;

/// <summary>
/// Covers what the public conformance suites for RFC 6455 test. Each row is a case: what a client sends, and the exact events or the close code. The
/// test sends each row whole, byte by byte, and in pieces of 3 bytes.
/// </summary>
[TestFixture]
public sealed class ConformanceTests
{
    private const int MaxMessage = 1 << 20;

    private static IEnumerable<TestCaseData> Sizes()
    {
        foreach (int length in new[] { 0, 1, 125, 126, 127, 128, 65535, 65536, 70_000 })
        {
            string text = new('*', length);
            yield return Row($"text of {length} bytes", [Text(text)], ClientFrames.Text(text));
            yield return Row($"binary of {length} bytes", [Binary(Bytes(length))], ClientFrames.Binary(Bytes(length)));
        }
        yield return Row("the message limit", [Binary(Bytes(MaxMessage))], ClientFrames.Binary(Bytes(MaxMessage)));
        yield return Row("over the message limit", [Violation(1009)], ClientFrames.Binary(Bytes(MaxMessage + 1)));
        yield return Row("a header of 2^63-1 bytes", [Violation(1009)], ClientFrames.Header(0x82, long.MaxValue));
        yield return Row("a 64-bit length with its top bit set", [Violation(1002)], Convert.FromHexString("82FF8000000000000000"));
        yield return Row("125 bytes in a 16-bit length", [Violation(1002)], Convert.FromHexString("82FE007D"));
        yield return Row("65535 bytes in a 64-bit length", [Violation(1002)], Convert.FromHexString("82FF000000000000FFFF"));
        yield return Row("not masked", [Text("a"), Violation(1002)], ClientFrames.Text("a"), Convert.FromHexString("810548656C6C6F"));
    }

    private static IEnumerable<TestCaseData> PingsAndPongs()
    {
        yield return Row("an empty ping", [Ping([])], ClientFrames.Ping());
        yield return Row("a ping with text", [Ping("Hello, world!"u8)], ClientFrames.Ping("Hello, world!"u8));
        yield return Row("a ping with bytes that are no text", [Ping([0, 0xFF, 0xFE, 0xFD])], ClientFrames.Ping([0, 0xFF, 0xFE, 0xFD]));
        yield return Row("a ping of 125 bytes", [Ping(Bytes(125))], ClientFrames.Ping(Bytes(125)));
        yield return Row("a ping of 126 bytes", [Violation(1002)], ClientFrames.Ping(Bytes(126)));
        yield return Row("a pong of 125 bytes", [Pong(Bytes(125))], ClientFrames.Pong(Bytes(125)));
        yield return Row("a pong of 126 bytes", [Violation(1002)], ClientFrames.Pong(Bytes(126)));
        yield return Row("an unsolicited empty pong", [Pong([])], ClientFrames.Pong());
        yield return Row(
            "an unsolicited pong, then a ping",
            [Pong("unsolicited"u8), Ping("asked"u8)],
            ClientFrames.Pong("unsolicited"u8),
            ClientFrames.Ping("asked"u8));
        byte[][] ten = [.. Enumerable.Range(0, 10).Select(i => Encoding.ASCII.GetBytes($"payload-{i}"))];
        yield return Row("ten pings", [.. ten.Select(payload => Ping(payload))], [.. ten.Select(payload => ClientFrames.Ping(payload))]);
        yield return Row("a fragmented ping", [Violation(1002)], ClientFrames.Frame(Opcode.Ping, "a"u8, fin: false));
        yield return Row("a fragmented pong", [Violation(1002)], ClientFrames.Frame(Opcode.Pong, "a"u8, fin: false));
        yield return Row("a fragmented close", [Violation(1002)], ClientFrames.Frame(Opcode.Close, [], fin: false));
    }

    private static IEnumerable<TestCaseData> ReservedBitsAndOpcodes()
    {
        for (int bits = 1; bits <= 7; bits++)
        {
            foreach (Opcode opcode in new[] { Opcode.Text, Opcode.Binary, Opcode.Ping, Opcode.Pong, Opcode.Close })
            {
                byte[] header = ClientFrames.Header(0x80 | (bits << 4) | (int)opcode, 0);
                yield return Row(
                    $"reserved bits {bits} on {opcode}", [Text("before"), Violation(1002)], ClientFrames.Text("before"), header);
            }
            byte[] continuation = ClientFrames.Header(0x80 | (bits << 4), 0);
            yield return Row(
                $"reserved bits {bits} on a continuation", [Violation(1002)], ClientFrames.Text("before", fin: false), continuation);
        }
        foreach (int opcode in new[] { 3, 4, 5, 6, 7, 11, 12, 13, 14, 15 })
        {
            foreach (int length in new[] { 0, 5 })
            {
                byte[] frame = [.. ClientFrames.Header(0x80 | opcode, length), .. Bytes(length)];
                yield return Row(
                    $"reserved opcode {opcode} with {length} bytes",
                    [Text("before"), Violation(1002)],
                    ClientFrames.Text("before"),
                    frame,
                    ClientFrames.Ping());
            }
        }
    }

    private static IEnumerable<TestCaseData> Fragments()
    {
        byte[] one = ClientFrames.Text("one", fin: false);
        byte[] two = ClientFrames.Continuation("two", fin: true);
        yield return Row("two fragments", [Text("onetwo")], one, two);
        yield return Row("a ping between", [Ping("p"u8), Text("onetwo")], one, ClientFrames.Ping("p"u8), two);
        yield return Row("a pong between", [Pong("p"u8), Text("onetwo")], one, ClientFrames.Pong("p"u8), two);
        yield return Row("a close between", [Close(1000)], one, ClientFrames.Close(1000), two);
        yield return Row(
            "five fragments and two pings",
            [Ping("a"u8), Ping("b"u8), Text("onexyztwo")],
            one,
            ClientFrames.Continuation("x", fin: false),
            ClientFrames.Ping("a"u8),
            ClientFrames.Continuation("y", fin: false),
            ClientFrames.Ping("b"u8),
            ClientFrames.Continuation("z", fin: false),
            two);
        byte[] empty = ClientFrames.Continuation("", fin: false);
        byte[] end = ClientFrames.Continuation("", fin: true);
        yield return Row("three empty fragments", [Text("")], ClientFrames.Text("", fin: false), empty, end);
        yield return Row(
            "a byte between two empty fragments",
            [Binary("x"u8)],
            ClientFrames.Binary([], fin: false),
            ClientFrames.Continuation("x", fin: false),
            end);
        yield return Row("two fragmented messages", [Text("onetwo"), Text("onetwo")], one, two, one, two);
        yield return Row("a continuation of nothing", [Violation(1002)], two, ClientFrames.Text("after"));
        yield return Row("a first continuation of nothing", [Violation(1002)], empty, two);
        yield return Row("a continuation after a whole message", [Text("whole"), Violation(1002)], ClientFrames.Text("whole"), two);
        yield return Row("a continuation after the last fragment", [Text("onetwo"), Violation(1002)], one, two, two);
        yield return Row("text inside text", [Violation(1002)], one, ClientFrames.Text("other"), two);
        yield return Row("a fragment of text inside text", [Violation(1002)], one, one, two);
        yield return Row("binary inside text", [Violation(1002)], one, ClientFrames.Binary("other"u8), two);
        yield return Row("text inside binary", [Violation(1002)], ClientFrames.Binary([1], fin: false), ClientFrames.Text("other"));
        yield return Row(
            "text inside text after a ping", [Ping([]), Violation(1002)], one, ClientFrames.Ping(), ClientFrames.Text("other"));
    }

    private static IEnumerable<TestCaseData> GoodAndBadText()
    {
        string[] good =
        [
            "", "Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\0", "\u0080", "\u0800", "\U00010000", "\u007F", "\u07FF", "\uFFFF", "\U0010FFFF",
            "\uD7FF", "\uE000", "\uFFFD", "\uFFFE", "\U0001FFFE", "\U0003FFFF", "\U000FFFFF", "\uFEFF",
        ];
        foreach (string text in good)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(text);
            string name = Convert.ToHexString(bytes);
            yield return Row($"good {name}", [Text(text)], ClientFrames.Text(text));
            yield return Row($"good {name}, a fragment a byte", [Text(text)], FragmentEachByte(bytes));
        }
        string[] bad =
        [
            // Lone continuations; lead bytes without their continuation; characters that are cut off.
            "80", "BF", "80BF80BF80BF", "C020C120", "E020E120", "F020F120", "F820", "FC20",
            "C0", "E080", "F08080", "DF", "EFBF", "F7BFBF", "C0E080F08080",
            // Impossible bytes; overlong forms.
            "FE", "FF", "FEFEFFFF", "C0AF", "E080AF", "F08080AF", "F8808080AF", "FC80808080AF",
            "C1BF", "E09FBF", "F08FBFBF", "C080", "E08080", "F0808080",
            // Surrogates, alone and in pairs; over U+10FFFF.
            "EDA080", "EDADBF", "EDAE80", "EDAFBF", "EDB080", "EDBE80", "EDBFBF", "EDA080EDB080", "EDADBFEDBFBF",
            "F4908080", "F7BFBFBF", "F888808080",
            "CEBAE1BDB9CF83CEBCCEB5EDA080656469746564",
        ];
        foreach (string hex in bad)
        {
            byte[] bytes = Convert.FromHexString(hex);
            yield return Row(
                $"bad {hex}", [Text("good"), Violation(1007)], ClientFrames.Text("good"), ClientFrames.Text(bytes), ClientFrames.Ping());
            yield return Row($"bad {hex}, a fragment a byte", [Violation(1007)], FragmentEachByte(bytes));
            yield return Row($"as binary {hex}", [Binary(bytes)], ClientFrames.Binary(bytes));
        }
    }

    private static IEnumerable<TestCaseData> Closes()
    {
        yield return Row("an empty close", ["Close 0 "], ClientFrames.Close());
        yield return Row("a close of 1 byte", [Violation(1002)], ClientFrames.Frame(Opcode.Close, [3]));
        yield return Row("a reason", [Close(1000, "Hello World!")], ClientFrames.Close(1000, "Hello World!"));
        yield return Row("a reason of 123 bytes", [Close(1000, new string('*', 123))], ClientFrames.Close(1000, new string('*', 123)));
        yield return Row("a reason of 124 bytes", [Violation(1002)], ClientFrames.Close(1000, new string('*', 124)));
        yield return Row("a reason that is no text", [Violation(1007)], CloseRaw(1000, [0xCE, 0xBA, 0xED, 0xA0, 0x80]));
        yield return Row("a reason cut inside a character", [Violation(1007)], CloseRaw(1000, [0x41, 0xE2, 0x82]));
        yield return Row("a bad code and a bad reason", [Violation(1002)], CloseRaw(999, [0xFF]));
        yield return Row("a second close", [Close(1000)], ClientFrames.Close(1000), ClientFrames.Close(1001));
        yield return Row("a ping after the close", [Close(1000)], ClientFrames.Close(1000), ClientFrames.Ping());
        yield return Row("a text after the close", [Close(1000)], ClientFrames.Close(1000), ClientFrames.Text("after"));
        yield return Row("rubbish after the close", [Close(1000)], ClientFrames.Close(1000), [0xFF, 0xFF, 0xFF]);
        yield return Row(
            "a close after 256 KiB", [Binary(Bytes(1 << 18)), Close(1000)], ClientFrames.Binary(Bytes(1 << 18)), ClientFrames.Close(1000));
        foreach (int code in new[] { 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999 })
        {
            yield return Row($"code {code}", [Close(code)], ClientFrames.Close(code));
            yield return Row($"code {code} with a reason", [Close(code, "why")], ClientFrames.Close(code, "why"));
        }
        foreach (int code in new[] { 0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535 })
        {
            yield return Row($"code {code}", [Violation(1002)], ClientFrames.Close(code));
            yield return Row($"code {code} with a reason", [Violation(1002)], ClientFrames.Close(code, "why"));
        }
    }

    [TestCaseSource(nameof(Sizes))]
    [TestCaseSource(nameof(PingsAndPongs))]
    [TestCaseSource(nameof(ReservedBitsAndOpcodes))]
    [TestCaseSource(nameof(Fragments))]
    [TestCaseSource(nameof(GoodAndBadText))]
    [TestCaseSource(nameof(Closes))]
    public void The_server_hears(byte[] stream, string expected)
    {
        Assert.That(ReadLoop.Run(stream, MaxMessage).ToString(), Is.EqualTo(expected), "whole");
        Assert.That(ReadLoop.Run(stream, 3, MaxMessage).ToString(), Is.EqualTo(expected), "in pieces of 3");
        if (stream.Length < 200_000)
            Assert.That(ReadLoop.Run(stream, 1, MaxMessage).ToString(), Is.EqualTo(expected), "byte by byte");
    }

    // The text, and how many of its bytes are enough to see that it is wrong.
    [TestCase("CEBAE1BDB9CF83CEBCCEB5F4908080656469746564", 13)]
    [TestCase("CEBAE1BDB9CF83CEBCCEB5EDA080656469746564", 13)]
    [TestCase("41C041", 2)]
    [TestCase("80414141", 1)]
    [TestCase("41E28241", 4)]
    [TestCase("F09F984141", 4)]
    public void Bad_text_is_refused_at_its_first_wrong_byte(string hex, int enough)
    {
        byte[] text = Convert.FromHexString(hex);
        byte[] single = ClientFrames.Text(text);
        byte[] fragments = ClientFrames.Join(FragmentEachByte(text));

        Transcript withinFrame = ReadLoop.Run(single, 1, MaxMessage);
        Transcript betweenFrames = ReadLoop.Run(fragments, 1, MaxMessage);

        Assert.That((withinFrame.Violation, withinFrame.BytesTaken), Is.EqualTo((1007, 6 + enough)));
        Assert.That((betweenFrames.Violation, betweenFrames.BytesTaken), Is.EqualTo((1007, 6 + 7 * enough)));
        Assert.That(withinFrame.Rule, Is.EqualTo("text is not valid UTF-8 (RFC 6455 section 8.1)"));
    }

    [Test]
    public void Text_cut_at_the_end_of_its_message_is_refused_at_its_last_byte([Values("C3", "E282", "F09F98")] string hex)
    {
        byte[] stream = ClientFrames.Text(Convert.FromHexString("41" + hex));

        Transcript heard = ReadLoop.Run(stream, 1, MaxMessage);

        Assert.That((heard.Violation, heard.BytesTaken), Is.EqualTo((1007, stream.Length)));
    }

    [Test]
    public void Every_order_of_five_data_frames_is_judged_as_the_RFC_does()
    {
        (Opcode Opcode, bool Fin)[] kinds =
        [
            (Opcode.Text, true), (Opcode.Text, false), (Opcode.Binary, true), (Opcode.Binary, false), (Opcode.Continuation, true),
            (Opcode.Continuation, false),
        ];
        for (int order = 0; order < 6 * 6 * 6 * 6 * 6; order++)
        {
            List<byte[]> frames = [];
            List<string> expected = [];
            string? open = null;
            string said = "";
            int digits = order;
            for (char letter = 'a'; letter <= 'e'; letter++, digits /= 6)
            {
                (Opcode opcode, bool fin) = kinds[digits % 6];
                frames.Add(ClientFrames.Frame(opcode, [(byte)letter], fin));
                frames.Add(ClientFrames.Ping());
                if (open is null == (opcode == Opcode.Continuation))
                {
                    expected.Add(Violation(1002));
                    break;
                }
                open ??= opcode.ToString();
                said += letter;
                if (fin)
                {
                    expected.Add($"{open} {said.Length} {Convert.ToHexString(Encoding.ASCII.GetBytes(said))}");
                    (open, said) = (null, "");
                }
                expected.Add(Ping([]));
            }

            string heard = ReadLoop.Run(ClientFrames.Join([.. frames]), MaxMessage).ToString();
            if (heard != string.Join('\n', expected))
                Assert.Fail($"order {order}: {heard}");
        }
    }

    /// <summary>A text message that consists of an empty frame, one frame for each byte, and an empty frame.</summary>
    private static byte[][] FragmentEachByte(byte[] text) =>
    [
        ClientFrames.Text("", fin: false),
        .. text.Select(b => ClientFrames.Continuation([b], fin: false)),
        ClientFrames.Continuation("", fin: true),
    ];

    private static TestCaseData Row(string name, string[] expected, params byte[][] frames) =>
        new TestCaseData(ClientFrames.Join(frames), string.Join('\n', expected)).SetArgDisplayNames(name);

    private static string Text(string text) => Transcript.Event(Opcode.Text, Encoding.UTF8.GetBytes(text));

    private static string Binary(ReadOnlySpan<byte> payload) => Transcript.Event(Opcode.Binary, payload);

    private static string Ping(ReadOnlySpan<byte> payload) => Transcript.Event(Opcode.Ping, payload);

    private static string Pong(ReadOnlySpan<byte> payload) => Transcript.Event(Opcode.Pong, payload);

    private static string Close(int code, string reason = "") =>
        Transcript.Event(Opcode.Close, ClientFrames.CloseBody(code, Encoding.UTF8.GetBytes(reason)));

    private static string Violation(int code) => $"violation {code}";

    private static byte[] CloseRaw(int code, byte[] reason) => ClientFrames.Frame(Opcode.Close, ClientFrames.CloseBody(code, reason));

    private static byte[] Bytes(int length)
    {
        var bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        return bytes;
    }
}
