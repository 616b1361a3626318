using HeartbeatServer.Framing;


namespace HeartbeatServer.Tests.Framing;

[TestFixture]
public sealed class WebSocketProtocolExceptionTests
{
    [Test]
    public void It_carries_the_code_the_rule_and_the_section()
    {
        var violation = new WebSocketProtocolException(CloseCode.InvalidPayload, "text is not valid UTF-8", "8.1");

        Assert.That(violation.CloseCode, Is.EqualTo(1007));
        Assert.That(violation.Rule, Is.EqualTo("text is not valid UTF-8"));
        Assert.That(violation.Message, Is.EqualTo("text is not valid UTF-8 (RFC 6455 section 8.1)"));
    }
}
