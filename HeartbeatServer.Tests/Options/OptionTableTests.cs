using System.Text.Json;
using HeartbeatServer.Options;

namespace HeartbeatServer.Tests.Options;

public sealed class OptionTableTests
{
    private static readonly ServerOptions Others = new()
    {
        Port = 1,
        Host = "::1",
        Path = "/live",
        Ping = TimeSpan.FromSeconds(90),
        Timeout = TimeSpan.Zero,
        MaxMissed = 7,
        Upstream = new UpstreamUrl(new HostPort("app.example", 3000)),
        UpstreamTimeout = TimeSpan.FromSeconds(2),
        OnMessage = OnMessage.Discard,
        MaxMessage = 1500,
        MaxConnections = 5,
        MaxConnectionsPerIp = 2,
        HandshakeTimeout = TimeSpan.FromMilliseconds(100),
        WriteTimeout = TimeSpan.FromMilliseconds(100),
        MaxBuffered = 1024,
        Drain = TimeSpan.FromHours(1),
        Summary = TimeSpan.FromSeconds(1.5),
        Admin = new HostPort("::1", 9090),
        LogLevel = Serilog.Events.LogEventLevel.Debug,
        LogFormat = LogFormat.Json,
        PlainRequests = true,
    };

    [Test]
    public void Every_property_of_the_options_has_a_row_of_its_name() => Assert.That(
        OptionTable.Rows.Select(row => row.Name),
        Is.EquivalentTo(
            typeof(ServerOptions).GetProperties()
                .Where(property => property.CanWrite)
                .Select(property => "--" + JsonNamingPolicy.KebabCaseLower.ConvertName(property.Name))));

    [Test]
    public void What_a_row_writes_it_reads_back([Values] bool areDefaults)
    {
        ServerOptions options = areDefaults ? new ServerOptions() : Others;
        ServerOptions read = areDefaults ? Others : new ServerOptions();

        foreach (OptionRow row in OptionTable.Rows.Where(row => !row.IsList))
            read = row.Read(row.Name, [row.Write(options)], complaint => Assert.Fail(complaint))!(read);

        Assert.That(read, Is.EqualTo(options));
    }

    [Test]
    public void A_hidden_option_is_shown_in_the_status_only_where_it_is_set()
    {
        Assert.That(OptionTable.Texts(new ServerOptions()), Does.Not.ContainKey("plain-requests"));
        Assert.That(OptionTable.Texts(Others)["plain-requests"], Is.EqualTo("true"));
    }
}
