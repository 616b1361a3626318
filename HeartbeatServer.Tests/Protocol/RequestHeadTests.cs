using System.Text;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Tests.Protocol;

public sealed class RequestHeadTests
{
    private const string Get = "GET /ws?a=b HTTP/1.1\r\nHost: example.org\r\nX-One: 1\r\n\r\n";

    [Test]
    public void A_head_is_read_as_it_was_sent()
    {
        RequestHead head = Read(Get);

        Assert.That((head.Method, head.Target, head.Path, head.Query, head.MinorVersion), Is.EqualTo(("GET", "/ws?a=b", "/ws", "?a=b", 1)));
        Assert.That((head.Host, head["x-one"], head["X-Two"], head.HasBody), Is.EqualTo(("example.org", "1", (string?)null, false)));
        Assert.That(head.Fields, Is.EqualTo(new[] { ("Host", "example.org"), ("X-One", "1") }));
    }

    [TestCase("")]
    [TestCase("GET / HTTP/1.1\r\n\r\n")]
    [TestCase("\u0000\u0001\u0002")]
    [TestCase("\r\n\r\n")]
    [TestCase("\n")]
    public void What_stands_behind_a_head_is_none_of_it(string behind)
    {
        int length = RequestHead.Find(Encoding.Latin1.GetBytes(Get + behind), 0, out Refusal? refusal);

        Assert.That((length, refusal), Is.EqualTo((Get.Length, (Refusal?)null)));
    }

    [Test]
    public void Every_shorter_piece_of_a_head_asks_for_more([Values("", "\r\n", "\r\n\r\n")] string before)
    {
        byte[] bytes = Encoding.ASCII.GetBytes(before + Get);
        for (int count = 0; count < bytes.Length; count++)
        {
            int length = RequestHead.Find(bytes.AsSpan(0, count), 0, out Refusal? refusal);
            Assert.That((length, refusal), Is.EqualTo((0, (Refusal?)null)), $"{count} bytes");
        }
        Assert.That(RequestHead.Find(bytes, 0, out _), Is.EqualTo(bytes.Length));
        Assert.That(Read(before + Get).Target, Is.EqualTo("/ws?a=b"));
    }

    [Test]
    public void However_the_bytes_come_the_same_is_found([Values(1, 2, 3, 7)] int piece, [Values("", "\r\n")] string before, [Values("", "x\n\0")] string behind)
    {
        byte[] bytes = Encoding.Latin1.GetBytes(before + Get + behind);
        int length = 0;
        int seen = 0;
        for (int count = piece; length == 0 && count < bytes.Length + piece; count += piece)
        {
            length = RequestHead.Find(bytes.AsSpan(0, Math.Min(count, bytes.Length)), seen, out Refusal? refusal);
            Assert.That(refusal, Is.Null, $"{count} bytes");
            seen = count;
        }

        Assert.That(length, Is.EqualTo(before.Length + Get.Length));
    }

    [TestCase("\u0016", "\u0003", "tls")]
    [TestCase("\r\n\r\n\0", "\r\nQUIT\n", "proxy_protocol")]
    public void What_may_become_another_protocol_is_not_judged_before_it_has_come(string first, string rest, string reason)
    {
        int length = RequestHead.Find(Encoding.Latin1.GetBytes(first), 0, out Refusal? refusal);
        Assert.That((length, refusal), Is.EqualTo((0, (Refusal?)null)));

        RequestHead.Find(Encoding.Latin1.GetBytes(first + rest), first.Length, out refusal);
        Assert.That(refusal!.Value.Reason.Name(), Is.EqualTo(reason));
    }

    [Test]
    public void Many_empty_lines_are_no_request() => Assert.That(Refused(string.Concat(Enumerable.Repeat("\r\n", 9))).Text, Does.Contain("empty lines"));

    [TestCase(128, null)]
    [TestCase(129, "a request with 129 field lines: at most 128 are allowed")]
    [TestCase(5000, "a request with 5000 field lines: at most 128 are allowed")]
    public void A_head_has_a_bounded_number_of_field_lines(int lines, string? text)
    {
        string request = $"GET / HTTP/1.1\r\nHost: x\r\n{string.Concat(Enumerable.Repeat("a:\r\n", lines - 1))}\r\n";

        RequestHead? head = RequestHead.Read(Encoding.Latin1.GetBytes(request), out Refusal? refusal);

        Assert.That((head?.Fields.Count, refusal?.Text), Is.EqualTo((text is null ? lines : (int?)null, text)));
        Assert.That(refusal?.Reason ?? RefusalReason.HeaderTooLarge, Is.EqualTo(RefusalReason.HeaderTooLarge));
    }

    /// <summary>RFC 9110 section 5.3: the values of all lines with the same name form one list, in their order.</summary>
    [TestCase("Connection: Upgrade\r\nConnection: keep-alive\r\n", "Connection", "Upgrade, keep-alive")]
    [TestCase("Connection: keep-alive\r\nX: 1\r\nconnection: Upgrade\r\n", "Connection", "keep-alive, Upgrade")]
    [TestCase("X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 10.0.0.1\r\n", "X-Forwarded-For", "192.0.2.1, 10.0.0.1")]
    [TestCase("Empty:\r\n", "Empty", "")]
    [TestCase("Spaces: \t a b \t \r\n", "Spaces", "a b")]
    public void Repeated_lines_are_one_list(string lines, string name, string value) =>
        Assert.That(Read($"GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n")[name], Is.EqualTo(value));

    [TestCase("/admin/../ws", "/admin/../ws")]
    [TestCase("/%77s", "/%77s")]
    [TestCase("//ws", "//ws")]
    [TestCase("/ws/", "/ws/")]
    [TestCase("/?/ws", "/")]
    [TestCase("http://example.org/ws?x", "/ws")]
    [TestCase("WS://example.org/ws", "/ws")]
    [TestCase("https://example.org", "/")]
    [TestCase("http://example.org?x", "/")]
    public void The_path_is_the_target_up_to_the_question_mark_byte_for_byte(string target, string path) =>
        Assert.That(Read($"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").Path, Is.EqualTo(path));

    [TestCase("http://example.org:81/ws", "example.org:81")]
    [TestCase("http://[2001:db8::1]/ws", "[2001:db8::1]")]
    public void The_authority_of_an_absolute_form_replaces_Host(string target, string host) =>
        Assert.That(Read($"GET {target} HTTP/1.1\r\nHost: other.example\r\n\r\n").Host, Is.EqualTo(host));

    [TestCase("[::1]:8080")]
    [TestCase("[fe80::1%25eth0]")]
    [TestCase("127.0.0.1")]
    [TestCase("example.org:8080")]
    [TestCase("under_score.example")]
    [TestCase("")]
    public void A_Host_of_any_family_is_one(string host) => Assert.That(Read($"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").Host, Is.EqualTo(host));

    [TestCase("HTTP/1.0", 0)]
    [TestCase("HTTP/1.9", 9)]
    public void Host_may_be_missing_in_HTTP_1_0_only(string version, int minor)
    {
        string host = minor == 0 ? "" : "Host: x\r\n";

        Assert.That(Read($"GET / {version}\r\n{host}\r\n").MinorVersion, Is.EqualTo(minor));
    }

    [TestCase("Content-Length: 0\r\n", false)]
    [TestCase("Content-Length: 5\r\n", true)]
    [TestCase("Transfer-Encoding: chunked\r\n", true)]
    [TestCase("Transfer-Encoding: nonsense\r\n", true)]
    public void A_body_is_announced_by_length_or_encoding(string lines, bool hasBody) =>
        Assert.That(Read($"GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n").HasBody, Is.EqualTo(hasBody));

    [TestCase("GET / HTTP/1.1\nHost: x\r\n\r\n", "LF without CR")]
    [TestCase("GET / HTTP/1.1\r\nHost: x\n\r\n", "LF without CR")]
    [TestCase("GET / HTTP/1.1\r\nHo\rst: x\r\n\r\n", "CR without LF")]
    [TestCase("GET / HTTP/1.1\r\nHost: x\r\r\n\r\n", "CR without LF")]
    [TestCase("GET / HTTP/1.1\r\nHost: x\u0000\r\n\r\n", "control character")]
    [TestCase("GET / HTTP/1.1\r\nHost: x\u007f\r\n\r\n", "control character")]
    [TestCase("GET / HTTP/1.1\r\nX: \u001b[2J\r\nHost: x\r\n\r\n", "control character")]
    [TestCase("GET  / HTTP/1.1\r\nHost: x\r\n\r\n", "request line")]
    [TestCase("GET /\r\nHost: x\r\n\r\n", "request line")]
    [TestCase("GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", "request line")]
    [TestCase("GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n", "request line")]
    [TestCase("GET /\u00e4 HTTP/1.1\r\nHost: x\r\n\r\n", "request line")]
    [TestCase("G(T / HTTP/1.1\r\nHost: x\r\n\r\n", "request line")]
    [TestCase("GET / http/1.1\r\nHost: x\r\n\r\n", "version of HTTP")]
    [TestCase("GET / HTTP/1.10\r\nHost: x\r\n\r\n", "version of HTTP")]
    [TestCase("GET / HTTP/1.1\r\n\r\n", "Host field is missing")]
    [TestCase("GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", "Host stands in the head more than once")]
    [TestCase("GET / HTTP/1.1\r\nHost: x\r\nhost: y\r\n\r\n", "Host stands in the head more than once")]
    [TestCase("GET / HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: a\r\nSec-WebSocket-Key: b\r\n\r\n", "Sec-WebSocket-Key stands")]
    [TestCase("GET / HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\n\r\n", "Sec-WebSocket-Version stands")]
    [TestCase("GET / HTTP/1.1\r\nHost: x\r\nOrigin: a\r\nOrigin: b\r\n\r\n", "Origin stands")]
    [TestCase("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "Content-Length stands")]
    [TestCase("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "in one head")]
    [TestCase("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n", "Content-Length is no number")]
    [TestCase("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0, 0\r\n\r\n", "Content-Length is no number")]
    [TestCase("GET / HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\n", "no field")]
    [TestCase("GET / HTTP/1.1\r\nHost: x\r\nX: 1\r\n continued\r\n\r\n", "no field")]
    [TestCase("GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", "no field")]
    [TestCase("GET / HTTP/1.1\r\nHost: x\r\n: empty\r\n\r\n", "no field")]
    [TestCase("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "no host")]
    [TestCase("GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", "no host")]
    [TestCase("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "no host")]
    [TestCase("GET / HTTP/1.1\r\nHost: user@x\r\n\r\n", "no host")]
    [TestCase("GET /ws#f HTTP/1.1\r\nHost: x\r\n\r\n", "fragment")]
    [TestCase("GET ws HTTP/1.1\r\nHost: x\r\n\r\n", "neither a path nor a URL")]
    [TestCase("GET * HTTP/1.1\r\nHost: x\r\n\r\n", "neither a path nor a URL")]
    [TestCase("GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n", "neither a path nor a URL")]
    [TestCase("GET http:///ws HTTP/1.1\r\nHost: x\r\n\r\n", "has no host")]
    [TestCase("GET http://user@x/ws HTTP/1.1\r\nHost: x\r\n\r\n", "has no host")]
    public void What_is_open_to_doubt_is_refused_with_its_rule(string bytes, string rule)
    {
        Refusal refusal = Refused(bytes);

        Assert.That((refusal.Reason, refusal.Status), Is.EqualTo((RefusalReason.BadRequest, 400)));
        Assert.That(refusal.Text, Does.Contain(rule));
    }

    [TestCase("\u0016\u0003", "tls")]
    [TestCase("\u0016\u0003\u0001\u0002\u0000", "tls")]
    [TestCase("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "proxy_protocol")]
    [TestCase("\r\n\r\n\u0000\r\nQUIT\n", "proxy_protocol")]
    [TestCase("PRI * HTTP/2.0\r\n", "http_version")]
    [TestCase("GET / HTTP/2.0\r\nHost: x\r\n\r\n", "http_version")]
    [TestCase("GET / HTTP/0.9\r\nHost: x\r\n\r\n", "http_version")]
    public void Other_protocols_are_known_by_their_first_bytes(string bytes, string reason) => Assert.That(Refused(bytes).Reason.Name(), Is.EqualTo(reason));

    [Test]
    public void Methods_are_not_decided_over_here([Values("GET", "POST", "OPTIONS", "get", "M-SEARCH")] string method) =>
        Assert.That(Read($"{method} / HTTP/1.1\r\nHost: x\r\n\r\n").Method, Is.EqualTo(method));

    [TestCase("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")]
    [TestCase("CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n")]
    public void Targets_of_their_own_methods_are_read(string bytes) => Assert.That(Read(bytes).Method, Is.Not.Empty);

    [Test]
    public void Of_random_and_mutated_heads_each_is_read_or_refused([Range(1, 4)] int seed)
    {
        var random = new Random(seed);
        for (int i = 0; i < 20_000; i++)
        {
            byte[] bytes = Encoding.ASCII.GetBytes(Get);
            for (int change = random.Next(1, 6); change > 0; change--)
                bytes[random.Next(bytes.Length)] = "\r\n :\t/?#[]%@\0\u007f9aZ"[random.Next(17)] is var c ? (byte)c : (byte)0;
            int length = RequestHead.Find(bytes, 0, out Refusal? refusal);
            if (length == 0)
                continue;
            RequestHead? head = RequestHead.Read(bytes.AsSpan(0, length), out refusal);

            Assert.That(head is null, Is.EqualTo(refusal is not null), Encoding.ASCII.GetString(bytes));
            if (head is null)
                continue;
            Assert.That(head.Target.Any(c => c is <= ' ' or >= '\u007f' or '#'), Is.False);
            Assert.That(head.Fields.SelectMany(field => field.Name + field.Value).Any(c => c is '\r' or '\n' or '\0'), Is.False);
        }
    }

    private static RequestHead Read(string text)
    {
        byte[] bytes = Encoding.Latin1.GetBytes(text);
        int length = RequestHead.Find(bytes, 0, out Refusal? refusal);
        Assert.That((length, refusal), Is.EqualTo((bytes.Length, (Refusal?)null)), text);
        RequestHead? head = RequestHead.Read(bytes, out refusal);
        Assert.That(refusal, Is.Null, text);
        return head!;
    }

    private static Refusal Refused(string text)
    {
        byte[] bytes = Encoding.Latin1.GetBytes(text);
        int length = RequestHead.Find(bytes, 0, out Refusal? refusal);
        if (refusal is null)
        {
            Assert.That(length, Is.Positive, text);
            Assert.That(RequestHead.Read(bytes.AsSpan(0, length), out refusal), Is.Null, text);
        }
        return refusal!.Value;
    }
}
