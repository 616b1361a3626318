using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text;
using HeartbeatServer.Engine;
using HeartbeatServer.Http;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Http;

/// <summary>What the server does inside HttpListener, and how it starts when a runtime has changed these members.</summary>
[Platform("Linux")]
public sealed class HttpListenerInternalsTests
{
    private static readonly InternalMember[] Nothing = [];
    private static readonly InternalMember[] TwoGone =
        [new("HttpConnection._socket", true), new("HttpConnection._stream", false), new("HttpConnection.Unbind", false)];

    private LogSink _log = null!;

    [SetUp]
    public void SetUp() => _log = new LogSink();

    [Test]
    public void This_runtime_has_what_is_needed()
    {
        Assert.That(Choose(HttpListenerInternals.OfThisRuntime(), plain: false), Is.EqualTo((true, (string?)null)));
        Assert.That(Choose(HttpListenerInternals.OfThisRuntime(), plain: true), Is.EqualTo((false, (string?)null)));
        Assert.That(HttpListenerInternals.HasEndPoint, Is.True);
        Assert.That(_log.Lines, Is.Empty);
    }

    [Test]
    public void When_HttpPort_lacks_a_member_the_plain_loop_does_it_with_a_warning()
    {
        Assert.That(Choose(new HttpListenerInternals(TwoGone, Nothing), plain: false), Is.EqualTo((false, (string?)null)));

        Assert.That(_log.Lines.Single(), Does.StartWith("Warning").And.Contain("HttpConnection._stream, HttpConnection.Unbind are gone"));
    }

    [Test]
    public void Who_asked_for_the_plain_loop_is_not_warned()
    {
        Assert.That(Choose(new HttpListenerInternals(TwoGone, Nothing), plain: true), Is.EqualTo((false, (string?)null)));

        Assert.That(_log.Lines, Is.Empty);
    }

    [Test]
    public void When_an_upgrade_lacks_a_member_as_well_the_server_cannot_start()
    {
        (bool _, string? error) = Choose(new HttpListenerInternals(TwoGone, TwoGone[1..2]), plain: false);

        Assert.That(error, Does.Contain("has changed inside HttpListener: HttpConnection._stream is gone. This build of the server needs .NET 10"));
        Assert.That(_log.Lines, Is.Empty);
    }

    /// <summary>
    /// Checks that HttpListener keeps nothing of a connection that the server has accepted. What it kept would stay as long as the process.
    /// </summary>
    [TestCase("GET / HTTP/1.1\r\nHost: x\r\n\r\n", true)]
    [TestCase("POST / HTTP/1.1\r\nHost: x\r\n\r\n", false)]
    [TestCase("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", false)]
    [TestCase("GARBAGE\r\n\r\n", false)]
    public async Task HttpListener_keeps_nothing_of_a_request_that_was_taken_or_that_it_answered(string request, bool isComplete)
    {
        using var listener = new HttpListener { IgnoreWriteExceptions = true };
        listener.Start();
        using var loop = new EventLoop(new TestClock().Wheel);
        loop.Start();
        (Socket peer, Socket accepted) = SocketPair.Connect();
        using Socket client = peer;
        await using var stream = new RequestStream(loop.Attach(accepted), accepted, Encoding.ASCII.GetBytes(request));
        HttpEndPoint endPoint = HttpEndPoint.WithoutSocket(listener, ((IPEndPoint)accepted.LocalEndPoint!).Port);
        var reader = new HttpConnection(stream, endPoint);

        reader.BeginReadRequest();

        Assert.That(!stream.IsAskedForMore && !reader.IsClosed, Is.EqualTo(isComplete));
        if (isComplete)
            Assert.That(reader.TakeRequest().Request.HttpMethod, Is.EqualTo("GET"));
        else
            reader.Forget();

        Assert.That((Requests(listener).Count, Queue(listener).Count), Is.EqualTo((0, 0)));
        Assert.That(reader.IsClosed, Is.EqualTo(!isComplete));
        endPoint.Close();
    }

    /// <summary>
    /// If two epoll instances watched the socket, everything would still work, but the framework's thread would wake up for every byte, too.
    /// </summary>
    [Test]
    [Category(Categories.HttpPort)]
    public async Task The_socket_is_watched_by_our_event_loop_and_no_longer_by_the_framework()
    {
        await using ServerFixture server = ServerFixture.Start();
        using ScriptedPeer peer = await server.UpgradedPeerAsync();
        await server.ConnectionAsync();

        int[] watched = [.. WatchedBy(await DescriptorAsync(server.Port, ((IPEndPoint)peer.Address).Port))];

        Assert.That(watched, Has.Length.EqualTo(1));
        peer.SendFin();
        await server.EndedAsync();
    }

    private (bool Epoll, string? Error) Choose(HttpListenerInternals internals, bool plain)
    {
        using Serilog.Core.Logger logger = _log.Logger();
        string? error = internals.Choose(plain, new ServerLog(logger), out bool epoll);
        return (epoll, error);
    }

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_listenerContexts")]
    private static extern ref Dictionary<HttpListenerContext, HttpListenerContext> Requests(HttpListener listener);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_contextQueue")]
    private static extern ref List<HttpListenerContext> Queue(HttpListener listener);

    /// <summary>The descriptors of this process's epoll instances that watch the given descriptor.</summary>
    private static IEnumerable<int> WatchedBy(int descriptor)
    {
        foreach (string file in Directory.EnumerateFiles("/proc/self/fdinfo"))
        {
            string[] lines;
            try
            {
                lines = File.ReadAllLines(file);
            }
            catch (IOException)
            {
                continue; // another thread has closed this descriptor meanwhile
            }
            foreach (string line in lines.Where(line => line.StartsWith("tfd:", StringComparison.Ordinal)))
            {
                if (Number(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]) == descriptor)
                    yield return Number(Path.GetFileName(file));
            }
        }
    }

    /// <summary>The descriptor of the server's end of a connection, found by the two ports.</summary>
    private static async Task<int> DescriptorAsync(int server, int client)
    {
        string ends = $":{Hex(server)} 0100007F:{Hex(client)} ";
        string line = (await File.ReadAllLinesAsync("/proc/self/net/tcp")).Single(line => line.Contains(ends, StringComparison.Ordinal));
        string inode = line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[9];
        return Directory.EnumerateFiles("/proc/self/fd")
            .Where(file => File.ResolveLinkTarget(file, returnFinalTarget: false)?.Name == $"socket:[{inode}]")
            .Select(file => Number(Path.GetFileName(file)))
            .Single();
    }

    private static string Hex(int port) => port.ToString("X4", CultureInfo.InvariantCulture);

    private static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);
}
