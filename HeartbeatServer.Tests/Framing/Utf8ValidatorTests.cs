using System.Text;
using HeartbeatServer.Framing;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Framing;

[TestFixture]
public sealed class Utf8ValidatorTests
{
    private static readonly UTF8Encoding Strict = new(false, throwOnInvalidBytes: true);

    // The bytes, and the position of the first wrong one.
    [TestCase("80", 0, TestName = "A lone continuation byte is wrong")]
    [TestCase("BF", 0, TestName = "The last lone continuation byte is wrong")]
    [TestCase("C080", 0, TestName = "An overlong NUL is wrong at its first byte")]
    [TestCase("C1BF", 0, TestName = "An overlong 7F is wrong at its first byte")]
    [TestCase("C241C2", 1, TestName = "A character cut off by ASCII is wrong at the ASCII byte")]
    [TestCase("E08080", 1, TestName = "An overlong form of 3 bytes is wrong at the second")]
    [TestCase("E09FBF", 1, TestName = "The last overlong form of 3 bytes is wrong at the second")]
    [TestCase("EDA080", 1, TestName = "The first surrogate is wrong at the second byte")]
    [TestCase("EDBFBF", 1, TestName = "The last surrogate is wrong at the second byte")]
    [TestCase("F0808080", 1, TestName = "An overlong form of 4 bytes is wrong at the second")]
    [TestCase("F08FBFBF", 1, TestName = "The last overlong form of 4 bytes is wrong at the second")]
    [TestCase("F4908080", 1, TestName = "U+110000 is wrong at the second byte")]
    [TestCase("F5", 0, TestName = "F5 is in no text")]
    [TestCase("F888808080", 0, TestName = "A form of 5 bytes is wrong at its first")]
    [TestCase("FE", 0, TestName = "FE is in no text")]
    [TestCase("FF", 0, TestName = "FF is in no text")]
    [TestCase("E282C0", 2, TestName = "A wrong third byte is found")]
    [TestCase("F09F98C3", 3, TestName = "A wrong fourth byte is found")]
    [TestCase("CEBAE1BDB9CF83CEBCCEB5F4908080656469746564", 12, TestName = "Text before the wrong byte does not hide it")]
    public void A_wrong_byte_is_found_where_it_is(string hex, int at)
    {
        byte[] bytes = Convert.FromHexString(hex);

        Assert.That(FirstFailure(bytes), Is.EqualTo(at));
        Assert.That(new Utf8Validator().Append(bytes), Is.False);
    }

    [TestCase("")]
    [TestCase("plain")]
    [TestCase("\0\u007F\u0080\u07FF\u0800\uD7FF\uE000\uFFFD\uFFFE\uFFFF")]
    [TestCase("\U00010000\U0001FFFE\U0010FFFF")]
    [TestCase("\uFEFFκόσμε 😀")]
    public void Valid_text_is_accepted_at_every_split(string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        for (int first = 0; first <= bytes.Length; first++)
        {
            for (int second = first; second <= bytes.Length; second++)
            {
                var validator = new Utf8Validator();
                bool valid = validator.Append(bytes.AsSpan(0, first))
                    && validator.Append(bytes.AsSpan(first, second - first))
                    && validator.Append(bytes.AsSpan(second));
                Assert.That(valid && validator.IsComplete, Is.True, $"split at {first} and {second}");
            }
        }
    }

    [TestCase("C2")]
    [TestCase("E2")]
    [TestCase("E282")]
    [TestCase("F0")]
    [TestCase("F09F")]
    [TestCase("F09F98")]
    [TestCase("4142434445464748494A4B4C4D4E4F50F09F98")]
    public void Text_cut_inside_a_character_is_not_wrong_yet_but_not_complete(string hex)
    {
        var validator = new Utf8Validator();

        Assert.That(validator.Append(Convert.FromHexString(hex)), Is.True);
        Assert.That(validator.IsComplete, Is.False);
    }

    [Test]
    public void Every_byte_after_every_start_of_a_character_is_judged_as_Unicode_does()
    {
        var prefixes = new Queue<(byte[] Bytes, Utf8Validator State)>([([], default)]);
        int judged = 0;
        while (prefixes.TryDequeue(out (byte[] Bytes, Utf8Validator State) prefix))
        {
            byte[] longer = [.. prefix.Bytes, 0];
            for (int value = 0; value <= byte.MaxValue; value++)
            {
                longer[^1] = (byte)value;
                Utf8Validator state = prefix.State;
                bool accepted = state.Append(longer.AsSpan(longer.Length - 1));
                bool expected = Utf8Oracle.FirstBadByte(longer, out bool isComplete) < 0;
                if (accepted != expected || (accepted && state.IsComplete != isComplete))
                    Assert.Fail(Convert.ToHexString(longer));
                if (accepted && !isComplete)
                    prefixes.Enqueue(([.. longer], state));
                judged++;
            }
        }
        // The start of a text; 51 lead bytes; 960 and 256 pairs with which characters of 3 and 4 bytes begin; 256 * 64 triples.
        Assert.That(judged, Is.EqualTo(256 * (1 + 51 + 960 + 256 + 256 * 64)));
    }

    [Test]
    public void Random_bytes_are_judged_as_the_framework_does_at_every_split([Range(1, 4)] int seed)
    {
        var random = new Random(seed);
        byte[] interesting =
        [
            0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1,
            0xF3, 0xF4, 0xF5, 0xFF,
        ];
        for (int round = 0; round < 20_000; round++)
        {
            byte[] bytes = random.GetItems(interesting, random.Next(1, 9));
            int cut = random.Next(bytes.Length + 1);

            var validator = new Utf8Validator();
            bool valid = validator.Append(bytes.AsSpan(0, cut)) && validator.Append(bytes.AsSpan(cut)) && validator.IsComplete;

            if (valid != IsValidForFramework(bytes) || FirstFailure(bytes) != Utf8Oracle.FirstBadByte(bytes, out _))
                Assert.Fail($"seed {seed}: {Convert.ToHexString(bytes)} cut at {cut}");
        }
    }

    [Test]
    public void Long_text_with_one_byte_changed_is_judged_as_the_framework_does([Range(1, 4)] int seed)
    {
        var random = new Random(seed);
        for (int round = 0; round < 3_000; round++)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(RandomText(random, random.Next(1, 120)));
            if (random.Next(4) != 0)
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            int bad = Utf8Oracle.FirstBadByte(bytes, out bool isComplete);

            var validator = new Utf8Validator();
            int taken = 0;
            bool valid = true;
            while (valid && taken < bytes.Length)
            {
                int count = random.Next(0, Math.Min(bytes.Length - taken, 40) + 1);
                valid = validator.Append(bytes.AsSpan(taken, count));
                // The validator must fail exactly at the wrong byte, neither before it nor after it.
                if (valid != (bad < 0 || bad >= taken + count))
                    Assert.Fail($"seed {seed}, {Convert.ToHexString(bytes)}: {count} bytes at {taken}");
                taken += count;
            }
            if ((valid && validator.IsComplete) != IsValidForFramework(bytes) || (valid && validator.IsComplete != isComplete))
                Assert.Fail($"seed {seed}: {Convert.ToHexString(bytes)}");
        }
    }

    [Test]
    public void A_megabyte_of_continuation_bytes_is_refused_at_once() =>
        Assert.That(new Utf8Validator().Append(Enumerable.Repeat((byte)0x80, 1 << 20).ToArray()), Is.False);

    /// <summary>The position at which the validator fails when it gets one byte at a time; -1 if it does not fail.</summary>
    private static int FirstFailure(ReadOnlySpan<byte> bytes)
    {
        var validator = new Utf8Validator();
        for (int i = 0; i < bytes.Length; i++)
        {
            if (!validator.Append(bytes.Slice(i, 1)))
                return i;
        }
        return -1;
    }

    private static bool IsValidForFramework(byte[] bytes)
    {
        try
        {
            Strict.GetCharCount(bytes);
            return true;
        }
        catch (DecoderFallbackException)
        {
            return false;
        }
    }

    private static string RandomText(Random random, int characters)
    {
        var text = new StringBuilder();
        for (int i = 0; i < characters; i++)
        {
            int value = random.Next(4) switch
            {
                0 => random.Next(0x80),
                1 => random.Next(0x80, 0x800),
                2 => random.Next(0x800, 0xD800),
                _ => random.Next(0x10000, 0x110000),
            };
            text.Append(new Rune(value));
        }
        return text.ToString();
    }
}
