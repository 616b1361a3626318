using HeartbeatServer.Protocol;

namespace HeartbeatServer.Tests.Protocol;

public sealed class ExtensionTests
{
    [TestCase("", "")]
    [TestCase(" , ,", "")]
    [TestCase("permessage-deflate", "permessage-deflate")]
    [TestCase("a, b ,c", "a|b|c")]
    [TestCase("a;x;y=1; z = 2 , b", "a x y=1 z=2|b")]
    [TestCase("a; x=\"12\"", "a x=12")]
    [TestCase("permessage-deflate; client_max_window_bits, permessage-deflate", "permessage-deflate client_max_window_bits|permessage-deflate")]
    public void A_list_is_read(string text, string expected)
    {
        IEnumerable<string> read = Extension.ReadList(text)!.Select(
            each => string.Join(' ', each.Parameters.Select(one => one.Value is null ? one.Name : $"{one.Name}={one.Value}").Prepend(each.Name)));

        Assert.That(string.Join('|', read), Is.EqualTo(expected));
    }

    [TestCase(";")]
    [TestCase("a;")]
    [TestCase("a; ;b")]
    [TestCase("a b")]
    [TestCase("a=1")]
    [TestCase("a; b=")]
    [TestCase("a; b=\"")]
    [TestCase("a; b=\"\"")]
    [TestCase("a; b=\"1, c\"")]
    [TestCase("a; b=\"1\"x")]
    [TestCase("a; b=1=2")]
    [TestCase("\"a\"")]
    [TestCase("a/b")]
    [TestCase("\u00e4")]
    public void What_is_no_list_is_not_read(string text) => Assert.That(Extension.ReadList(text), Is.Null);

    [Test]
    public void An_element_keeps_its_own_text() =>
        Assert.That(Extension.ReadList(" a ;x = 1 ,  b; y=\"2\" ")!.Select(each => each.Text), Is.EqualTo(new[] { "a ;x = 1", "b; y=\"2\"" }));

    [Test]
    public void Random_texts_are_read_or_refused([Range(1, 4)] int seed)
    {
        var random = new Random(seed);
        int lists = 0;
        for (int round = 0; round < 20_000; round++)
        {
            string text = new(random.GetItems("ab;=\", \t\\\u00e4".ToCharArray(), random.Next(1, 12)));
            if (Extension.ReadList(text) is not { } list)
                continue;
            lists++;
            // What was read, written again, is read as the same.
            string again = string.Join(",", list.Select(each => each.Text));
            Assert.That(Extension.ReadList(again)!.Select(each => each.Text), Is.EqualTo(list.Select(each => each.Text)), $"seed {seed}: {text}");
        }
        Assert.That(lists, Is.GreaterThan(1000));
    }
}
