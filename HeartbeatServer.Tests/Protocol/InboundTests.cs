using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Protocol;

[TestFixture]
public sealed class InboundTests
{
    [Test]
    public void The_payload_is_the_part_of_the_buffer_that_it_names() =>
        Assert.That(new Inbound(Opcode.Text, [1, 2, 3, 4, 5], 1, 3).Payload.ToArray(), Is.EqualTo(new byte[] { 2, 3, 4 }));

    [Test]
    public void A_close_tells_its_code_and_reason()
    {
        byte[] body = ClientFrames.CloseBody(4001, "grüße"u8);

        var close = new Inbound(Opcode.Close, [0xFF, .. body], 1, body.Length);

        Assert.That((close.Code, close.Reason), Is.EqualTo(((ushort)4001, "grüße")));
    }

    [Test]
    public void A_close_may_have_a_code_alone()
    {
        var close = new Inbound(Opcode.Close, [0x03, 0xE8], 0, 2);

        Assert.That((close.Code, close.Reason), Is.EqualTo(((ushort)1000, "")));
    }

    [Test]
    public void A_close_without_a_body_has_no_status_and_no_reason()
    {
        var close = new Inbound(Opcode.Close, [], 0, 0);

        Assert.That((close.Code, close.Reason), Is.EqualTo((CloseCode.NoStatus, "")));
    }
}
