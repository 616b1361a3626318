using System.Net;
using System.Text.Json;
using HeartbeatServer.Options;
using HeartbeatServer.Probe;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Probe;

/// <summary>The JSON is for programs: docs/probe.md has its fields, and they stay.</summary>
public sealed class ProbeReportTests
{
    private const string Secret = "s3cr3t-of-mine";

    private static readonly ProbeOptions Options = new(new ProbeUrl(IsTls: false, "host", 80, $"/ws?key={Secret}"))
    {
        Headers = [("Authorization", $"Bearer {Secret}"), ("Cookie", $"sid={Secret}")],
    };

    [Test]
    public void Every_field_stands_on_the_page_of_the_probe()
    {
        string page = File.ReadAllText(Repository.File("docs/probe.md"));

        foreach (string name in Names(Json().RootElement))
            Assert.That(page, Does.Contain($"`{name}`"));
    }

    [Test]
    public void What_was_given_is_not_in_it_even_where_the_server_repeats_it() =>
        Assert.That(Json().RootElement.GetRawText(), Does.Not.Contain(Secret).And.Contain("ws://host/ws?***").And.Contain("no such key: ***"));

    [Test]
    public void The_verdict_has_its_figures()
    {
        JsonElement json = Json().RootElement;
        JsonElement verdict = json.GetProperty("verdict");

        Assert.That(
            (verdict.GetProperty("kind").GetString(), verdict.GetProperty("seconds").GetDouble(), verdict.GetProperty("end").GetString()),
            Is.EqualTo(("silence", 60.0, "close")));
        Assert.That(verdict.GetProperty("candidates").EnumerateArray().Select(each => each.GetString()), Does.Contain("nginx"));
        Assert.That(json.GetProperty("connections").EnumerateArray().Select(each => each.GetProperty("role").GetString()).Distinct(), Is.EquivalentTo(new[] { "control", "silent", "ladder" }));
        Assert.That(json.GetProperty("handshake").GetProperty("way").EnumerateArray().Single().GetProperty("value").GetString(), Is.EqualTo("gate/1"));
    }

    private static JsonDocument Json()
    {
        var path = new SimulatedPath { Idle = TimeSpan.FromSeconds(60), End = new ProbeEnd(EndKind.Close, 4001, $"no such key: {Secret}") };
        Verdict verdict = path.Run();
        var dialed = new Dialed
        {
            Address = new IPEndPoint(IPAddress.Loopback, 80),
            Head = new AnswerHead(1, 101, "", new FieldLines([("Server", "gate/1"), ("X-Echo", Secret)])),
        };
        var report = new ProbeReport(Options, "0.0", DateTime.UnixEpoch, new Secrets(Options))
        {
            Dialed = dialed,
            PingsSent = 5,
            Connections = path.Campaign.All,
            Verdict = verdict,
            Sentence = path.Say(verdict),
            Notes = VerdictText.Notes(verdict, path.Campaign, isInterrupted: false),
        };
        return JsonDocument.Parse(JsonSerializer.Serialize(report.ToJson(path.Took, 3), ProbeJsonContext.Plain.ProbeJson));
    }

    private static IEnumerable<string> Names(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Object => element.EnumerateObject().SelectMany(property => Names(property.Value).Prepend(property.Name)),
        JsonValueKind.Array => element.EnumerateArray().SelectMany(Names),
        _ => [],
    };
}
