using System.Text;
using HeartbeatServer.Protocol;
using HeartbeatServer.Relay;

namespace HeartbeatServer.Tests.Relay;

/// <summary>The head of an answer to a page, as it goes to the client.</summary>
public sealed class PageAnswerTests
{
    private const string Now = "Sat, 28 Nov 2026 17:00:00 GMT";

    private const string Date = $"Date: {Now}\r\n";

    // What the application answers; the method and version of the client's request; what the client gets.
    [TestCase("200 OK\r\nContent-Length: 5\r\n", "GET", 1, Date + "Content-Length: 5\r\n", BodyEnd.Length)]
    [TestCase("200 OK\r\nContent-Length: 0\r\n", "GET", 1, Date + "Content-Length: 0\r\n", BodyEnd.None)]
    [TestCase("200 OK\r\nContent-Length: 5\r\n", "HEAD", 1, Date + "Content-Length: 5\r\n", BodyEnd.None)]
    [TestCase("200 OK\r\nTransfer-Encoding: CHUNKED\r\n", "GET", 1, Date + "Transfer-Encoding: chunked\r\n", BodyEnd.Chunks)]
    [TestCase("200 OK\r\nTransfer-Encoding: chunked\r\n", "GET", 0, Date, BodyEnd.Connection)]
    [TestCase("200 OK\r\nTransfer-Encoding: chunked\r\n", "HEAD", 1, Date, BodyEnd.None)]
    [TestCase("200 OK\r\n", "GET", 1, Date + "Transfer-Encoding: chunked\r\n", BodyEnd.Chunks)]
    [TestCase("200 OK\r\n", "GET", 0, Date, BodyEnd.Connection)]
    [TestCase("204 No Content\r\nContent-Length: 0\r\n", "GET", 1, Date, BodyEnd.None)]
    [TestCase("304 Not Modified\r\nContent-Length: 5\r\n", "GET", 1, Date + "Content-Length: 5\r\n", BodyEnd.None)]
    [TestCase("206 Partial\r\nContent-Range: bytes 0-1/5\r\nContent-Length: 2\r\n", "GET", 1, "Content-Range: bytes 0-1/5\r\n" + Date + "Content-Length: 2\r\n", BodyEnd.Length)]
    [TestCase("200 OK\r\nDate: then\r\nTrailer: X\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 1\r\n", "GET", 1, "Date: then\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 1\r\n", BodyEnd.Length)]
    public void The_head_says_where_the_body_ends(string answer, string method, int minorVersion, string fields, object end)
    {
        PageAnswer? page = Of(answer, method, minorVersion, out string? fault);
        Assert.That(fault, Is.Null);
        Assert.That(Encoding.Latin1.GetString(page!.Head), Is.EqualTo($"HTTP/1.1 {answer.Split("\r\n")[0]}\r\n{fields}Connection: close\r\n\r\n"));
        Assert.That(page.Framing.End, Is.EqualTo(end));
    }

    [TestCase("200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", "in one head")]
    [TestCase("200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n", "more than once")]
    [TestCase("200 OK\r\nContent-Length: +5\r\n", "no number")]
    [TestCase("200 OK\r\nContent-Length: 99999999999999999999\r\n", "larger than any body")]
    [TestCase("204 No Content\r\nTransfer-Encoding: gzip\r\n", "not chunked alone")]
    [TestCase("200 OK\r\nConnection: Set-Cookie\r\n", "names Set-Cookie")]
    [TestCase("101 Switching Protocols\r\nUpgrade: x\r\n", "switches protocols")]
    [TestCase("600 x\r\n", "its status is 600")]
    public void An_answer_that_is_no_good_is_named(string answer, string fault)
    {
        Assert.That(Of(answer, "GET", 1, out string? named), Is.Null);
        Assert.That(named, Does.Contain(fault));
    }

    [TestCase("a\rb", "CR without LF")]
    [TestCase("a\r\n\r\nb", "an empty line")]
    [TestCase("a\0b", "a control character")]
    public void A_value_cannot_end_the_head(string value, string fault)
    {
        var head = new AnswerHead(1, 200, "OK", new FieldLines([("X", value)]));
        Assert.That(PageAnswer.Of(head, Request("GET", 1), Now, out string? named), Is.Null);
        Assert.That(named, Does.Contain(fault));
    }

    private static PageAnswer? Of(string answer, string method, int minorVersion, out string? fault)
    {
        string[] lines = answer.Split("\r\n", StringSplitOptions.RemoveEmptyEntries);
        var fields = new FieldLines();
        Assert.That(lines[1..].All(fields.TryAdd), Is.True);
        var head = new AnswerHead(1, int.Parse(lines[0][..3], null), lines[0][4..], fields);
        return PageAnswer.Of(head, Request(method, minorVersion), Now, out fault);
    }

    private static RequestHead Request(string method, int minorVersion) =>
        RequestHead.Read(Encoding.ASCII.GetBytes($"{method} / HTTP/1.{minorVersion}\r\nHost: x\r\n\r\n"), out _)!;
}
