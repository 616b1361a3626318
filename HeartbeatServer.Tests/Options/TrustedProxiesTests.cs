using System.Net;
using HeartbeatServer.Options;

namespace HeartbeatServer.Tests.Options;

public sealed class TrustedProxiesTests
{
    /// <summary>Proxies are in 10.0.0.0/8 and fd00::/8.</summary>
    private static readonly TrustedProxies Proxies = new([IPNetwork.Parse("10.0.0.0/8"), IPNetwork.Parse("fd00::/8")]);

    [TestCase("192.0.2.1", "192.0.2.1")]
    [TestCase("6.6.6.6, 192.0.2.1", "192.0.2.1", TestName = "What the client wrote itself does not count")]
    [TestCase("10.9.9.9, 192.0.2.1", "192.0.2.1", TestName = "Nor does it as a proxy's address")]
    [TestCase("192.0.2.1, 10.0.0.7", "192.0.2.1", TestName = "Trusted proxies are passed over")]
    [TestCase("6.6.6.6, 192.0.2.1, 10.0.0.7, 10.0.0.8", "192.0.2.1")]
    [TestCase("10.0.0.7, 10.0.0.8", "10.0.0.7", TestName = "With trusted addresses alone it is the first")]
    [TestCase("192.0.2.1:4711", "192.0.2.1")]
    [TestCase("2001:db8::1", "2001:db8::1")]
    [TestCase("[2001:db8::1]", "2001:db8::1")]
    [TestCase("[2001:db8::1]:4711", "2001:db8::1")]
    [TestCase("::ffff:192.0.2.1", "192.0.2.1")]
    [TestCase(" 192.0.2.1 ,, ", "192.0.2.1", TestName = "Empty elements do not count")]
    [TestCase("192.0.2.1, unknown, 10.0.0.7", "10.0.0.7", TestName = "Behind an entry that is no address nobody is known")]
    [TestCase("192.0.2.1, fe80::1%eth0", "10.0.0.1")]
    [TestCase("\t192.0.2.1 \t", "192.0.2.1")]
    [TestCase("192.0.2.1\u00a0", "10.0.0.1", TestName = "White space is a space or a tab, and nothing else")]
    [TestCase("\u00852001:db8::1", "10.0.0.1")]
    [TestCase("2001:db8::1\u00a0", "10.0.0.1")]
    [TestCase("[2001:db8::1]:4711\u00a0", "10.0.0.1")]
    [TestCase("garbage", "10.0.0.1")]
    [TestCase("7", "10.0.0.1", TestName = "A number is no address")]
    [TestCase("192.0.513", "10.0.0.1", TestName = "Nor are three")]
    [TestCase("0300.0.2.1", "10.0.0.1", TestName = "Nor is one in octal")]
    [TestCase("0300.0.2.1:4711", "10.0.0.1")]
    [TestCase("192.0.2.1:", "10.0.0.1")]
    [TestCase("[192.0.2.1]:80", "10.0.0.1")]
    [TestCase("", "10.0.0.1")]
    [TestCase(null, "10.0.0.1")]
    public void X_Forwarded_For_from_a_trusted_proxy_names_the_client(string? header, string client) =>
        Assert.That(Proxies.ClientOf(IPAddress.Parse("10.0.0.1"), header, null).Address, Is.EqualTo(IPAddress.Parse(client)));

    [TestCase("for=192.0.2.43", "192.0.2.43")]
    [TestCase("For=192.0.2.43;proto=https;by=203.0.113.43", "192.0.2.43")]
    [TestCase("proto=https; for=192.0.2.43", "192.0.2.43")]
    [TestCase("for=\"192.0.2.43:47011\"", "192.0.2.43")]
    [TestCase("for=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17")]
    [TestCase("for=6.6.6.6, for=192.0.2.43, for=10.0.0.7", "192.0.2.43")]
    [TestCase("for=\"6.6.6.6, for=192.0.2.9\", for=192.0.2.43", "192.0.2.43", TestName = "A comma in a quoted string is no end of an element")]
    [TestCase("for=\"evil, for=192.0.2.43", "192.0.2.43", TestName = "A quote that a client left open changes nothing for what came after it")]
    [TestCase("for=192.0.2.1, for=_hidden, for=10.0.0.7", "10.0.0.7", TestName = "An obfuscated name ends the walk")]
    [TestCase("for=unknown", "10.0.0.1")]
    [TestCase("\tproto=https \t;\t for=192.0.2.43\t", "192.0.2.43")]
    [TestCase("for=192.0.2.43\u00a0", "10.0.0.1")]
    [TestCase("proto=https;\u00a0for=192.0.2.43", "10.0.0.1", Description = "this for= has another name, and nobody knows which")]
    [TestCase("for=", "10.0.0.1")]
    [TestCase("for=\"\"", "10.0.0.1")]
    [TestCase("for=:80", "10.0.0.1")]
    [TestCase("by=192.0.2.43", "10.0.0.1")]
    [TestCase("192.0.2.43", "10.0.0.1")]
    [TestCase("host=\"a;for=6.6.6.6;b\";for=192.0.2.43", "192.0.2.43", TestName = "A semicolon in a quoted string is no end of a pair")]
    [TestCase("host=a;for=6.6.6.6;b;for=192.0.2.43", "10.0.0.1", TestName = "A Host that brings a for= of its own makes it two, and none counts")]
    [TestCase("host=\"a\";for=6.6.6.6;x=\"\";for=192.0.2.43", "10.0.0.1")]
    [TestCase("host=\"a\";for=6.6.6.6;x=y\";for=192.0.2.43", "192.0.2.43")]
    [TestCase("host=\"a\\\";for=6.6.6.6;b\"", "10.0.0.1", TestName = "An element with an escape counts for nothing")]
    public void Forwarded_from_a_trusted_proxy_names_the_client(string header, string client) =>
        Assert.That(Proxies.ClientOf(IPAddress.Parse("10.0.0.1"), null, header).Address, Is.EqualTo(IPAddress.Parse(client)));

    [TestCase("192.0.2.1", "for=192.0.2.1", "192.0.2.1")]
    [TestCase("192.0.2.1", "for=6.6.6.6", "10.0.0.1", TestName = "Of two headers that disagree none is believed")]
    [TestCase("6.6.6.6", "for=192.0.2.1", "10.0.0.1", TestName = "Whichever the client brought along")]
    public void Two_headers_have_to_agree(string forwardedFor, string forwarded, string client) =>
        Assert.That(Proxies.ClientOf(IPAddress.Parse("10.0.0.1"), forwardedFor, forwarded).Address, Is.EqualTo(IPAddress.Parse(client)));

    [TestCase("192.0.2.1", "for=192.0.2.1", false)]
    [TestCase("192.0.2.1", "for=6.6.6.6", true)]
    [TestCase("192.0.2.1", "for=unknown", true)]
    [TestCase("garbage", "for=unknown", false, Description = "both end at the proxy")]
    [TestCase("192.0.2.1", "proto=https", false)]
    [TestCase("192.0.2.1", null, false)]
    [TestCase(null, "for=192.0.2.1", false)]
    public void A_disagreement_is_told(string? forwardedFor, string? forwarded, bool isDisputed) =>
        Assert.That(Proxies.ClientOf(IPAddress.Parse("10.0.0.1"), forwardedFor, forwarded).IsDisputed, Is.EqualTo(isDisputed));

    [TestCase("192.0.2.1", "proto=https", "192.0.2.1")]
    [TestCase("192.0.2.1", "by=10.0.0.1;proto=https;host=\"example.com:443\"", "192.0.2.1")]
    [TestCase("192.0.2.1, 10.0.0.7", "proto=http, proto=https", "192.0.2.1")]
    [TestCase("192.0.2.1", "for=6.6.6.6, proto=https", "192.0.2.1", TestName = "What stands left of our proxy's element without for= anybody wrote")]
    [TestCase("192.0.2.1", "", "192.0.2.1")]
    [TestCase("192.0.2.1", " , ", "192.0.2.1")]
    [TestCase("", "for=192.0.2.1", "192.0.2.1")]
    [TestCase("garbage", "proto=https", "10.0.0.1")]
    [TestCase(null, "proto=https", "10.0.0.1")]
    public void A_header_that_names_nobody_counts_as_absent(string? forwardedFor, string? forwarded, string client) =>
        Assert.That(Proxies.ClientOf(IPAddress.Parse("10.0.0.1"), forwardedFor, forwarded), Is.EqualTo(new ClientAddress(IPAddress.Parse(client))));

    [TestCase("for=")]
    [TestCase("for=_hidden;proto=https")]
    [TestCase("for=;for=192.0.2.1")]
    [TestCase("proto=https;for=6.6.6.6")]
    [TestCase("host=a;for=6.6.6.6;b", Description = "a Host that brings a for= along")]
    [TestCase("host=\"a\\\";for=6.6.6.6;b\"", Description = "an escape may hide one")]
    [TestCase("garbage")]
    public void A_header_that_may_name_somebody_counts(string forwarded) => Assert.That(
        Proxies.ClientOf(IPAddress.Parse("10.0.0.1"), "192.0.2.1", forwarded), Is.EqualTo(new ClientAddress(IPAddress.Parse("10.0.0.1"), IsDisputed: true)));

    [TestCase("192.0.2.9", "192.0.2.9")]
    [TestCase("11.0.0.1", "11.0.0.1")]
    [TestCase("::ffff:192.0.2.9", "192.0.2.9")]
    public void From_anybody_else_the_headers_are_ignored(string peer, string client)
    {
        Assert.That(Proxies.ClientOf(IPAddress.Parse(peer), "6.6.6.6", "for=6.6.6.6").Address, Is.EqualTo(IPAddress.Parse(client)));
        Assert.That(TrustedProxies.None.ClientOf(IPAddress.Parse(peer), "6.6.6.6", "for=6.6.6.6").Address, Is.EqualTo(IPAddress.Parse(client)));
    }

    [TestCase("::ffff:10.0.0.1")]
    [TestCase("fd00::1")]
    public void A_proxy_is_known_by_any_form_of_its_address(string peer) =>
        Assert.That(Proxies.ClientOf(IPAddress.Parse(peer), "192.0.2.1", null).Address, Is.EqualTo(IPAddress.Parse("192.0.2.1")));

    [TestCase("10.0.0.0/8", "10.0.0.0/8")]
    [TestCase("10.1.2.3/8", "10.0.0.0/8")]
    [TestCase("192.0.2.1", "192.0.2.1/32")]
    [TestCase("fd00::/8", "fd00::/8")]
    [TestCase("::1", "::1/128")]
    [TestCase("::ffff:192.0.2.1", "192.0.2.1/32")]
    [TestCase("0.0.0.0/0", "0.0.0.0/0")]
    public void A_network_is_read(string text, string network)
    {
        Assert.That(TrustedProxies.TryParse(text, out IPNetwork read), Is.True);
        Assert.That($"{read}", Is.EqualTo(network));
    }

    [TestCase("10.0.0.0/33")]
    [TestCase("::ffff:10.0.0.0/104")]
    [TestCase("10.0.0.0/")]
    [TestCase("proxy.internal")]
    [TestCase("10")]
    [TestCase("10/8")]
    [TestCase("10.1/16")]
    [TestCase("010.0.0.1")]
    [TestCase("010.0.0.0/8")]
    [TestCase("0x0a.0.0.1")]
    [TestCase("/8")]
    [TestCase("")]
    public void Other_texts_are_none(string text) => Assert.That(TrustedProxies.TryParse(text, out _), Is.False);
}
