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

    /// <param name="pingMs">The time between two pings in milliseconds; 0 for no pings.</param>
    /// <param name="timeoutMs">The time for a pong in milliseconds; 0 for no limit.</param>
    /// <param name="maxMissed">After how many strikes in a row the connection ends.</param>
    /// <param name="phase">0 to 1: which part of the time between two pings passes before the first one.</param>
    /// <param name="echo">Whether the connection sends data messages back.</param>
    /// <param name="maxMessage">The longest message in bytes.</param>
    /// <param name="id">The number of the connection.</param>
    /// <param name="table">A table with other connections, which this one enters.</param>
    public ConnectionRig(int pingMs = 2000, int timeoutMs = 500, int maxMissed = 3, double phase = 1, bool echo = true, int maxMessage = 1024 * 1024, long id = 7, ConnectionTable? table = null)
    {
        table ??= new ConnectionTable();
        var timings = new HeartbeatTimings(TimeSpan.FromMilliseconds(pingMs), TimeSpan.FromMilliseconds(timeoutMs), maxMissed);
        _logger = Log.Logger();
        Connection = new EchoConnection(
            id,
            new IPEndPoint(IPAddress.Parse("192.0.2.1"), 50123),
            Pipe,
            new ConnectionContext(timings, echo, maxMessage, TimeSpan.FromSeconds(30), table.Buffers, new ServerLog(_logger, Clock.Time), Metrics),
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

    /// <summary>The end of the connection, as soon as it has ended.</summary>
    public async Task<DisconnectCause> CauseAsync() => (await Running.InTime()).Cause;

    /// <summary>Answers the last ping.</summary>
    public void Pong() => Pipe.Send(ClientFrames.Pong(Pipe.LastFrame(HeartbeatServer.Framing.Opcode.Ping).Payload));

    /// <summary>Ends the connection if it is still open, and checks that nothing of it is left.</summary>
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
