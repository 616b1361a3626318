using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Http;

/// <summary>What only <see cref="HeartbeatServer.Http.HttpPort"/> does with a request.</summary>
[Category(Categories.HttpPort)]
[Platform("Linux")]
public sealed class HttpPortRequestTests() : RequestSourceFixture(RequestsFrom.HttpPort)
{
    /// <summary>HttpListener alone would answer some of these requests itself, and then let the handler answer them again.</summary>
    [TestCase("POST / HTTP/1.1\r\nHost: x\r\n\r\n")]
    [TestCase("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: nonsense\r\n\r\n")]
    [TestCase("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n")]
    [TestCase("GET / HTTP/1.1\r\nHost:\r\n\r\n")]
    [TestCase("GET http://[::1]/ws?a HTTP/1.1\r\nHost: x\r\n\r\n")]
    [TestCase("GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n")]
    [TestCase("GET /ws HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n")]
    [TestCase("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")]
    [TestCase("CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n")]
    public async Task One_request_is_one_response(string bytes)
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(Port);

        await peer.SendAsync(bytes);

        Assert.That((await peer.ReadReplyAsync()).Status, Is.EqualTo(200));
        Assert.That(await peer.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        Assert.That(Log.Lines, Is.Empty);
    }
}
