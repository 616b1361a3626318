using System.Text;
using HeartbeatServer.Protocol;
using HeartbeatServer.Relay;

namespace HeartbeatServer.Tests.Relay;

public sealed class UpstreamRequestTests
{
    private const string PeerAddress = "192.0.2.7";

    private const string Handshaken = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

    /// <summary>What stands behind the client's fields.</summary>
    private static string Tail(string forwardedFor = PeerAddress, string proto = "http", string host = "app.example:8443", string forwarded = "", string via = "1.1 heartbeat-me") =>
        $"X-Forwarded-For: {forwardedFor}\r\nX-Forwarded-Proto: {proto}\r\nX-Forwarded-Host: {host}\r\n{forwarded}Via: {via}\r\n"
        + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

    private static string RequestOf(string lines, string target = "/ws", string connection = "Upgrade") =>
        $"GET {target} HTTP/1.1\r\nHost: app.example:8443\r\nUpgrade: websocket\r\nConnection: {connection}\r\n{Handshaken}{lines}\r\n";

    /// <summary>What the application gets of a request with these lines, between the fields that every request has.</summary>
    private static string Written(string lines, bool isTrusted = false)
    {
        string text = Write(RequestOf(lines), isTrusted);
        string before = $"GET /ws HTTP/1.1\r\nHost: app.example:8443\r\n{Handshaken}";
        Assert.That(text, Does.StartWith(before).And.EndsWith("\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"));
        return text[before.Length..];
    }

    private static string Write(string request, bool isTrusted = false, string peer = PeerAddress)
    {
        byte[]? bytes = TryWrite(request, isTrusted, peer, out Refusal? refusal);
        Assert.That(refusal, Is.Null);
        return Encoding.Latin1.GetString(bytes!);
    }

    private static Refusal Refused(string request, bool isTrusted = false)
    {
        byte[]? bytes = TryWrite(request, isTrusted, PeerAddress, out Refusal? refusal);
        Assert.That(bytes, Is.Null);
        return refusal!.Value;
    }

    /// <summary>A request's way: its end is found, its head is read, the handshake is checked, and the head is written anew.</summary>
    private static byte[]? TryWrite(string request, bool isTrusted, string peer, out Refusal? refusal)
    {
        byte[] bytes = Encoding.Latin1.GetBytes(request);
        int length = RequestHead.Find(bytes, 0, out refusal);
        if (length == 0)
            return null;
        RequestHead? head = RequestHead.Read(bytes.AsSpan(0, length), out refusal);
        refusal ??= Handshake.Check(head!.Upgrade);
        return refusal is null ? UpstreamRequest.Write(head!, "me", new Peer(peer, isTrusted, "http"), out refusal) : null;
    }

    [Test]
    public void A_browsers_request_goes_up_with_what_a_proxy_says_of_itself() =>
        Assert.That(
            Write(
                "GET /chat?room=1 HTTP/1.1\r\nHost: app.example\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\nSec-WebSocket-Version: 13\r\n"
                + "Origin: https://app.example\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
                + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nConnection: keep-alive, Upgrade\r\nCookie: a=1; b=\"2\"\r\nUpgrade: websocket\r\n\r\n"),
            Is.EqualTo(
                "GET /chat?room=1 HTTP/1.1\r\nHost: app.example\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\nSec-WebSocket-Version: 13\r\n"
                + "Origin: https://app.example\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
                + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: a=1; b=\"2\"\r\n"
                + Tail(host: "app.example")));

    // What the client sends beside the handshake; what of it goes on.
    [TestCase("Cookie: a\r\nX: 1\r\nCookie: b\r\ncookie: c\r\n", "Cookie: a\r\nX: 1\r\nCookie: b\r\ncookie: c\r\n")]
    [TestCase("sEc-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: c\r\n", "sEc-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: c\r\n")]
    [TestCase("Authorization: Bearer t.t\r\norigin: null\r\ntraceparent: 00-1\r\n", "Authorization: Bearer t.t\r\norigin: null\r\ntraceparent: 00-1\r\n")]
    [TestCase("X:1\r\nY: \t 2 \t\r\nEmpty:\r\n", "X: 1\r\nY: 2\r\nEmpty: \r\n")]
    [TestCase("X-Bytes: \u00e4\u00ff\u0080\tz\r\n", "X-Bytes: \u00e4\u00ff\u0080\tz\r\n")]
    [TestCase("Under_Score: 1\r\n!#$%&'*+-.^_`|~: 2\r\n", "Under_Score: 1\r\n!#$%&'*+-.^_`|~: 2\r\n")]
    [TestCase("Keep-Alive: 5\r\nTE: trailers\r\nTrailer: X\r\nHTTP2-Settings: AA\r\n", "")]
    [TestCase("Proxy-Connection: close\r\nPROXY-Authorization: b\r\nProxy_Foo: 1\r\nProxy: http://evil/\r\nProxyish: 1\r\n", "Proxyish: 1\r\n")]
    [TestCase("Expect: 100-continue\r\nContent-Length: 0\r\n", "")]
    [TestCase("Upgrade: h2c\r\nConnection: close\r\n", "")]
    [TestCase("Connection: X-One , ,x-two,\"odd\"\r\nX-One: 1\r\nX-TWO: 2\r\nX-Three: 3\r\n", "X-Three: 3\r\n")]
    [TestCase("Connection: X-One\r\nX: y\r\nConnection: X-Two\r\nX-Two: 2\r\nX-One: 1\r\n", "X: y\r\n")]
    public void End_to_end_fields_go_on_as_they_are_and_others_do_not(string lines, string expected) =>
        Assert.That(Written(lines), Is.EqualTo(expected + Tail()));

    [TestCase("permessage-deflate", "permessage-deflate")]
    [TestCase("permessage-deflate ;client_max_window_bits,permessage-deflate", "permessage-deflate ;client_max_window_bits,permessage-deflate")]
    [TestCase("x-webkit-deflate-frame, permessage-deflate; client_max_window_bits=\"10\"", "permessage-deflate; client_max_window_bits=\"10\"")]
    [TestCase("permessage-deflate; a, mux; max-channels=4, permessage-deflate", "permessage-deflate; a, permessage-deflate")]
    [TestCase("mux", null)]
    [TestCase("permessage-deflate-frame", null)]
    [TestCase("", null)]
    public void Of_the_extensions_only_permessage_deflate_goes_on(string offers, string? expected)
    {
        string line = expected is null ? "" : $"Sec-WebSocket-Extensions: {expected}\r\n";

        Assert.That(Written($"Sec-WebSocket-Extensions: {offers}\r\nX: 1\r\n"), Is.EqualTo($"{line}X: 1\r\n{Tail()}"));
        Assert.That(Extension.OffersDeflate(Head($"Sec-WebSocket-Extensions: {offers}\r\n")), Is.EqualTo(expected is not null));
    }

    [Test]
    public void Extensions_may_stand_in_several_lines() =>
        Assert.That(
            Written("Sec-WebSocket-Extensions: mux\r\nSec-WebSocket-Extensions: permessage-deflate\r\nsec-websocket-extensions: a, permessage-deflate\r\n"),
            Is.EqualTo($"Sec-WebSocket-Extensions: permessage-deflate\r\nsec-websocket-extensions: permessage-deflate\r\n{Tail()}"));

    [Test]
    public void A_client_cannot_say_who_it_is()
    {
        const string lines = "X-Forwarded-For: 10.0.0.1\r\nX-FORWARDED-PROTO: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Any: 1\r\n"
            + "Forwarded: for=10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\nX_Forwarded_For: 10.0.0.1\r\nX-Forwarded_Proto: https\r\nX_Real_IP: 10.0.0.1\r\n";

        Assert.That(Written(lines), Is.EqualTo(Tail()));
    }

    [Test]
    public void A_trusted_proxy_can_say_who_the_client_is()
    {
        const string lines = "X-Forwarded-For: 203.0.113.5\r\nX-Forwarded-For: 10.0.0.1, 10.0.0.2\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n"
            + "X-Forwarded-Port: 443\r\nX-Real-IP: 203.0.113.5\r\nForwarded: for=203.0.113.5;proto=https\r\nForwarded: for=10.0.0.1\r\n";

        Assert.That(
            Written(lines, isTrusted: true),
            Is.EqualTo(
                "X-Forwarded-Port: 443\r\nX-Real-IP: 203.0.113.5\r\n"
                + Tail(
                    $"203.0.113.5, 10.0.0.1, 10.0.0.2, {PeerAddress}", "https", "shop.example",
                    $"Forwarded: for=203.0.113.5;proto=https, for=10.0.0.1, for={PeerAddress}\r\n")));
    }

    /// <summary>A proxy writes these names with a dash. The client of such a proxy can only send the others past it.</summary>
    [Test]
    public void Behind_a_trusted_proxy_names_with_an_underscore_are_the_clients() =>
        Assert.That(
            Written("X_Forwarded_For: 10.0.0.1\r\nX-Forwarded_Host: evil\r\nX_Real_IP: 10.0.0.1\r\nX-Forwarded-For: 203.0.113.5\r\n", isTrusted: true),
            Is.EqualTo(Tail($"203.0.113.5, {PeerAddress}")));

    [Test]
    public void A_trusted_proxy_that_says_nothing_is_the_client() => Assert.That(Written("X: 1\r\n", isTrusted: true), Is.EqualTo($"X: 1\r\n{Tail()}"));

    [TestCase("2001:db8::7", "2001:db8::7", "for=\"[2001:db8::7]\"")]
    [TestCase("fe80::1%2", "fe80::1", "for=\"[fe80::1]\"")]
    [TestCase("192.0.2.7", "192.0.2.7", "for=192.0.2.7")]
    public void An_IPv6_peer_stands_in_quotes_in_Forwarded(string peer, string forwardedFor, string forwarded) =>
        Assert.That(
            Write(RequestOf("Forwarded: for=_x\r\n"), isTrusted: true, peer: peer),
            Does.EndWith("\r\n" + Tail(forwardedFor, forwarded: $"Forwarded: for=_x, {forwarded}\r\n")));

    [TestCase("1.0 fred", "1.0 fred, 1.1 heartbeat-me")]
    [TestCase("1.0 fred, HTTP/1.1 p.example:80 (a comment)\r\nX: 1\r\nVIA: 1.1 heartbeat-other", "1.0 fred, HTTP/1.1 p.example:80 (a comment), 1.1 heartbeat-other, 1.1 heartbeat-me")]
    [TestCase("1.1 heartbeat-me2, 1.1 heartbeat", "1.1 heartbeat-me2, 1.1 heartbeat, 1.1 heartbeat-me")]
    public void Via_grows_by_this_relay(string via, string expected) =>
        Assert.That(Written($"Via: {via}\r\n"), Does.EndWith(Tail(via: expected)));

    [TestCase("1.1 heartbeat-me")]
    [TestCase("1.0 fred, 1.1\t heartbeat-me (HeartbeatServer), 1.1 nginx")]
    [TestCase("1.0 fred\r\nVia: HTTP/1.1 HEARTBEAT-ME")]
    [TestCase("1.1 heartbeat-me\r\nConnection: Via")]
    public void A_request_that_comes_back_is_a_loop(string via)
    {
        Refusal refusal = Refused(RequestOf($"Via: {via}\r\n"));

        Assert.That((refusal.Status, refusal.Reason.Name()), Is.EqualTo((502, "upstream_loop")));
        Assert.That(refusal.Text, Does.Contain("loop"));
    }

    [TestCase("/cool/https%3A%2F%2Fh%2Ff%3Ftoken%3D1/ws?x=%20a+b&y=%E4;z&&q")]
    [TestCase("/a//b/./c?next=/../d")]
    [TestCase("//host/ws")]
    [TestCase("/%7Euser/%2e%2e/ws?")]
    [TestCase("/?EIO=4&transport=websocket&sid=a-_~!$'()*,;:@")]
    [TestCase("/\\\"<>^`{|}")]
    public void The_target_goes_on_byte_for_byte(string target) =>
        Assert.That(Write(RequestOf("", target)), Does.StartWith($"GET {target} HTTP/1.1\r\n"));

    [TestCase("http://other.example:81/x%2Fy?z=1", "/x%2Fy?z=1", "other.example:81")]
    [TestCase("WSS://[2001:db8::1]", "/", "[2001:db8::1]")]
    [TestCase("ws://other.example?z", "/?z", "other.example")]
    public void An_absolute_form_is_taken_apart(string target, string expected, string host)
    {
        string text = Write(RequestOf("", target));

        Assert.That(text, Does.StartWith($"GET {expected} HTTP/1.1\r\nHost: {host}\r\n").And.EndsWith(Tail(host: host)));
        Assert.That(text, Does.Not.Contain("app.example"));
    }

    [Test]
    public void The_version_is_our_own() =>
        Assert.That(
            Write(RequestOf("").Replace("HTTP/1.1", "HTTP/1.7", StringComparison.Ordinal)), Does.StartWith("GET /ws HTTP/1.1\r\n"));

    [Test]
    public void An_empty_Host_stays_empty() =>
        Assert.That(
            Write(RequestOf("").Replace("app.example:8443", "", StringComparison.Ordinal)),
            Does.StartWith("GET /ws HTTP/1.1\r\nHost: \r\n").And.Not.Contain("X-Forwarded-Host"));

    [TestCase("Host")]
    [TestCase("host")]
    [TestCase("Origin")]
    [TestCase("COOKIE")]
    [TestCase("Authorization")]
    [TestCase("Sec-WebSocket-Key")]
    [TestCase("sec_websocket_protocol")]
    [TestCase("Sec-WebSocket-Anything")]
    [TestCase("Forwarded")]
    [TestCase("X-Forwarded-For")]
    [TestCase("X_Forwarded_Anything")]
    [TestCase("X-Real-IP")]
    public void Connection_may_not_hide_what_the_application_needs(string name)
    {
        foreach (bool isTrusted in new[] { false, true })
        {
            Refusal refusal = Refused(RequestOf("", connection: $"keep-alive,{name} , Upgrade"), isTrusted);

            Assert.That((refusal.Status, refusal.Reason.Name()), Is.EqualTo((400, "bad_request")));
            Assert.That(refusal.Text, Does.Contain($"the Connection field names {name},"));
        }
    }

    [TestCase("Sec-WebSocket-Extensions: a b\r\n", "list of extensions")]
    [TestCase("Sec-WebSocket-Extensions: a; x=\"1, b\r\nSec-WebSocket-Extensions: c\"\r\n", "list of extensions")]
    [TestCase("Host: other\r\n", "Host stands in the head more than once")]
    [TestCase("host: app.example:8443\r\n", "Host stands in the head more than once")]
    [TestCase("Origin: a\r\nOrigin: a\r\n", "Origin stands in the head more than once")]
    [TestCase("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "Sec-WebSocket-Key stands in the head more than once")]
    [TestCase("Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Version stands in the head more than once")]
    [TestCase("Sec-WebSocket-Protocol: a b\r\n", "list of tokens")]
    [TestCase("Transfer-Encoding: chunked\r\n", "must not have a body")]
    [TestCase("Transfer-Encoding: identity\r\n", "must not have a body")]
    [TestCase("Transfer-Encoding:\r\n", "must not have a body")]
    [TestCase("Content-Length: 5\r\n", "must not have a body")]
    [TestCase("Content-Length: 00\r\n", "must not have a body")]
    [TestCase("Content-Length: 0\r\nContent-Length: 0\r\n", "Content-Length stands in the head more than once")]
    [TestCase("Content-Length: 0, 0\r\n", "Content-Length is no number")]
    [TestCase("Content-Length:\r\n", "Content-Length is no number")]
    [TestCase("Content-Length: -0\r\n", "Content-Length is no number")]
    [TestCase("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "Content-Length and Transfer-Encoding")]
    [TestCase("Transfer-Encoding : chunked\r\n", "no field")]
    [TestCase("X: 1\r\n Content-Length: 5\r\n", "no field")]
    [TestCase("X: 1\nContent-Length: 5\r\n", "LF without CR")]
    [TestCase("X: 1\rContent-Length: 5\r\n", "CR without LF")]
    [TestCase("X: 1\0\r\n", "control character")]
    public void What_two_readers_may_understand_differently_never_goes_up(string lines, string rule)
    {
        Refusal refusal = Refused(RequestOf(lines));

        Assert.That((refusal.Status, refusal.Text), Is.EqualTo((400, refusal.Text)));
        Assert.That(refusal.Text, Does.Contain(rule));
    }

    [TestCase("/ws#f", "fragment")]
    [TestCase("http://h/ws#f", "fragment")]
    [TestCase("ftp://h/ws", "neither a path nor a URL")]
    [TestCase("ws", "neither a path nor a URL")]
    [TestCase("http://user@h/ws", "has no host")]
    public void A_target_that_no_client_sends_never_goes_up(string target, string rule) =>
        Assert.That(Refused(RequestOf("", target)).Text, Does.Contain(rule));

    /// <summary>
    /// However a head is damaged, it is refused, or it is written so that it can be read again, and a second time it is written as the same.
    /// </summary>
    [Test]
    public void Damaged_heads_are_refused_or_written_so_that_they_can_be_read([Range(1, 8)] int seed)
    {
        var random = new Random(seed);
        string[] parts =
        [
            "Connection: ", "X", "X-Forwarded-For: 1.2.3.4", "X_Forwarded_For", "Forwarded: for=x", ", ", "\r\n", "\r", "\n", " ", "\t", ":", ";", "\0", "\u00ff",
            "Sec-WebSocket-Extensions: permessage-deflate", "Transfer-Encoding: chunked", "Content-Length: 0", "Via: 1.1 x", "Host", "Expect: x", "#", "?", "%", "_", "-",
        ];
        int written = 0;
        for (int round = 0; round < 4_000; round++)
        {
            var text = new StringBuilder(RequestOf("X-A: 1\r\nSec-WebSocket-Extensions: a, permessage-deflate; x=1\r\nCookie: a\r\n"));
            for (int i = random.Next(1, 4); i > 0; i--)
            {
                int at = random.Next(text.Length - 3);
                if (random.Next(3) == 0)
                    text.Remove(at, random.Next(1, 3));
                else
                    text.Insert(at, random.GetItems(parts, 1)[0]);
            }
            bool isTrusted = random.Next(2) == 0;
            string request = text.ToString();
            if (TryWrite(request, isTrusted, PeerAddress, out Refusal? refusal) is not { } bytes)
            {
                Assert.That(refusal?.Status ?? 0, Is.AnyOf(0, 400, 405, 426, 505), $"seed {seed}: {request}");
                continue;
            }
            written++;
            RequestHead? head = Reread(bytes, out refusal);
            Assert.That(refusal, Is.Null, $"seed {seed}: {request}");
            Assert.That(Handshake.Check(head!.Upgrade), Is.Null, $"seed {seed}: {request}");
            foreach (string name in new[] { "Host", "Connection", "Upgrade", "X-Forwarded-For", "X-Forwarded-Proto", "Via" })
                Assert.That(head.Fields.LinesOf(name), Is.EqualTo(1), $"seed {seed}: {name} of {request}");
            Assert.That(head.Fields.LinesOf("Content-Length") + head.Fields.LinesOf("Transfer-Encoding"), Is.Zero, $"seed {seed}: {request}");
            // A second relay behind this one, which trusts it, adds only itself.
            byte[]? second = UpstreamRequest.Write(head, "second", new Peer("198.51.100.1", IsTrusted: true, "http"), out refusal);
            RequestHead? again = Reread(second!, out refusal);
            Assert.That(again!["X-Forwarded-For"], Is.EqualTo(head["X-Forwarded-For"] + ", 198.51.100.1"));
            Assert.That(
                again.Fields.Where(field => !IsGrowing(field.Name)), Is.EqualTo(head.Fields.Where(field => !IsGrowing(field.Name))), $"seed {seed}: {request}");
        }
        Assert.That(written, Is.GreaterThan(300));

        static bool IsGrowing(string name) => name.ToUpperInvariant() is "X-FORWARDED-FOR" or "FORWARDED" or "VIA";
    }

    private static RequestHead Head(string lines) => Reread(Encoding.Latin1.GetBytes(RequestOf(lines)), out _)!;

    private static RequestHead? Reread(byte[] bytes, out Refusal? refusal)
    {
        Assert.That(RequestHead.Find(bytes, 0, out refusal), Is.EqualTo(bytes.Length));
        return RequestHead.Read(bytes, out refusal);
    }
}
