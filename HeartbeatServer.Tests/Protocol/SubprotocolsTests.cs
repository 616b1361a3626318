using System.Text;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Tests.Protocol;

public sealed class SubprotocolsTests
{
    [TestCase(null, "")]
    [TestCase("", "")]
    [TestCase("mqtt", "mqtt")]
    [TestCase("graphql-transport-ws, graphql-ws", "graphql-transport-ws|graphql-ws")]
    [TestCase("a,b\t ,\tc", "a|b|c")]
    [TestCase(",a,,b,", "a|b")]
    [TestCase("v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2VjcmV0", "v4.channel.k8s.io|base64url.bearer.authorization.k8s.io.c2VjcmV0")]
    [TestCase("!#$%&'*+-.^_`|~", "!#$%&'*+-.^_`/~", Description = "every sign that a token may have; the bar is written as a slash here")]
    public void Offers_are_a_list_of_tokens(string? header, string offers) =>
        Assert.That(Subprotocols.Offers(header)!.Select(each => each.Replace("`|", "`/", StringComparison.Ordinal)), Is.EqualTo(offers.Length == 0 ? [] : offers.Split('|')));

    [TestCase("a b")]
    [TestCase("a, b c")]
    [TestCase("a/b")]
    [TestCase("a;q=1")]
    [TestCase("\"a\"")]
    [TestCase("a\r\nX-Injected: 1")]
    [TestCase("a\0")]
    [TestCase("ü")]
    [TestCase("(a)")]
    public void What_is_no_token_is_no_offer(string header) => Assert.That(Subprotocols.Offers(header), Is.Null);

    [Test]
    public void Offers_in_several_lines_are_one_list()
    {
        byte[] head = Encoding.ASCII.GetBytes(
            "GET /ws HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Protocol: a\r\nUpgrade: websocket\r\nsec-websocket-protocol: b, c\r\n\r\n");

        string? header = RequestHead.Read(head, out _)!.Upgrade.Protocol;

        Assert.That(Subprotocols.Offers(header), Is.EqualTo(new[] { "a", "b", "c" }));
    }

    [TestCase("a, b", "a")]
    [TestCase("none", "none")]
    [TestCase(null, null)]
    public void By_default_the_first_offer_is_spoken(string? header, string? spoken) =>
        Assert.That(Subprotocols.Any.Choose(Subprotocols.Offers(header)!), Is.EqualTo(spoken));

    [TestCase("mqtt", "mqtt")]
    [TestCase("other, wamp.2.json, mqtt", "wamp.2.json", Description = "the client's order counts")]
    [TestCase("other", null)]
    [TestCase("MQTT", null, Description = "a browser compares with case")]
    [TestCase(null, null)]
    public void Where_some_are_named_the_first_offer_among_them_is_spoken(string? header, string? spoken) =>
        Assert.That(new Subprotocols(["mqtt", "wamp.2.json"]).Choose(Subprotocols.Offers(header)!), Is.EqualTo(spoken));

    [TestCase("a, b")]
    [TestCase("none")]
    [TestCase(null)]
    public void None_speaks_none(string? header) => Assert.That(new Subprotocols(["none"]).Choose(Subprotocols.Offers(header)!), Is.Null);

    [TestCase("any")]
    [TestCase("none", "none")]
    [TestCase("a,b", "a", "b")]
    public void They_are_written_as_they_were_given(string text, params string[] names) => Assert.That($"{new Subprotocols(names)}", Is.EqualTo(text));
}
