using System.Globalization;
using System.Text;
using HeartbeatServer.Protocol;
using HeartbeatServer.Relay;

namespace HeartbeatServer.Tests.Relay;

public sealed class UpstreamAnswerTests
{
    private const string Key = "dGhlIHNhbXBsZSBub25jZQ==";

    /// <summary>The example of RFC 6455 section 1.3.</summary>
    private const string Accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

    private const string Upgraded = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";

    /// <summary>What an answer gets that comes without a date.</summary>
    private const string Date = $"Date: {Now}\r\n";

    private const string Now = "Sat, 28 Nov 2026 17:00:00 GMT";

    private static RequestHead Request(string lines = "")
    {
        byte[] bytes = Encoding.Latin1.GetBytes(
            $"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {Key}\r\nSec-WebSocket-Version: 13\r\n{lines}\r\n");
        RequestHead? head = RequestHead.Read(bytes, out Refusal? refusal);
        Assert.That(refusal ?? Handshake.Check(head!.Upgrade), Is.Null);
        return head!;
    }

    /// <summary>Reads an answer in one piece, after which the connection stays open, or ends.</summary>
    private static (AnswerStep Step, UpstreamAnswer Answer) Read(string bytes, bool isEnd = false, string request = "")
    {
        var answer = new UpstreamAnswer(Request(request), () => Now);
        return (answer.Read(Encoding.Latin1.GetBytes(bytes), isEnd), answer);
    }

    private static string Switched(string bytes, string request = "")
    {
        (AnswerStep step, UpstreamAnswer answer) = Read(bytes, request: request);
        Assert.That((step, answer.Status, answer.Fault), Is.EqualTo((AnswerStep.Switched, 101, (string?)null)));
        return Encoding.Latin1.GetString(answer.ForClient.Span);
    }

    private static string Refused(string bytes, bool isEnd = false)
    {
        (AnswerStep step, UpstreamAnswer answer) = Read(bytes, isEnd);
        Assert.That((step, answer.Fault), Is.EqualTo((AnswerStep.Refused, (string?)null)));
        return Encoding.Latin1.GetString(answer.ForClient.Span);
    }

    private static string Fault(string bytes, bool isEnd = false, string request = "")
    {
        (AnswerStep step, UpstreamAnswer answer) = Read(bytes, isEnd, request);
        Assert.That((step, answer.ForClient.Length), Is.EqualTo((AnswerStep.Bad, 0)));
        return answer.Fault!;
    }

    [Test]
    public void A_101_goes_to_the_client_and_what_is_behind_it_are_frames()
    {
        const string head = $"HTTP/1.1 101 Welcome\r\nServer: app/1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{Accept}X-App: \u00e4\u00ff\r\n\r\n";

        (AnswerStep step, UpstreamAnswer answer) = Read(head + "\u0081\u0000\n\0");

        Assert.That((step, answer.Consumed, answer.HasDeflate), Is.EqualTo((AnswerStep.Switched, head.Length, false)));
        Assert.That(
            Encoding.Latin1.GetString(answer.ForClient.Span),
            Is.EqualTo($"{Upgraded}Server: app/1\r\n{Accept}X-App: \u00e4\u00ff\r\n\r\n"));
    }

    [TestCase("HTTP/1.1 101 Web Socket Protocol Handshake\r\nupgrade: WebSocket\r\nconnection: upgrade\r\n")]
    [TestCase("HTTP/1.1 101 \r\nUpgrade:websocket\r\nConnection:  keep-alive, Upgrade\r\n")]
    [TestCase("HTTP/1.1 101\r\nUPGRADE: WEBSOCKET\r\nConnection: keep-alive\r\nConnection: UPGRADE\r\n")]
    [TestCase("HTTP/1.0 101 x\r\nUpgrade: websocket\r\nUpgrade: websocket\r\nConnection: upgrade\r\n")]
    public void Every_way_to_write_a_101_is_one_to_the_client(string head) =>
        Assert.That(Switched($"{head}{Accept}\r\n"), Is.EqualTo($"{Upgraded}{Accept}\r\n"));

    // Lines of the 101; what of them the client gets.
    [TestCase("Set-Cookie: a=1; Expires=Wed, 09 Jun 2027 10:18:14 GMT\r\nX: 1\r\nset-cookie: b\r\n", "Set-Cookie: a=1; Expires=Wed, 09 Jun 2027 10:18:14 GMT\r\nX: 1\r\nset-cookie: b\r\n")]
    [TestCase("Content-Length: 0\r\n", "")]
    [TestCase("Content-Length: 5\r\ntransfer-encoding: chunked\r\n", "")]
    [TestCase("Keep-Alive: timeout=5\r\nTE: x\r\nTrailer: x\r\nProxy-Connection: x\r\nProxy: x\r\n", "")]
    [TestCase("Connection: X-One, close\r\nX-One: 1\r\nX-Two: 2\r\nVia: 1.1 p\r\n", "X-Two: 2\r\nVia: 1.1 p\r\n")]
    [TestCase("Sec-WebSocket-Protocol:\r\nSec-WebSocket-Extensions: \r\nEmpty:\r\n", "Empty: \r\n")]
    [TestCase("Date: Sat, 28 Nov 2026 13:00:00 GMT\r\n", "Date: Sat, 28 Nov 2026 13:00:00 GMT\r\n")]
    public void End_to_end_fields_of_a_101_go_to_the_client(string lines, string expected) =>
        Assert.That(Switched($"{Upgraded}{lines}{Accept}\r\n"), Is.EqualTo($"{Upgraded}{expected}{Accept}\r\n"));

    [TestCase("", "")]
    [TestCase("a", "")]
    [TestCase("a", "Sec-WebSocket-Protocol: a\r\n")]
    [TestCase("a, b", "sec-websocket-protocol: b\r\n")]
    [TestCase("a\r\nSec-WebSocket-Protocol: c.d", "Sec-WebSocket-Protocol: c.d\r\n")]
    public void One_of_the_offered_subprotocols_may_be_chosen(string offers, string line) =>
        Assert.That(
            Switched($"{Upgraded}{Accept}{line}\r\n", offers.Length == 0 ? "" : $"Sec-WebSocket-Protocol: {offers}\r\n"),
            Is.EqualTo($"{Upgraded}{Accept}{line}\r\n"));

    [TestCase("", "Sec-WebSocket-Protocol: a\r\n", "has not offered")]
    [TestCase("a", "Sec-WebSocket-Protocol: b\r\n", "has not offered")]
    [TestCase("a", "Sec-WebSocket-Protocol: A\r\n", "has not offered")]
    [TestCase("a, b", "Sec-WebSocket-Protocol: a, b\r\n", "more than one")]
    [TestCase("a", "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n", "more than one")]
    public void Another_subprotocol_may_not(string offers, string line, string fault)
    {
        string text = Fault($"{Upgraded}{Accept}{line}\r\n", request: offers.Length == 0 ? "" : $"Sec-WebSocket-Protocol: {offers}\r\n");

        Assert.That(text, Does.Contain(fault));
    }

    [TestCase("permessage-deflate")]
    [TestCase("permessage-deflate; server_no_context_takeover; client_no_context_takeover")]
    [TestCase("permessage-deflate;server_max_window_bits=8;client_max_window_bits=\"15\"")]
    public void Deflate_is_agreed_where_it_was_offered(string answer)
    {
        string line = $"Sec-WebSocket-Extensions: {answer}\r\n";

        (AnswerStep step, UpstreamAnswer read) = Read($"{Upgraded}{Accept}{line}\r\n", request: "Sec-WebSocket-Extensions: mux, permessage-deflate; x\r\n");

        Assert.That((step, read.HasDeflate), Is.EqualTo((AnswerStep.Switched, true)));
        Assert.That(Encoding.Latin1.GetString(read.ForClient.Span), Does.Contain(line));
    }

    [TestCase("permessage-deflate", "permessage-deflate, permessage-deflate", "more than once")]
    [TestCase("permessage-deflate", "permessage-deflate\r\nSec-WebSocket-Extensions: permessage-deflate", "more than once")]
    [TestCase("permessage-deflate", "Permessage-Deflate", "\"Permessage-Deflate\", an extension that was not offered")]
    [TestCase("permessage-deflate", "permessage-deflate, mux", "\"mux\", an extension that was not offered")]
    [TestCase("mux", "mux", "\"mux\", an extension that was not offered to it")]
    [TestCase("mux", "permessage-deflate", "\"permessage-deflate\", an extension that was not offered")]
    [TestCase("permessage-deflate", "permessage-deflate; x", "parameter \"x\"")]
    [TestCase("permessage-deflate", "permessage-deflate; server_no_context_takeover=1", "parameter \"server_no_context_takeover\"")]
    [TestCase("permessage-deflate", "permessage-deflate; client_max_window_bits", "parameter \"client_max_window_bits\"")]
    [TestCase("permessage-deflate", "permessage-deflate; client_max_window_bits=16", "parameter \"client_max_window_bits\"")]
    [TestCase("permessage-deflate", "permessage-deflate; server_max_window_bits=08", "parameter \"server_max_window_bits\"")]
    [TestCase("permessage-deflate", "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9", "parameter \"server_max_window_bits\"")]
    [TestCase("permessage-deflate", "permessage-deflate server_max_window_bits=9", "no list of extensions")]
    public void Another_extension_may_not(string offers, string answer, string fault) =>
        Assert.That(
            Fault($"{Upgraded}{Accept}Sec-WebSocket-Extensions: {answer}\r\n\r\n", request: $"Sec-WebSocket-Extensions: {offers}\r\n"),
            Does.Contain(fault));

    [TestCase("Connection: Upgrade\r\n" + Accept, "its Upgrade field has nothing in place of websocket")]
    [TestCase("Upgrade:\r\nConnection: Upgrade\r\n" + Accept, "its Upgrade field has \"\"")]
    [TestCase("Upgrade: h2c\r\nConnection: Upgrade\r\n" + Accept, "its Upgrade field has \"h2c\"")]
    [TestCase("Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n" + Accept, "its Upgrade field has \"websocket, h2c\"")]
    [TestCase("Upgrade: websocket\r\n" + Accept, "its Connection field has nothing, without Upgrade")]
    [TestCase("Upgrade: websocket\r\nConnection: keep-alive\r\n" + Accept, "its Connection field has \"keep-alive\"")]
    [TestCase("Upgrade: websocket\r\nConnection: Upgrade\r\n", "Sec-WebSocket-Accept is missing")]
    [TestCase("Upgrade: websocket\r\nConnection: Upgrade\r\n" + Accept + Accept, "Sec-WebSocket-Accept stands in its head more than once")]
    [TestCase("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n", "does not fit the key")]
    [TestCase("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", "does not fit the key")]
    [TestCase("Upgrade: websocket\r\nConnection: Upgrade, Sec-WebSocket-Accept\r\n" + Accept, "names Sec-WebSocket-Accept, which the client needs")]
    [TestCase("Upgrade: websocket\r\nConnection: Upgrade\r\nConnection: set_cookie\r\n" + Accept, "names set_cookie, which the client needs")]
    public void A_101_that_does_not_fit_is_called_by_what_does_not(string lines, string fault) =>
        Assert.That(Fault($"HTTP/1.1 101 x\r\n{lines}\r\n"), Does.Contain(fault));

    [TestCase("-ERR unknown command\r\n\r\n", "no HTTP/1.1")]
    [TestCase("HTTX", "no HTTP/1.1")]
    [TestCase("HTTP/2", "no HTTP/1.1")]
    [TestCase("\r\nHTTP/1.1 101 x\r\n\r\n", "no HTTP/1.1")]
    [TestCase("\u0015\u0003\u0001\0\u0002\u0002\u0016", "TLS")]
    [TestCase("\u0016\u0003", "TLS")]
    [TestCase("\0\0\u0012\u0004", "no HTTP/1.1")]
    [TestCase("HTTP/1.1\r\n\r\n", "no status line")]
    [TestCase("HTTP/1.1 \r\n\r\n", "no status line")]
    [TestCase("HTTP/1.1  101 x\r\n\r\n", "no status line")]
    [TestCase("HTTP/1.1 10 x\r\n\r\n", "no status line")]
    [TestCase("HTTP/1.1 1011 x\r\n\r\n", "no status line")]
    [TestCase("HTTP/1.1 099 x\r\n\r\n", "no status line")]
    [TestCase("HTTP/1.1 600 x\r\n\r\n", "no status line")]
    [TestCase("HTTP/1.1\t101 x\r\n\r\n", "no status line")]
    [TestCase("HTTP/1.10 101 x\r\n\r\n", "no status line")]
    [TestCase("HTTP/1.x 101 x\r\n\r\n", "no status line")]
    [TestCase("HTTP/1.1 101\tx\r\n\r\n", "no status line")]
    [TestCase("HTTP/1.1 101 x\r\nA : 1\r\n\r\n", "no field")]
    [TestCase("HTTP/1.1 101 x\r\nA: 1\r\n continued\r\n\r\n", "no field")]
    [TestCase("HTTP/1.1 101 x\r\n A: 1\r\n\r\n", "no field")]
    [TestCase("HTTP/1.1 101 x\r\n: 1\r\n\r\n", "no field")]
    [TestCase("HTTP/1.1 101 x\nA: 1\n\n", "an LF without CR in its head")]
    [TestCase("HTTP/1.1 101 x\r\nA: 1\rB: 1\r\n\r\n", "a CR without LF in its head")]
    [TestCase("HTTP/1.1 101 x\r\nA: \0\r\n\r\n", "a control character in its head")]
    [TestCase("HTTP/1.1 101 \u001b[2J\r\n\r\n", "a control character in its head")]
    public void What_is_no_answer_is_told_as_soon_as_it_can_be_seen(string bytes, string fault) => Assert.That(Fault(bytes), Does.Contain(fault));

    [TestCase("", "the connection ended without one")]
    [TestCase("H", "ended before it was whole")]
    [TestCase("HTTP/1.1 101 Switching Pro", "ended before it was whole")]
    [TestCase("HTTP/1.1 100 Continue\r\n\r\n", "ended before it was whole")]
    [TestCase("HTTP/1.1 404 x\r\nContent-Length: 3\r\n\r\nab", "ended before it was whole")]
    [TestCase("HTTP/1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "ended before it was whole")]
    [TestCase("HTTP/1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "ended before it was whole")]
    public void An_answer_that_ends_too_early_is_no_good(string bytes, string fault)
    {
        Assert.That(Read(bytes).Step, Is.EqualTo(AnswerStep.NeedsMore));
        Assert.That(Fault(bytes, isEnd: true), Does.Contain(fault));
    }

    [Test]
    public void Interim_answers_are_skipped()
    {
        const string interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\nContent-Length: 5\r\n\r\n";

        Assert.That(Switched($"{interim}{Upgraded}{Accept}\r\n"), Is.EqualTo($"{Upgraded}{Accept}\r\n"));
        Assert.That(Read($"{interim}{Upgraded}{Accept}\r\n").Answer.Consumed, Is.EqualTo($"{interim}{Upgraded}{Accept}\r\n".Length));
        Assert.That(Fault(interim + "\r\n"), Does.Contain("no HTTP/1.1"));
    }

    [Test]
    public void A_head_may_be_24_KiB_long_with_the_interim_answers_before_it()
    {
        const string interim = "HTTP/1.1 100 Continue\r\n\r\n";
        string head = $"{interim}{Upgraded}{Accept}X: \r\n\r\n";
        string longest = head.Replace("X: ", "X: " + new string('x', (24 * 1024) - head.Length), StringComparison.Ordinal);

        Assert.That(longest, Has.Length.EqualTo(24 * 1024));
        Assert.That(Switched(longest + new string('\u0082', 5000)), Has.Length.EqualTo(longest.Length - interim.Length));
        Assert.That(Fault(longest.Replace("X: ", "X: x", StringComparison.Ordinal)), Is.EqualTo("its head has more than 24 KiB"));
        Assert.That(Read(longest[..^1]).Step, Is.EqualTo(AnswerStep.NeedsMore));
        Assert.That(Fault(longest[..^4] + new string('x', 5)), Is.EqualTo("its head has more than 24 KiB"));
        Assert.That(Fault(string.Concat(Enumerable.Repeat(interim, 1000))), Is.EqualTo("its head has more than 24 KiB"));
    }

    // The answer; whether the application ends the connection behind it; what the client gets.
    [TestCase(
        "401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"a\"\r\nSet-Cookie: s=1\r\nSet-Cookie: t=2\r\nContent-Length: 8\r\n\r\nno entry", false,
        "401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"a\"\r\nSet-Cookie: s=1\r\nSet-Cookie: t=2\r\n" + Date + "Content-Length: 8\r\nConnection: close\r\n\r\nno entry")]
    [TestCase("302 Found\r\nLocation: /login\r\nContent-Length: 0\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\n\r\n", false, "302 Found\r\nLocation: /login\r\n" + Date + "Content-Length: 0\r\nConnection: close\r\n\r\n")]
    [TestCase("403 Forbidden\r\nConnection: close\r\n\r\nuntil the end", true, "403 Forbidden\r\n" + Date + "Content-Length: 13\r\nConnection: close\r\n\r\nuntil the end")]
    [TestCase("403\r\n\r\n", true, "403 \r\n" + Date + "Content-Length: 0\r\nConnection: close\r\n\r\n")]
    [TestCase("200 OK\r\nContent-Length: 6\r\n\r\n<html>and more", false, "200 OK\r\n" + Date + "Content-Length: 6\r\nConnection: close\r\n\r\n<html>")]
    [TestCase("204 No Content\r\nContent-Length: 6\r\nX: 1\r\n\r\n", false, "204 No Content\r\nX: 1\r\n" + Date + "Connection: close\r\n\r\n")]
    [TestCase("304 Not Modified\r\nTransfer-Encoding: chunked\r\nETag: \"x\"\r\n\r\n", false, "304 Not Modified\r\nETag: \"x\"\r\n" + Date + "Connection: close\r\n\r\n")]
    [TestCase("404 \u00e4\r\nTransfer-Encoding: Chunked\r\nTrailer: X\r\n\r\n7\r\n{\"a\":1}\r\n0\r\n\r\n", false, "404 \u00e4\r\n" + Date + "Content-Length: 7\r\nConnection: close\r\n\r\n{\"a\":1}")]
    [TestCase("404 x\r\nTransfer-Encoding: chunked\r\n\r\n0002 ;a=\"b\"\r\n\r\n\r\n0a;x\r\n0123456789\r\n00\r\nX-Sum: 1\r\nY: 2\r\n\r\n", false, "404 x\r\n" + Date + "Content-Length: 12\r\nConnection: close\r\n\r\n\r\n0123456789")]
    [TestCase("426 Upgrade Required\r\nconnection: upgrade\r\nupgrade: websocket\r\nSec-WebSocket-Version: 13\r\ncontent-length: 0\r\n\r\n", false,
        "426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\n" + Date + "Content-Length: 0\r\nUpgrade: websocket\r\nConnection: close, Upgrade\r\n\r\n")]
    [TestCase("400 x\r\nUpgrade: websocket\r\nContent-Length: 000\r\n\r\n", false, "400 x\r\n" + Date + "Content-Length: 0\r\nConnection: close\r\n\r\n")]
    [TestCase("503 Service Unavailable\r\nRetry-After: 7\r\nProxy-Status: x\r\nContent-Length: 4\r\n\r\nbusy", false, "503 Service Unavailable\r\nRetry-After: 7\r\n" + Date + "Content-Length: 4\r\nConnection: close\r\n\r\nbusy")]
    [TestCase("404 x\r\nDATE: then\r\nContent-Length: 0\r\n\r\n", false, "404 x\r\nDATE: then\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")]
    [TestCase("404 x\r\nDate: then\r\nConnection: date\r\nContent-Length: 0\r\n\r\n", false, "404 x\r\n" + Date + "Content-Length: 0\r\nConnection: close\r\n\r\n")]
    public void Another_answer_goes_to_the_client_with_its_body(string bytes, bool isEnd, string expected)
    {
        Assert.That(Refused($"HTTP/1.1 {bytes}", isEnd), Is.EqualTo($"HTTP/1.1 {expected}"));
        if (isEnd)
            Assert.That(Read($"HTTP/1.1 {bytes}").Step, Is.EqualTo(AnswerStep.NeedsMore));
    }

    [Test]
    public void An_answer_of_HTTP_1_0_is_written_as_ours() =>
        Assert.That(Refused("HTTP/1.0 501 No\r\n\r\nx", isEnd: true), Is.EqualTo($"HTTP/1.1 501 No\r\n{Date}Content-Length: 1\r\nConnection: close\r\n\r\nx"));

    [TestCase("1.1 404 x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "Content-Length and Transfer-Encoding in one head")]
    [TestCase("1.0 404 x\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0")]
    [TestCase("1.1 404 x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "not chunked alone")]
    [TestCase("1.1 404 x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "not chunked alone")]
    [TestCase("1.1 404 x\r\nTransfer-Encoding:\r\n\r\n", "not chunked alone")]
    [TestCase("1.1 404 x\r\nContent-Length: 1\r\ncontent-length: 1\r\n\r\n", "Content-Length stands in its head more than once")]
    [TestCase("1.1 404 x\r\nContent-Length: 1, 1\r\n\r\n", "Content-Length is no number")]
    [TestCase("1.1 404 x\r\nContent-Length:\r\n\r\n", "Content-Length is no number")]
    [TestCase("1.1 404 x\r\nContent-Length: -1\r\n\r\n", "Content-Length is no number")]
    [TestCase("1.1 404 x\r\nContent-Length: 0x1\r\n\r\n", "Content-Length is no number")]
    [TestCase("1.1 404 x\r\nContent-Length: 1048577\r\n\r\n", "more than 1 MiB")]
    [TestCase("1.1 404 x\r\nContent-Length: 99999999999999999999\r\n\r\n", "larger than any body")]
    [TestCase("1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n", "more than 1 MiB")]
    [TestCase("1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFFFFF\r\n", "larger than any body")]
    [TestCase("1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n100000\r\n", "more than 1 MiB")]
    [TestCase("1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "its body is malformed: ")]
    [TestCase("1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", "its body is malformed: ")]
    [TestCase("1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n 1\r\n", "its body is malformed: ")]
    [TestCase("1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "its body is malformed: ")]
    [TestCase("1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n", "its body is malformed: ")]
    [TestCase("1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n1 1\r\n", "its body is malformed: ")]
    [TestCase("1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n1;\n\r\nx\r\n", "its body is malformed: ")]
    [TestCase("1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n", "its body is malformed: ")]
    [TestCase("1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX\n\r\n", "an LF without CR behind the last chunk")]
    public void A_body_of_which_two_readers_may_see_different_ends_is_no_good(string bytes, string fault) =>
        Assert.That(Fault($"HTTP/{bytes}"), Does.Contain(fault));

    [Test]
    public void A_body_may_be_1_MiB_long([Values("length", "chunks", "end")] string framing)
    {
        const int most = 1 << 20;
        string body = new('x', most);
        string piece = new('x', 1 << 16);
        string chunks = string.Concat(Enumerable.Repeat($"10000\r\n{piece}\r\n", 16));
        const string head = "HTTP/1.1 500 x\r\n";
        (string exact, string over) = framing switch
        {
            "length" => ($"Content-Length: {most}\r\n\r\n{body}", $"Content-Length: {most + 1}\r\n\r\n"),
            "chunks" => ($"Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n", $"Transfer-Encoding: chunked\r\n\r\n{chunks}1\r\nx\r\n0\r\n\r\n"),
            _ => ($"\r\n{body}", $"\r\n{body}x"),
        };

        Assert.That(Refused(head + exact, isEnd: true), Is.EqualTo($"{head}{Date}Content-Length: {most}\r\nConnection: close\r\n\r\n{body}"));
        Assert.That(Fault(head + over, isEnd: true), Does.Contain("more than 1 MiB"));
    }

    [Test]
    public void A_chunk_without_an_end_of_its_line_or_fields_without_an_end_are_given_up()
    {
        const string head = "HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n";

        Assert.That(Read(head + "1;" + new string('x', 4000)).Step, Is.EqualTo(AnswerStep.NeedsMore));
        Assert.That(Fault(head + "1;" + new string('x', 4100)), Does.Contain("malformed"));
        Assert.That(Read(head + "0\r\nX: " + new string('x', 20_000)).Step, Is.EqualTo(AnswerStep.NeedsMore));
        Assert.That(Fault(head + "0\r\nX: " + new string('x', 25_000)), Does.Contain("too many fields"));
    }

    [Test]
    public void Small_chunks_with_long_extensions_fill_no_memory()
    {
        const string head = "HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n";
        string chunk = $"1;{new string('x', 4000)}\r\nx\r\n";

        Assert.That(Read(head + string.Concat(Enumerable.Repeat(chunk, 500))).Step, Is.EqualTo(AnswerStep.NeedsMore));
        Assert.That(Fault(head + string.Concat(Enumerable.Repeat(chunk, 600))), Does.Contain("more than 1 MiB"));
    }

    [TestCase(Upgraded + Accept + "Sec-WebSocket-Extensions: permessage-deflate\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n\u0081\u0001x", false)]
    [TestCase("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nA: 1\r\n\r\n" + Upgraded + Accept + "\r\n", false)]
    [TestCase("HTTP/1.1 404 x\r\nContent-Length: 5\r\n\r\nhello", false)]
    [TestCase("HTTP/1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n10\r\n0123456789abcdef\r\n0\r\nT: 1\r\n\r\n", false)]
    [TestCase("HTTP/1.1 404 x\r\n\r\nup to the end", true)]
    [TestCase("HTTP/1.1 204 x\r\n\r\n", false)]
    [TestCase("HTTP/1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabX", false)]
    [TestCase("HTTP/1.1 101 x\r\nA: 1\n", false)]
    public void However_the_bytes_come_the_answer_is_the_same(string text, bool isEnd)
    {
        byte[] bytes = Encoding.Latin1.GetBytes(text);
        string expected = InPieces(bytes, [bytes.Length], isEnd);
        for (int cut = 0; cut <= bytes.Length; cut++)
            Assert.That(InPieces(bytes, [cut, bytes.Length], isEnd), Is.EqualTo(expected), $"cut at {cut}");
        Assert.That(InPieces(bytes, [.. Enumerable.Range(1, bytes.Length)], isEnd), Is.EqualTo(expected), "byte by byte");
    }

    /// <summary>Gives an answer in pieces that end at these indexes, until it is decided.</summary>
    private static string InPieces(byte[] bytes, int[] ends, bool isEnd)
    {
        var answer = new UpstreamAnswer(Request("Sec-WebSocket-Extensions: permessage-deflate\r\n"), () => Now);
        AnswerStep step = AnswerStep.NeedsMore;
        foreach (int end in ends)
        {
            if (step == AnswerStep.NeedsMore)
                step = answer.Read(bytes.AsSpan(0, end), isEnd: false);
        }
        if (step == AnswerStep.NeedsMore && isEnd)
            step = answer.Read(bytes, isEnd: true);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{step} {answer.Status} {answer.HasDeflate} {answer.Consumed} {answer.Fault} {Encoding.Latin1.GetString(answer.ForClient.Span)}");
    }

    /// <summary>However an answer is damaged, it is decided, the same for every split, and what the client gets of it can be read again as the same.</summary>
    [Test]
    public void Damaged_answers_are_refused_or_written_so_that_they_can_be_read([Range(1, 8)] int seed)
    {
        var random = new Random(seed);
        string[] samples =
        [
            $"{Upgraded}{Accept}Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\nX: 1\r\n\r\n\u0081\0",
            $"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{Upgraded}{Accept}Set-Cookie: a\r\n\r\n",
            "HTTP/1.1 404 x\r\nSet-Cookie: a\r\nContent-Length: 12\r\nConnection: close\r\n\r\nhello, world",
            "HTTP/1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n10\r\n0123456789abcdef\r\n0\r\nT: 1\r\n\r\n",
            "HTTP/1.1 403 x\r\nUpgrade: websocket\r\n\r\nup to the end",
        ];
        string[] parts =
        [
            "\r\n", "\r", "\n", " ", "\t", ":", ";", ",", "=", "\0", "\u00ff", "0", "1", "5", "Content-Length: 1\r\n", "Transfer-Encoding: chunked\r\n",
            "Connection: X, ", "Sec-WebSocket-Protocol: a\r\n", "HTTP/1.1 100 x\r\n\r\n",
        ];
        int[] steps = new int[4];
        for (int round = 0; round < 4_000; round++)
        {
            var text = new StringBuilder(random.GetItems(samples, 1)[0]);
            for (int i = random.Next(1, 4); i > 0; i--)
            {
                int at = random.Next(text.Length - 3);
                if (random.Next(3) == 0)
                    text.Remove(at, random.Next(1, 3));
                else
                    text.Insert(at, random.GetItems(parts, 1)[0]);
            }
            byte[] bytes = Encoding.Latin1.GetBytes(text.ToString());
            string context = $"seed {seed}: {text}";
            var answer = new UpstreamAnswer(Request("Sec-WebSocket-Extensions: permessage-deflate\r\n"), () => Now);
            AnswerStep step = answer.Read(bytes, isEnd: true);
            steps[(int)step]++;
            Assert.That(InPieces(bytes, [.. Enumerable.Range(1, bytes.Length)], isEnd: true), Does.StartWith($"{step} "), context);
            if (step is not (AnswerStep.Switched or AnswerStep.Refused))
                continue;
            var again = new UpstreamAnswer(Request("Sec-WebSocket-Extensions: permessage-deflate\r\n"), () => Now);
            Assert.That(again.Read(answer.ForClient.Span, isEnd: false), Is.EqualTo(step), context);
            Assert.That(
                (again.Status, again.HasDeflate, Encoding.Latin1.GetString(again.ForClient.Span)),
                Is.EqualTo((answer.Status, answer.HasDeflate, Encoding.Latin1.GetString(answer.ForClient.Span))), context);
        }
        Assert.That(steps[(int)AnswerStep.NeedsMore], Is.Zero);
        Assert.That(steps[1..], Is.All.GreaterThan(100));
    }
}
