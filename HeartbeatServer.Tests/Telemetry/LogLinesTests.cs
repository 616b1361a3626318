using System.Net;
using System.Text.RegularExpressions;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;
using Serilog.Core;
using Serilog.Events;

namespace HeartbeatServer.Tests.Telemetry;

/// <summary>docs/reference.md has every event of the log with its level and its properties.</summary>
internal sealed partial class LogLinesTests
{
    private static readonly ClientInfo Browser = new("/ws", "Mozilla/5.0", "https://app.example.com", "chat");

    [Test]
    public void The_reference_has_each_event_with_its_levels()
    {
        IEnumerable<string> lines = LogLines.All
            .GroupBy(line => line.Name)
            .Select(lines => $"{lines.Key}: {string.Join(", ", lines.Select(line => line.Level).Distinct().Order())}".ToLowerInvariant());

        Assert.That(Reference().Select(row => $"{row.Event}: {row.Levels}"), Is.EquivalentTo(lines));
    }

    [Test]
    public void The_reference_has_each_property_that_is_logged_and_no_other()
    {
        IEnumerable<string> logged = EveryLine()
            .GroupBy(line => (string)line.Value("event")!)
            .Select(lines => $"{lines.Key}: {string.Join(", ", lines.SelectMany(PropertiesInJson).Distinct().Order())}");

        Assert.That(
            Reference().Select(row => $"{row.Event}: {string.Join(", ", row.Properties.Order())}"), Is.EquivalentTo(logged));
    }

    [Test]
    public void No_line_shows_the_name_of_a_property_in_place_of_its_value() =>
        Assert.That(EveryLine().Select(LogSink.Line), Has.None.Match("[{}]"));

    private static IEnumerable<string> PropertiesInJson(LogEvent line) =>
        line.Properties.Where(property => property.Key != "event" && property.Value is not ScalarValue { Value: TextOnly }).Select(property => property.Key);

    /// <summary>Every line that there is, with every property that it can have.</summary>
    private static IReadOnlyList<LogEvent> EveryLine()
    {
        var direct = new IPEndPoint(IPAddress.Loopback, 5);
        var forwarded = new ForwardedEndPoint(IPAddress.Loopback, direct);
        var bug = new InvalidOperationException("a bug");
        var times = new RoundTrips();
        times.Add(TimeSpan.FromMilliseconds(1));
        var end = new Disconnect(DisconnectCause.PongTimeout, "silent", Verdict: PathVerdict.PathDead, Tcp: new TcpInfo());
        var leg = new UpstreamFigures("10.0.0.5:3000", TimeSpan.Zero, 0, 0, TimeSpan.Zero, NotReadFor: TimeSpan.Zero, IsInsideFrame: false, TimeSpan.Zero);
        var figures = new ConnectionFigures { RoundTrips = times, Upstream = leg };
        var refusal = new Refusal(RefusalReason.IpLimit, "no");
        var sink = new LogSink();
        using Logger logger = sink.Logger();
        var log = new ServerLog(logger);

        log.Listening("ws://x", "http://x", "http://app", "a ping", "a drain");
        log.UnknownVariable("HEARTBEAT_X", "HEARTBEAT_Y");
        log.ServiceLinks(["HEARTBEAT_PORT"]);
        log.InternalsGone("a runtime", "a field");
        log.TooFewFiles(2, 1);
        log.NoRoom(1, 2, 3, 4);
        log.CannotAccept(1, System.Net.Sockets.SocketError.TooManyOpenSockets);
        log.RoomAgain(1);
        log.BeatLate(TimeSpan.Zero, TimeSpan.Zero, TimeSpan.Zero, 0);
        log.Draining("SIGTERM", 1, TimeSpan.Zero);
        log.CuttingRest(1);
        log.Summary(new ServerMetrics(), 0, TimeSpan.Zero, []);
        log.Why("events", "A sentence.");
        log.Stopped();
        log.LinesDropped(1);
        DateTime now = DateTime.UtcNow;
        foreach ((int from, int to) in new[] { (-1, 13), (-20, -1), (1, 20) })
            log.CertificateDates(["localhost"], new Validity(now.AddDays(from), now.AddDays(to)), "a file");
        log.CertificateTaken(["localhost"], new Validity(now, now), "a file");
        log.CertificateRejected("a file", "another file", "a fault", new Validity(now, now));
        log.KeyExposed("a file");
        log.UpstreamInsecure("https://x");
        log.AdminListening("http://x");
        log.AdminExposed("*:1");
        log.RequestFailed(bug);
        log.RequestGone(bug);
        log.AcceptFailed(bug);
        log.PingSent(1, 1);
        log.PongReceived(1, TimeSpan.Zero);
        log.PongReceived(1, null);
        log.ConnectionFailed(1, bug);
        log.LoopFailed(bug);
        log.Survived(bug);
        log.ChoreFailed(bug);
        log.ProxyHeadersDisagree(direct);
        log.AdminSlow(direct);
        foreach (EndPoint remote in new EndPoint[] { direct, forwarded })
        {
            log.Page(remote, "GET", "/x", 200, 5, failure: null);
            log.Page(remote, "GET", "/x", 200, 5, new Refusal(RefusalReason.ClientGone, "text"));
            log.Page(remote, "GET", "/x", 200, 5, new Refusal(RefusalReason.UpstreamBadAnswer, "text"));
            log.UpgradeFailed(remote, bug);
            log.Connected(1, remote, Browser, 1);
            log.LatePong(1, remote, TimeSpan.Zero, 1);
            log.FirstPong(1, remote, TimeSpan.Zero);
            log.InTimeAgain(1, remote, TimeSpan.Zero);
            log.Suspect(1, remote, 1, 1, TimeSpan.Zero, TimeSpan.Zero);
            log.AliveAgain(1, remote, 1);
            log.Ended(1, remote, Browser, end, figures);
            log.Refused(remote, "GET", "/", refusal);
            log.LimitReached("--option", remote, refusal);
            log.RequestRejected(remote, refusal);
            log.AdminRejected(remote, refusal);
        }
        log.RelayFails(1, refusal);
        log.RelayWorks(1, TimeSpan.Zero);

        using Logger usual = sink.Logger(LogEventLevel.Information);
        var limited = new ServerLog(usual);
        for (int i = 0; i <= LineLimit.MostInASecond; i++)
            limited.Refused(direct, "GET", "/", refusal);
        limited.Flush();
        return sink.Events;
    }

    /// <summary>The rows of the table of events.</summary>
    private static IReadOnlyList<(string Event, string Levels, string[] Properties)> Reference()
    {
        string page = File.ReadAllText(Repository.File("docs/reference.md"));
        string section = page[page.IndexOf("## The lines of the log", StringComparison.Ordinal)..];
        section = section[..section.IndexOf("\n## ", 3, StringComparison.Ordinal)];
        // Three properties say who a client is; the table names them once.
        return
        [
            .. Row().Matches(section).Select(row => (
                row.Groups["event"].Value,
                row.Groups["levels"].Value,
                Word().Matches(row.Groups["properties"].Value).SelectMany(word => Spread(word.Groups[1].Value)).ToArray())),
        ];
    }

    private static string[] Spread(string property) => property == "remote_*" ? ["remote_address", "remote_port", "proxy_address", "proxy_port"] : [property];

    [GeneratedRegex(@"^\| `(?<event>\w+)` \| (?<levels>[a-z, ]+) \| [^|]* \|(?<properties>[^|]*)\|$", RegexOptions.Multiline)]
    private static partial Regex Row();

    [GeneratedRegex(@"`([\w*]+)`")]
    private static partial Regex Word();
}
