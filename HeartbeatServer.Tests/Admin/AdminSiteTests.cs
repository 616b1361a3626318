using System.Diagnostics.Metrics;
using System.Net;
using System.Net.Sockets;
using HeartbeatServer.Admin;
using HeartbeatServer.Connections;
using HeartbeatServer.Engine;
using HeartbeatServer.Hosting;
using HeartbeatServer.Options;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;
using Serilog.Core;

namespace HeartbeatServer.Tests.Admin;

/// <summary>What <c>--admin</c> adds to a server, and that <c>--admin off</c> adds nothing.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class AdminSiteTests
{
    private readonly CountingTime _time = new();
    private readonly LogSink _log = new();
    private readonly ServerMetrics _metrics = new();
    private readonly ConnectionTable _table = new();
    private Logger _logger = null!;
    private EventLoops _loops = null!;

    [SetUp]
    public void SetUp()
    {
        _logger = _log.Logger();
        _loops = new EventLoops(() => new TimingWheel(_time, TimeSpan.FromSeconds(10)), count: 1);
    }

    [TearDown]
    public void TearDown()
    {
        _loops.Dispose();
        _metrics.Dispose();
        _logger.Dispose();
    }

    [Test]
    public async Task Switched_off_it_opens_no_port_listens_to_no_meter_and_samples_nothing()
    {
        Counter<int> counter = _metrics.Meter.CreateCounter<int>("test");
        await using AdminSite site = Site(null);

        site.Start(() => ServerState.Serving);

        Assert.That(counter.Enabled, Is.False, "no /metrics");
        Assert.That(_time.Timers, Is.Zero, "no history");
        Assert.That(_log.Lines, Is.Empty, "no listener");
    }

    [Test]
    public async Task Switched_on_it_listens_until_it_is_disposed_of()
    {
        Counter<int> counter = _metrics.Meter.CreateCounter<int>("test");
        var address = new HostPort("127.0.0.1", ServerFixture.FreePort());
        await using (AdminSite site = Site(address))
        {
            site.Start(() => ServerState.Serving);

            Assert.That(counter.Enabled, Is.True);
            Assert.That(_time.Timers, Is.EqualTo(1));
            Assert.That(_log.Containing("Dashboard on"), Has.Count.EqualTo(1));
            using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(address.Port);
        }

        Assert.That(counter.Enabled, Is.False);
        using var client = new TcpClient();
        await Assert.ThatAsync(async () => await client.ConnectAsync(IPAddress.Loopback, address.Port), Throws.InstanceOf<SocketException>());
    }

    [Test]
    public async Task A_port_in_use_is_named_with_its_option()
    {
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        int port = ((IPEndPoint)taken.LocalEndpoint).Port;
        await using AdminSite site = Site(new HostPort("127.0.0.1", port));

        var error = Assert.Throws<StartupException>(() => site.Start(() => ServerState.Serving));

        Assert.That(error!.Message, Does.StartWith($"--admin 127.0.0.1:{port}: port {port} is in use."));
        Assert.That(_log.Lines, Is.Empty, "nothing is announced that does not listen");
        Assert.That(_time.Timers, Is.Zero);
    }

    private AdminSite Site(HostPort? address)
    {
        var context = new ServerContext(
            new ServerOptions { Admin = address }, _time, _loops, _table, _metrics, new EndLog(_time), new ServerLog(_logger));
        return new AdminSite(context, new WhyWatch(context.Ends, _metrics.Suspects, TimeSpan.Zero, _time, context.Log));
    }

    /// <summary>The system's clock, which also counts the timers that it has made.</summary>
    private sealed class CountingTime : TimeProvider
    {
        public int Timers { get; private set; }

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            Timers++;
            return base.CreateTimer(callback, state, dueTime, period);
        }
    }
}
