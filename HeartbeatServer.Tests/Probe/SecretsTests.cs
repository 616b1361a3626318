using HeartbeatServer.Options;
using HeartbeatServer.Probe;

namespace HeartbeatServer.Tests.Probe;

public sealed class SecretsTests
{
    private static readonly Secrets Given = new(new ProbeOptions(new ProbeUrl(false, "host", 80, "/ws?token=s3cr%2Bet1&x=1"))
    {
        Headers = [("Authorization", "Bearer abc.def.ghi"), ("Cookie", "sid=0123456789; a=b")],
    });

    [TestCase("no access for abc.def.ghi", ExpectedResult = "no access for ***")]
    [TestCase("Authorization was Bearer abc.def.ghi!", ExpectedResult = "Authorization was ***!")]
    [TestCase("GET /ws?token=s3cr%2Bet1&x=1", ExpectedResult = "GET /ws?***")]
    [TestCase("token s3cr+et1", ExpectedResult = "token ***")]
    [TestCase("session 0123456789", ExpectedResult = "session ***")]
    [TestCase("a=b is left, as are x and 1", ExpectedResult = "a=b is left, as are x and 1")]
    [TestCase("\u001b[2J", ExpectedResult = "\\u001b[2J")]
    public string What_was_given_does_not_come_back(string text) => Given.Hide(text);
}
