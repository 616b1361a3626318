using System.Text;
using HeartbeatServer.Admin;
using HeartbeatServer.Connections;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Tests.Protocol;

[TestFixture]
public sealed class HandshakeTests
{
    /// <summary>The key of the example in RFC 6455 section 1.3.</summary>
    private const string SampleKey = "dGhlIHNhbXBsZSBub25jZQ==";

    private static readonly UpgradeRequest Good = new("GET", true, false, "Upgrade", "websocket", "13", SampleKey);

    [Test]
    public void A_proper_request_is_upgraded() => Assert.That(Handshake.Check(Good), Is.Null);

    [TestCase("upgrade")]
    [TestCase("UPGRADE")]
    [TestCase("keep-alive, Upgrade")]
    [TestCase("Upgrade, keep-alive")]
    [TestCase("keep-alive,Upgrade")]
    [TestCase(" keep-alive ,\tupgrade ")]
    [TestCase(",,Upgrade,")]
    public void Upgrade_may_be_any_token_of_Connection_in_any_case(string connection) =>
        Assert.That(Handshake.Check(Good with { Connection = connection }), Is.Null);

    [TestCase("WebSocket")]
    [TestCase("WEBSOCKET")]
    [TestCase("h2c, websocket")]
    public void Websocket_may_be_any_token_of_Upgrade_in_any_case(string upgrade) =>
        Assert.That(Handshake.Check(Good with { Upgrade = upgrade }), Is.Null);

    [TestCase("POST")]
    [TestCase("HEAD")]
    [TestCase("OPTIONS")]
    [TestCase("CONNECT")]
    [TestCase("get")]
    public void Another_method_is_refused_with_405(string method) => AssertRefused(Good with { Method = method }, 405, "GET");

    [Test]
    public void Another_method_is_refused_before_anything_else() =>
        AssertRefused(new UpgradeRequest("POST", false, true, null, null, null, null), 405, "GET");

    [Test]
    public void HTTP_1_0_is_refused_with_426() => AssertRefused(Good with { IsHttp11 = false }, 426, "HTTP/1.1");

    [TestCase(null)]
    [TestCase("")]
    [TestCase("keep-alive")]
    [TestCase("close")]
    [TestCase("Upgrades")]
    [TestCase("keep-alive Upgrade")]
    [TestCase("\"Upgrade\"")]
    [TestCase("Upgrade\u00a0", Description = "white space around a token is a space or a tab (RFC 9110 section 5.6.3)")]
    [TestCase("keep-alive,\u0085Upgrade")]
    public void A_request_without_Connection_Upgrade_is_refused_with_426(string? connection) =>
        AssertRefused(Good with { Connection = connection }, 426, "Connection: Upgrade");

    [TestCase(null)]
    [TestCase("")]
    [TestCase("h2c")]
    [TestCase("web socket")]
    [TestCase("websockets")]
    public void A_request_without_Upgrade_websocket_is_refused_with_426(string? upgrade) =>
        AssertRefused(Good with { Upgrade = upgrade }, 426, "Upgrade: websocket");

    [Test]
    public void A_request_without_a_version_is_refused_with_400() =>
        AssertRefused(Good with { Version = null }, 400, "Sec-WebSocket-Version");

    [TestCase("8")]
    [TestCase("7")]
    [TestCase("0")]
    [TestCase("14")]
    [TestCase("")]
    [TestCase("13, 8")]
    [TestCase("013")]
    public void Another_version_is_refused_with_426(string version) => AssertRefused(Good with { Version = version }, 426, "13");

    [Test]
    public void A_request_without_a_key_is_refused_with_400() => AssertRefused(Good with { Key = null }, 400, "missing");

    [TestCase("", TestName = "An empty key is refused with 400")]
    [TestCase("dGhlIHNhbXBsZSBub25jZ", TestName = "A key without padding is refused with 400")]
    [TestCase("dGhlIHNhbXBsZSBub25j", TestName = "A key of 15 bytes is refused with 400")]
    [TestCase("dGhlIHNhbXBsZSBub25jZWQ=", TestName = "A key of 17 bytes is refused with 400")]
    [TestCase("dGhlIHNhbXBsZSBub25jZWRk", TestName = "A key of 18 bytes is refused with 400")]
    [TestCase("dGhlIHNhbXBsZSBub25jZWRkZWRk", TestName = "A longer key is refused with 400")]
    [TestCase("dGhlIHNhbXBsZSBub25jZ!==", TestName = "A key that is not Base64 is refused with 400")]
    [TestCase("dGhlIHNhbXBsZSBub25jZ_==", TestName = "A key in Base64url is refused with 400")]
    [TestCase("dGhlIHNhbXBs ZSBub25jZQ==", TestName = "A key of 25 characters with a blank is refused with 400")]
    [TestCase("dGhlIHNhbXB ZSBub25jZQ==", TestName = "A key of 24 characters with a blank is refused with 400")]
    [TestCase("dGhlIHNhbXBsZSBub25jZQ\r\n", TestName = "A key with line ends for padding is refused with 400")]
    [TestCase("    dGhlIHNhbXBsZSBub25j", TestName = "A key filled up with blanks is refused with 400")]
    [TestCase("dGhlIHNhbXBsZSBub25jZé==", TestName = "A key with a letter that is not ASCII is refused with 400")]
    [TestCase("========================", TestName = "A key of padding is refused with 400")]
    public void A_bad_key_is_refused(string key) => AssertRefused(Good with { Key = key }, 400, "16 bytes in Base64");

    [Test]
    public void A_request_with_a_body_is_refused_with_400() => AssertRefused(Good with { HasBody = true }, 400, "body");

    [Test]
    public void The_response_accepts_the_key_of_the_RFC()
    {
        Assert.That(
            Encoding.ASCII.GetString(Handshake.Response(SampleKey, protocol: null)),
            Is.EqualTo(
                "HTTP/1.1 101 Switching Protocols\r\n"
                + "Upgrade: websocket\r\n"
                + "Connection: Upgrade\r\n"
                + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                + "\r\n"));
    }

    [TestCase("AQIDBAUGBwgJCgsMDQ4PEA==", "C/0nmHhBztSRGR1CwL6Tf4ZjwpY=")]
    [TestCase("x3JJHMbDL1EzLkh9GBhXDw==", "HSmrc0sMlYUkAGmm5OPpG2HaGWk=")]
    public void The_response_accepts_other_well_known_keys(string key, string accept)
    {
        string response = Encoding.ASCII.GetString(Handshake.Response(key, protocol: null));

        Assert.That(response, Does.Contain($"Sec-WebSocket-Accept: {accept}\r\n\r\n"));
    }

    [Test]
    public void The_response_has_the_subprotocol_that_is_spoken()
    {
        string response = Encoding.ASCII.GetString(Handshake.Response(SampleKey, "graphql-transport-ws"));

        Assert.That(response, Does.EndWith("xOo=\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"));
    }

    [TestCase("a\r\nSet-Cookie: x=y")]
    [TestCase("a b")]
    [TestCase("")]
    public void The_response_takes_nothing_but_a_token(string protocol) =>
        Assert.That(() => Handshake.Response(SampleKey, protocol), Throws.ArgumentException);

    [TestCase("mqtt")]
    [TestCase("graphql-transport-ws, graphql-ws")]
    public void A_request_may_offer_subprotocols(string protocol) => Assert.That(Handshake.Check(Good with { Protocol = protocol }), Is.Null);

    [TestCase("a b")]
    [TestCase("mqtt, a/b")]
    public void A_request_that_offers_what_is_no_token_is_refused_with_400(string protocol) =>
        AssertRefused(Good with { Protocol = protocol }, 400, "list of tokens");

    private static void AssertRefused(UpgradeRequest request, int status, string reason)
    {
        Refusal? refusal = Handshake.Check(request);
        Assert.That(refusal?.Status, Is.EqualTo(status));
        Assert.That(refusal?.Text, Does.Contain(reason));
    }
}
