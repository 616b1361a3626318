using HeartbeatServer.Framing;


namespace HeartbeatServer.Tests.Framing;

[TestFixture]
public sealed class CloseCodeTests
{
    [Test]
    public void Only_defined_and_private_codes_may_be_sent()
    {
        // The codes of RFC 6455 section 7.4.1 except 1004, 1005, 1006 and 1015, then 1012-1014 of the IANA registry, then section 7.4.2.
        int[] allowed =
        [
            1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, .. Enumerable.Range(3000, 2000),
        ];

        Assert.That(Enumerable.Range(0, 65536).Where(code => CloseCode.MayBeSent((ushort)code)), Is.EqualTo(allowed));
    }
}
