using System.Net;
using System.Text.Json;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;
using Serilog.Events;

namespace HeartbeatServer.Tests.Telemetry;

/// <summary>Checks what the log writes to the console. The whole process shares one console.</summary>
[NonParallelizable]
public sealed class LogSetupTests
{
    private static readonly IPEndPoint Remote = new(IPAddress.Loopback, 50123);

    [Test]
    public async Task JSON_is_one_object_a_line_with_its_properties()
    {
        string[] lines = await WriteAsync(LogEventLevel.Information, json: true);

        Assert.That(lines, Has.Length.EqualTo(3));
        JsonElement[] objects = [.. lines.Select(line => JsonDocument.Parse(line).RootElement)];
        Assert.That(objects.Select(line => line.GetProperty("time").GetString()), Is.All.Match(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"));
        Assert.That(objects.Select(line => line.GetProperty("level").GetString()), Is.EqualTo(new[] { "information", "warning", "error" }));
        Assert.That(
            objects.Select(line => line.GetProperty("event").GetString()),
            Is.EqualTo(new[] { "connection_opened", "client_suspect", "connection_ended" }));
        Assert.That(objects[0].GetProperty("connection").GetInt64(), Is.EqualTo(7));
        Assert.That(
            (objects[0].GetProperty("remote_address").GetString(), objects[0].GetProperty("remote_port").GetInt32()),
            Is.EqualTo(("127.0.0.1", 50123)));
        Assert.That(objects[0].GetProperty("message").GetString(), Is.EqualTo("#7 127.0.0.1:50123 connected, 1 now"));
        Assert.That(objects[1].GetProperty("strikes").GetInt32(), Is.EqualTo(1));
        Assert.That(objects[2].GetProperty("cause").GetString(), Is.EqualTo("internal_error"));
        Assert.That(objects[2].GetProperty("exception").GetString(), Does.Contain("a\nbug"), "an exception of several lines stays in its line");
        Assert.That(objects.SelectMany(line => line.EnumerateObject()).Select(each => each.Name), Is.All.Match("^[a-z0-9_]+$"));
        Assert.That(objects.SelectMany(line => line.EnumerateObject()).Select(each => each.Name), Has.None.EqualTo("remote").And.None.EqualTo("what"));
    }

    [Test]
    public async Task Text_has_date_time_offset_level_and_message()
    {
        string[] lines = await WriteAsync(LogEventLevel.Information, json: false);

        Assert.That(lines[0], Does.Match(
            @"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d \[INF\] #7 127\.0\.0\.1:50123 connected, 1 now$"));
        Assert.That(lines[1], Does.Contain("[WRN] #7 127.0.0.1:50123 is suspect"));
        Assert.That(lines[2], Does.Contain("[ERR] #7 127.0.0.1:50123 ended: internal_error after 0.0s"));
        Assert.That(lines, Has.None.Contain("\e"), "no colours where the output is no terminal");
    }

    [Test]
    public async Task Each_ping_is_a_line_only_at_debug([Values] bool json)
    {
        Assert.That(await WriteAsync(LogEventLevel.Information, json), Has.None.Contains("ping 3"));
        Assert.That(await WriteAsync(LogEventLevel.Debug, json), Has.Exactly(1).Contains("ping 3"));
    }

    [Test]
    public async Task The_level_is_the_least_that_is_written()
    {
        Assert.That(await WriteAsync(LogEventLevel.Warning, json: true), Has.Length.EqualTo(2));
        Assert.That(await WriteAsync(LogEventLevel.Fatal, json: true), Is.Empty);
    }

    /// <summary>A connect, a ping, a strike and a bug, as they appear on standard output.</summary>
    private static async Task<string[]> WriteAsync(LogEventLevel level, bool json)
    {
        TextWriter before = Console.Out;
        using var output = new StringWriter();
        Console.SetOut(output);
        try
        {
            // Dispose waits until the queue is empty.
            await using var setup = new LogSetup(level, json);
            var log = new ServerLog(setup.Logger);
            log.Connected(7, Remote, ClientInfo.Unknown, 1);
            log.PingSent(7, 3);
            log.Suspect(7, Remote, 1, 3, TimeSpan.FromMilliseconds(500), TimeSpan.FromSeconds(1));
            log.Ended(7, Remote, ClientInfo.Unknown, new Disconnect(DisconnectCause.InternalError, "sent Close 1011", new InvalidOperationException("a\nbug")), default);
        }
        finally
        {
            Console.SetOut(before);
        }
        return output.ToString().Split(Environment.NewLine, StringSplitOptions.RemoveEmptyEntries);
    }
}
