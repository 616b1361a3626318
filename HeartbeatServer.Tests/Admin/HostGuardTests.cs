using HeartbeatServer.Admin;
using HeartbeatServer.Options;

namespace HeartbeatServer.Tests.Admin;

public sealed class HostGuardTests
{
    [TestCase("127.0.0.1:9090", "127.0.0.1:9090", true)]
    [TestCase("127.0.0.1:9090", "127.0.0.1", true)]
    [TestCase("127.0.0.1:9090", "localhost:8000", true, Description = "a forwarded port")]
    [TestCase("127.0.0.1:9090", "LocalHost", true)]
    [TestCase("127.0.0.1:9090", "[::1]:9090", true)]
    [TestCase("127.0.0.1:9090", "192.0.2.1:9090", false)]
    [TestCase("127.0.0.1:9090", "evil.example", false)]
    [TestCase("127.0.0.1:9090", "localhost.evil.example:9090", false)]
    [TestCase("127.0.0.1:9090", "127.0.0.1.evil.example", false)]
    [TestCase("127.0.0.1:9090", "localhost:80x", false)]
    [TestCase("127.0.0.1:9090", "[::1", false)]
    [TestCase("127.0.0.1:9090", "[::1]x", false)]
    [TestCase("127.0.0.1:9090", "", false)]
    [TestCase("127.0.0.1:9090", null, false)]
    [TestCase("127.0.0.2:9090", "127.0.0.2:9090", true)]
    [TestCase("127.0.0.2:9090", "127.0.0.3:9090", false)]
    [TestCase("*:9090", "192.0.2.1:9090", true)]
    [TestCase("*:9090", "[2001:db8::1]:9090", true)]
    [TestCase("*:9090", "evil.example:9090", false)]
    [TestCase("192.0.2.1:9090", "198.51.100.1", true, Description = "behind address translation")]
    [TestCase("192.0.2.1:9090", "evil.example", false)]
    [TestCase("admin.example:9090", "Admin.Example:9090", true)]
    [TestCase("admin.example:9090", "evil.example:9090", false)]
    public void Only_a_Host_that_no_web_page_can_borrow_is_answered(string bound, string? header, bool expected)
    {
        Assert.That(HostPort.TryParse(bound, out HostPort? address), Is.True);

        Assert.That(HostGuard.Answers(address!, header, "/status"), Is.EqualTo(expected));
    }

    [Test]
    public void What_shows_no_client_is_for_any_name_where_other_machines_are_meant_to_ask(
        [Values("/metrics", "/healthz", "/readyz")] string path, [Values("heartbeat:9090", "heartbeat.default.svc", null)] string? header)
    {
        Assert.That(HostGuard.Answers(new HostPort("*", 9090), header, path), Is.True);
        Assert.That(HostGuard.Answers(new HostPort("127.0.0.1", 9090), header, path), Is.False);
    }
}
