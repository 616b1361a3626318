using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Net.WebSockets;
using HeartbeatServer.Admin;
using HeartbeatServer.Connections;
using HeartbeatServer.Engine;
using HeartbeatServer.Hosting;
using HeartbeatServer.Options;
using HeartbeatServer.Telemetry;
using Serilog;
using Serilog.Core;
using Serilog.Events;

namespace HeartbeatServer.Tests.Support;

/// <summary>A real server on a free port of the loopback interface, under a clock that the test moves.</summary>
internal sealed class ServerFixture : IAsyncDisposable
{
    private readonly Logger _logger;

    private ServerFixture(ServerOptions options, Func<ILogger, ILogger> logger, RequestsFrom source)
    {
        Options = options;
        Table = new ConnectionTable(options.MaxBuffered == 0 ? long.MaxValue : options.MaxBuffered);
        _logger = Log.Logger();
        Loops = new EventLoops(() => Clock.Wheel, count: 1, epoll: source == RequestsFrom.HttpPort);
        Context = new ServerContext(
            options, Clock.Time, Loops, Table, Metrics, new EndLog(Clock.Time), new ServerLog(logger(_logger), Clock.Time))
        {
            Certificate = options.HasTls
                ? new CertificateStore(options.TlsCert!, options.TlsKey!, Clock.Time, new ServerLog(_logger, Clock.Time))
                : null,
        };
        Why = new WhyWatch(Context.Ends, Metrics.Suspects, options.Ping, Clock.Time, Context.Log);
        Admin = new AdminSite(Context, Why);
        Drain = new Drain(Table, options.Drain, Clock.Time, Context.Log);
        Server = new Server(Context, Drain);
        Server.Start();
        Loops.Start();
    }

    public ServerOptions Options { get; }
    public TestClock Clock { get; } = new();
    public LogSink Log { get; } = new();
    public ServerMetrics Metrics { get; } = new();
    public ConnectionTable Table { get; }
    public ServerContext Context { get; }
    public Drain Drain { get; }
    public WhyWatch Why { get; }
    public Server Server { get; }

    /// <summary>The admin site, which this fixture does not start. <see cref="AdminFixture"/> does.</summary>
    public AdminSite Admin { get; }

    /// <summary>The event loops. Their sockets are real, and their wheel turns when the test moves the clock.</summary>
    public EventLoops Loops { get; }
    public int Port => Options.Port;
    public Uri Url => new($"ws://127.0.0.1:{Port}{Options.Path}");

    /// <param name="configure">Changes the default options.</param>
    /// <param name="logger">Wraps the log in another logger.</param>
    /// <param name="source">Where the requests of the server come from.</param>
    public static ServerFixture Start(
        Func<ServerOptions, ServerOptions>? configure = null, Func<ILogger, ILogger>? logger = null, RequestsFrom source = RequestsFrom.HttpPort)
    {
        while (true)
        {
            var options = new ServerOptions { Host = "127.0.0.1", Port = FreePort() };
            try
            {
                return new ServerFixture(configure?.Invoke(options) ?? options, logger ?? (log => log), source);
            }
            catch (StartupException e) when (IsPortTaken(e))
            {
                // Another program was faster. The fixture tries another port.
            }
        }
    }

    /// <summary>Whether somebody else bound a port between <see cref="FreePort"/> and the start.</summary>
    public static bool IsPortTaken(StartupException error) => error.InnerException is HttpListenerException { ErrorCode: 98 or 48 or 10048 or 32 or 183 };

    public static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    public Task<ScriptedPeer> UpgradedPeerAsync() => ScriptedPeer.UpgradedAsync(Port, Options.Path, Options.HasTls);

    public async Task<ClientWebSocket> ClientAsync()
    {
        var client = new ClientWebSocket();
        client.Options.KeepAliveInterval = TimeSpan.Zero;
        await client.ConnectAsync(Url, CancellationToken.None).InTime();
        return client;
    }

    /// <summary>Sends a request on a new connection.</summary>
    public async Task<HttpReply> RequestAsync(string request, bool hasBody = true)
    {
        using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(Port);
        await peer.SendAsync(request);
        return await peer.ReadReplyAsync(hasBody);
    }

    /// <summary>Waits for the only connection. A client gets its 101 a little before the connection enters the table.</summary>
    public async Task<Connection> ConnectionAsync()
    {
        await Safety.UntilAsync(() => Table.Count == 1, "one connection");
        return Table.Open.Single();
    }

    /// <summary>Moves the clock on, tick by tick, until a ping with this number was written.</summary>
    public async Task AdvanceToPingAsync(ulong number)
    {
        Connection connection = await ConnectionAsync();
        while (connection.Figures().Pings < number)
            Clock.Advance(TimingWheel.Tick);
    }

    /// <summary>Waits for the log line of a connection's end.</summary>
    public Task<LogEvent> EndedAsync(int count = 1) => Log.WithAsync(" ended: ", count);

    /// <summary>Moves the clock on until a fact is true, however long the threads of the server need.</summary>
    public async Task AdvanceUntilAsync(Func<bool> fact, string what, TimeSpan step) => await Safety.UntilAsync(
        () =>
        {
            if (!fact())
                Clock.Advance(step);
            return fact();
        },
        what);

    /// <summary>Checks that nothing is left after the clients have ended: no connection, no entry in the wheel, no socket, no task.</summary>
    public async ValueTask DisposeAsync()
    {
        // A client that has gone right after its 101 may come into the table only now.
        await Safety.UntilAsync(() => Table.Count == 0 && !Table.Open.Any(), "an empty table");
        await Safety.UntilAsync(() => Clock.Wheel.Count == 0, "an empty wheel");
        await Server.DisposeAsync().AsTask().InTime();
        await Safety.UntilAsync(() => OpenSockets() == 0, "no open socket of the server");
        await Task.Run(async () => await Admin.DisposeAsync()).InTime();
        Loops.Dispose();
        Metrics.Dispose();
        await _logger.DisposeAsync();
    }

    /// <summary>Reads from the kernel's own table which sockets on the server's port a process still holds (Linux only).</summary>
    private int OpenSockets()
    {
        string local = $":{Port.ToString("X4", CultureInfo.InvariantCulture)}";
        return new[] { "/proc/self/net/tcp", "/proc/self/net/tcp6" }
            .Where(File.Exists)
            .SelectMany(table => File.ReadLines(table).Skip(1))
            .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Count(fields => fields[1].EndsWith(local, StringComparison.Ordinal) && fields[9] != "0");
    }
}
