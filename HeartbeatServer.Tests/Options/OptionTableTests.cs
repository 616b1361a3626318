using System.Text.Json;
using System.Text.RegularExpressions;
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

    /// <summary>What the messages about values that no option takes give as examples.</summary>
    private static IEnumerable<TestCaseData> Examples() =>
        from row in OptionTable.Rows
        from bad in new[] { "?!", "1ns", "http://", "-1" }
        let message = Message(row, bad)
        where message.Contains("such as ", StringComparison.Ordinal)
        from example in Regex.Split(message[(message.LastIndexOf("such as ", StringComparison.Ordinal) + 8)..].TrimEnd('.'), ", or | or |, ")
        select new TestCaseData(row, example).SetArgDisplayNames(row.Name, bad, example);

    [TestCaseSource(nameof(Examples))]
    public void An_example_in_a_message_is_one_that_the_option_takes(object row, string example) =>
        Assert.That(Message((OptionRow)row, example), Is.Empty);

    [TestCase("--summary", "10ms", "a duration from 1s to 24h, or 0, such as 10s, 1m30s or 2h.")]
    [TestCase("--max-message", "1TB", "a size from 1B to 1GiB, or 0 with --upstream, such as 65536, 64KiB, 1MiB or 1MB.")]
    public void The_examples_are_those_that_the_rule_takes(string option, string bad, string accepted) => Assert.That(
        Message(OptionTable.Rows.Single(row => row.Name == option), bad), Is.EqualTo($"{option}: '{bad}' is not {accepted}"));

    [TestCase(null, null, 100)]
    [TestCase(null, "80", 80)]
    [TestCase(null, "wide", 100)]
    [TestCase(null, "9", 60)]
    [TestCase(80, "120", 79)]
    [TestCase(400, null, 130)]
    public void The_help_is_as_wide_as_its_output(int? terminal, string? columns, int width) => Assert.That(PrintHelp.Width(terminal, columns), Is.EqualTo(width));

    private static string Message(OptionRow row, string value)
    {
        string message = "";
        row.Read(row.Name, [value], complaint => message = complaint);
        return message;
    }

    [Test]
    public void A_hidden_option_is_shown_in_the_status_only_where_it_is_set()
    {
        Assert.That(OptionTable.Texts(new ServerOptions()), Does.Not.ContainKey("plain-requests"));
        Assert.That(OptionTable.Texts(Others)["plain-requests"], Is.EqualTo("true"));
    }
}
