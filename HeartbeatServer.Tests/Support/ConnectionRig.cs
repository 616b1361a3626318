using System.Net;
using HeartbeatServer.Connections;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;
using Serilog.Core;

namespace HeartbeatServer.Tests.Support;

/// <summary>One connection over a pipe in memory, under a clock that the test moves.</summary>
internal sealed class ConnectionRig : IAsyncDisposable
{
    private readonly Logger _logger;

    /// <param name="pingMs">Time between pings; 0 for none.</param>
    /// <param name="timeoutMs">Time for a pong; 0 to never judge.</param>
    /// <param name="maxMissed">Strikes before the end.</param>
    /// <param name="phase">Part of a beat before the first ping.</param>
    /// <param name="echo">Whether data comes back.</param>
    /// <param name="maxMessage">In bytes.</param>
    /// <param name="id">Of the connection.</param>
    /// <param name="table">With others in it; the connection enters.</param>
    public ConnectionRig(int pingMs = 2000, int timeoutMs = 500, int maxMissed = 3, double phase = 1, bool echo = true, int maxMessage = 1024 * 1024, long id = 7, ConnectionTable? table = null)
    {
        table ??= new ConnectionTable();
        var timings = new HeartbeatTimings(TimeSpan.FromMilliseconds(pingMs), TimeSpan.FromMilliseconds(timeoutMs), maxMissed);
        _logger = Log.Logger();
        Connection = new Connection(
            id,
            new IPEndPoint(IPAddress.Parse("192.0.2.1"), 50123),
            Pipe,
            new ConnectionContext(timings, echo, maxMessage, TimeSpan.FromSeconds(30), table.Buffers, new ServerLog(_logger), Metrics),
            phase,
            Clock.Wheel);
        table.Add(Connection);
        Running = Connection.RunAsync();
    }

    public TestClock Clock { get; } = new(TimeSpan.FromSeconds(2));
    public LogSink Log { get; } = new();
    public ServerMetrics Metrics { get; } = new();
    public PipeStream Pipe { get; } = new();
    public Connection Connection { get; }
    public Task<Disconnect> Running { get; }

    /// <summary>The cause, when the connection has ended.</summary>
    public async Task<DisconnectCause> CauseAsync() => (await Running.InTime()).Cause;

    /// <summary>Answers the last ping.</summary>
    public void Pong() => Pipe.Send(ClientFrames.Pong(Pipe.LastFrame(HeartbeatServer.Framing.Opcode.Ping).Payload));

    /// <summary>Ends the connection if it still lives, and sees that nothing of it is left.</summary>
    public async ValueTask DisposeAsync()
    {
        if (!Running.IsCompleted)
            Connection.Cut(new Disconnect(DisconnectCause.ServerShutdown, "end of the test"));
        await Running.InTime();
        Assert.That(Clock.Wheel.Count, Is.Zero, "entries left in the wheel");
        Assert.That(Pipe.Disposals, Is.Positive, "the stream is disposed of");
        Assert.That(Pipe.WritesOverlapped, Is.False, "two writes at once");
        await _logger.DisposeAsync();
        await Pipe.DisposeAsync();
    }
}
