using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;


namespace HeartbeatServer.Tests.Protocol;

[TestFixture]
public sealed class DisconnectTests
{
    [TestCase(1000, "", "Close 1000")]
    [TestCase(1001, "going away", "Close 1001 \"going away\"")]
    [TestCase(4999, "größe 😀", "Close 4999 \"größe 😀\"")]
    [TestCase(1000, "two\nlines", "Close 1000 \"two\\u000alines\"")]
    [TestCase(1000, "say \"no\" \\ end", "Close 1000 \"say \\\"no\\\" \\\\ end\"")]
    [TestCase(1005, "", "Close without a code")]
    public void A_close_of_the_client_tells_code_and_reason(int code, string reason, string detail)
    {
        Disconnect end = Disconnect.ByClient((ushort)code, reason);

        Assert.That((end.Cause, end.Detail, end.Error), Is.EqualTo((DisconnectCause.ClientClosed, detail, (Exception?)null)));
    }

    [TestCase("first\n12:00:00.000 [INF] second")]
    [TestCase("first\r\nsecond")]
    [TestCase("\u001B[2Jgone")]
    [TestCase("\u0000\u0085\u009B")]
    [TestCase("line\u2028paragraph\u2029")]
    [TestCase("turned \u202e round")]
    public void A_reason_cannot_forge_a_line_of_the_log(string reason)
    {
        string detail = Disconnect.ByClient(1000, reason).Detail;

        Assert.That(detail.Any(c => char.IsControl(c) || c is '\u2028' or '\u2029' or '\u202e'), Is.False, detail);
    }

    [TestCase(1002, DisconnectCause.ProtocolError)]
    [TestCase(1007, DisconnectCause.InvalidPayload)]
    [TestCase(1009, DisconnectCause.MessageTooBig)]
    public void A_violation_tells_what_we_sent_and_the_rule(int code, object cause)
    {
        Disconnect end = Disconnect.ByViolation(new WebSocketProtocolException((ushort)code, "some rule", "5.2"));

        Assert.That(end.Cause, Is.EqualTo((DisconnectCause)cause));
        Assert.That(end.Detail, Is.EqualTo($"sent Close {code}: some rule (RFC 6455 section 5.2)"));
    }
}
