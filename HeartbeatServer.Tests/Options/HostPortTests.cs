using HeartbeatServer.Options;

namespace HeartbeatServer.Tests.Options;

public sealed class HostPortTests
{
    [TestCase("9090", "127.0.0.1:9090", true)]
    [TestCase("localhost:9090", "localhost:9090", true)]
    [TestCase("127.0.0.2:1", "127.0.0.2:1", true)]
    [TestCase("[::1]:9090", "[::1]:9090", true)]
    [TestCase("*:9090", "*:9090", false)]
    [TestCase("0.0.0.0:9090", "0.0.0.0:9090", false)]
    [TestCase("[::]:9090", "*:9090", false)]
    [TestCase("[0:0::0]:9090", "*:9090", false)]
    [TestCase("192.0.2.1:65535", "192.0.2.1:65535", false)]
    [TestCase("[2001:db8::1]:9090", "[2001:db8::1]:9090", false)]
    [TestCase("admin.example:9090", "admin.example:9090", false)]
    public void An_address_is_read(string text, string expected, bool isLoopback)
    {
        Assert.That(HostPort.TryParse(text, out HostPort? address), Is.True);

        Assert.That((address!.ToString(), address.IsLoopback), Is.EqualTo((expected, isLoopback)));
    }

    [TestCase("")]
    [TestCase("0")]
    [TestCase("65536")]
    [TestCase("+80")]
    [TestCase(":9090")]
    [TestCase("localhost:")]
    [TestCase("localhost")]
    [TestCase("::1:9090")]
    [TestCase("[::1]")]
    [TestCase(":::9090")]
    [TestCase("a b:9090")]
    public void What_is_no_address_is_refused(string text) => Assert.That(HostPort.TryParse(text, out _), Is.False);

    [TestCase("*:9090", "http://localhost:9090/x")]
    [TestCase("0.0.0.0:9090", "http://localhost:9090/x")]
    [TestCase("[::]:9090", "http://localhost:9090/x")]
    [TestCase("[::1]:9090", "http://[::1]:9090/x")]
    [TestCase("127.0.0.1:9090", "http://127.0.0.1:9090/x")]
    [TestCase("[2001:db8::1]:9090", "http://[2001:db8::1]:9090/x")]
    [TestCase("admin.example:9090", "http://admin.example:9090/x")]
    public void A_url_is_one_that_a_browser_can_use(string text, string expected)
    {
        Assert.That(HostPort.TryParse(text, out HostPort? address), Is.True);

        Assert.That(address!.Url("http", "/x"), Is.EqualTo(expected));
    }

    [TestCase("*:9090", "127.0.0.1:9090")]
    [TestCase("0.0.0.0:9090", "127.0.0.1:9090")]
    [TestCase("[::]:9090", "127.0.0.1:9090")]
    [TestCase("[::1]:9090", "[::1]:9090")]
    [TestCase("name.example:9090", "name.example:9090")]
    public void A_listener_on_every_interface_is_reached_on_the_loopback_one(string text, string expected)
    {
        Assert.That(HostPort.TryParse(text, out HostPort? address), Is.True);

        Assert.That(address!.Local.ToString(), Is.EqualTo(expected));
    }

    [TestCase("127.0.0.1:80", "127.0.0.1:80", true)]
    [TestCase("127.0.0.1:80", "127.0.0.1:81", false)]
    [TestCase("127.0.0.1:80", "*:80", true)]
    [TestCase("Localhost:80", "127.0.0.1:80", true)]
    [TestCase("[::1]:80", "*:80", true)]
    [TestCase("[::1]:80", "[::]:80", true)]
    [TestCase("0.0.0.0:80", "*:80", true)]
    [TestCase("127.0.0.1:80", "0.0.0.0:80", true)]
    [TestCase("[::1]:80", "0.0.0.0:80", false)]
    [TestCase("127.0.0.1:80", "192.0.2.1:80", false)]
    public void Two_listeners_overlap_where_they_need_the_same_port_of_the_same_address(string one, string other, bool expected)
    {
        Assert.That(HostPort.TryParse(one, out HostPort? first) & HostPort.TryParse(other, out HostPort? second), Is.True);

        Assert.That((first!.Overlaps(second!), second!.Overlaps(first)), Is.EqualTo((expected, expected)));
    }
}
