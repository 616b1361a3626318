using System.Text;
using HeartbeatServer.Options;
using HeartbeatServer.Probe;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Tests.Probe;

public sealed class ProbeRequestTests
{
    private static readonly ProbeUrl Url = new(IsTls: false, "example.com", 8080, "/ws?x=1");

    [Test]
    public void It_is_an_upgrade_that_our_own_server_takes()
    {
        var head = RequestHead.Read(Write(new ProbeOptions(Url)), out Refusal? refusal)!;

        Assert.That(refusal, Is.Null);
        Assert.That(Handshake.Check(head.Upgrade), Is.Null);
        Assert.That((head.Target, head.Host, head["User-Agent"], head["Origin"]), Is.EqualTo(("/ws?x=1", "example.com:8080", "probe/1", (string?)null)));
    }

    [Test]
    public void What_was_asked_for_stands_in_it()
    {
        var head = RequestHead.Read(
            Write(new ProbeOptions(Url)
            {
                Headers = [("Authorization", "Bearer x"), ("Host", "inner"), ("X-Two", "a"), ("X-Two", "b")],
                Subprotocols = ["mqtt", "graphql-transport-ws"],
                Origin = "https://app.example.com",
            }),
            out _)!;

        Assert.That((head.Host, head["Authorization"], head["X-Two"]), Is.EqualTo(("inner", "Bearer x", "a, b")));
        Assert.That((head["Sec-WebSocket-Protocol"], head["Origin"]), Is.EqualTo(("mqtt, graphql-transport-ws", "https://app.example.com")));
    }

    [Test]
    public void A_value_beyond_ASCII_goes_out_as_UTF_8() =>
        Assert.That(Encoding.UTF8.GetString(Write(new ProbeOptions(Url) { Headers = [("X-Name", "Zoë")] })), Does.Contain("X-Name: Zoë\r\n"));

    private static byte[] Write(ProbeOptions options) => ProbeRequest.Write(options, new byte[ProbeRequest.KeySize], "probe/1");
}
