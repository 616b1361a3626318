using System.Text;
using HeartbeatServer.Http;
using Microsoft.Extensions.Time.Testing;

namespace HeartbeatServer.Tests.Http;

public sealed class HttpReplyTests
{
    private const string ServerAndDate = "Server: HeartbeatServer\r\nDate: Sat, 28 Nov 2026 17:00:00 GMT\r\n";

    private static readonly FakeTimeProvider Clock = new(new DateTimeOffset(2026, 11, 28, 18, 0, 0, TimeSpan.FromHours(1)));

    [Test]
    public void A_reply_without_HttpListener_has_all_that_HTTP_asks_for()
    {
        var reply = new HttpReply(408, "text/plain", "too slow\n"u8.ToArray());

        Assert.That(
            Encoding.ASCII.GetString(reply.ToBytes(time: Clock)),
            Is.EqualTo($"HTTP/1.1 408 Request Timeout\r\n{ServerAndDate}Content-Type: text/plain\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo slow\n"));
    }

    [Test]
    public void Without_a_body_it_has_no_content_type()
    {
        var reply = new HttpReply(503) { Headers = [("Retry-After", "1")] };

        Assert.That(
            Encoding.ASCII.GetString(reply.ToBytes(time: Clock)),
            Is.EqualTo($"HTTP/1.1 503 Service Unavailable\r\n{ServerAndDate}Retry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
    }

    [TestCase(400, "Bad Request")]
    [TestCase(405, "Method Not Allowed")]
    [TestCase(408, "Request Timeout")]
    [TestCase(431, "Request Header Fields Too Large")]
    [TestCase(502, "Bad Gateway")]
    [TestCase(503, "Service Unavailable")]
    [TestCase(504, "Gateway Timeout")]
    public void Every_status_that_is_sent_so_has_its_phrase(int status, string phrase) =>
        Assert.That(Encoding.ASCII.GetString(new HttpReply(status).ToBytes()), Does.StartWith($"HTTP/1.1 {status} {phrase}\r\n"));

    [Test]
    public void A_text_is_a_line_of_UTF8()
    {
        HttpReply reply = HttpReply.Text(404, "nichts gefunden, schöne Grüße");

        Assert.That(Encoding.UTF8.GetString(reply.Body.Span), Is.EqualTo("nichts gefunden, schöne Grüße\n"));
        Assert.That(reply.ContentType, Is.EqualTo("text/plain; charset=utf-8"));
    }

    [Test]
    public void A_header_is_found_by_its_name()
    {
        var reply = new HttpReply(200) { Headers = [("Retry-After", "1"), ("ETag", "\"x\"")] };

        Assert.That((reply["ETag"], reply["Allow"]), Is.EqualTo(("\"x\"", (string?)null)));
    }
}
