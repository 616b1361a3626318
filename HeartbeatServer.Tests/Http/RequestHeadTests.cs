using System.Net;
using System.Net.Sockets;
using System.Text;
using HeartbeatServer.Engine;
using HeartbeatServer.Http;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Http;

/// <summary>Where a head ends. HttpListener decides when a request is complete, so both have to find the same end.</summary>
public sealed class RequestHeadTests
{
    private static readonly string[] Heads =
    [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\nHost: x\n\n",
        "GET / HTTP/1.1\r\nHost: x\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\n\r\n\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\r\n",
        "GET / HT\rTP/1.1\r\nHo\rst: x\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n",
    ];

    private static readonly string[] Rests = ["", "\r\n", "abc", "\n\n\n", "GET / HTTP/1.1\r\n\r\n"];

    [Test]
    public void The_head_ends_with_the_empty_line_after_the_request_line(
        [ValueSource(nameof(Heads))] string head, [ValueSource(nameof(Rests))] string rest) =>
        Assert.That(RequestHead.Length(Encoding.ASCII.GetBytes(head + rest)), Is.EqualTo(head.Length));

    [TestCase("")]
    [TestCase("\r\n\r\n")]
    [TestCase("GET / HTTP/1.1")]
    [TestCase("GET / HTTP/1.1\r\n")]
    [TestCase("GET / HTTP/1.1\r\nHost: x\r\n\r")]
    public void Without_an_end_all_is_head(string received) =>
        Assert.That(RequestHead.Length(Encoding.ASCII.GetBytes(received)), Is.EqualTo(received.Length));

    [Test]
    [Platform("Linux")]
    [Category(Categories.HttpPort)]
    public async Task HttpListener_finds_the_same_end(
        [ValueSource(nameof(Heads))] string head, [ValueSource(nameof(Rests))] string rest, [Values] bool inPieces)
    {
        using var listener = new HttpListener();
        listener.Start();
        using var loop = new EventLoop(new TestClock().Wheel);
        loop.Start();
        (Socket peer, Socket accepted) = SocketPair.Connect();
        using Socket client = peer;
        var complete = new TaskCompletionSource();
        await using var stream = new RequestStream(loop.Attach(accepted), outcome => _ = outcome == ReadOutcome.Complete && complete.TrySetResult());
        HttpEndPoint endPoint = HttpEndPoint.WithoutSocket(listener, ((IPEndPoint)accepted.LocalEndPoint!).Port);
        var reader = new HttpConnection(stream, endPoint);
        stream.Reader = reader;

        reader.BeginReadRequest();
        if (inPieces)
        {
            foreach (char next in head[..^1])
            {
                peer.Send([(byte)next]);
                await Safety.UntilAsync(() => accepted.Available == 0, "that it is read");
            }
            peer.Send(Encoding.ASCII.GetBytes(head[^1..] + rest));
        }
        else
        {
            peer.Send(Encoding.ASCII.GetBytes(head + rest));
        }
        await complete.Task.InTime();

        Assert.That(Encoding.ASCII.GetString(stream.Received.Span), Is.EqualTo(head + rest));
        Assert.That(stream.Received[RequestHead.Length(stream.Received.Span)..].ToArray(), Is.EqualTo(reader.ReadTooEarly.ToArray()));
        reader.Forget();
        endPoint.Close();
    }
}
