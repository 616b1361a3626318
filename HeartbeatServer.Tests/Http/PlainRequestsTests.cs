using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Http;

/// <summary>What only <see cref="HeartbeatServer.Http.PlainRequests"/> does with a request.</summary>
public sealed class PlainRequestsTests() : RequestSourceFixture(RequestsFrom.PlainLoop)
{
    /// <summary>HttpListener answers this request with 411 itself, and returns it all the same.</summary>
    [Test]
    public async Task What_HttpListener_has_answered_by_itself_is_not_handed_out()
    {
        Handle = _ => throw new InvalidOperationException("it was handed out");
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(Port);

        await peer.SendAsync("POST / HTTP/1.1\r\nHost: x\r\n\r\n");

        Assert.That((await peer.ReadReplyAsync()).Status, Is.EqualTo(411));
        Assert.That(await peer.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        Handle = AnswerOk;
        await RequestAsync(1);
        Assert.That(Log.Lines, Is.Empty);
    }
}
