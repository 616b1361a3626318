using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Hosting;

/// <summary>What the log says of the application as a whole.</summary>
[Platform("Linux")]
public sealed class RequestRelayTests
{
    private const string Page = "GET /page HTTP/1.1\r\nHost: x\r\n\r\n";

    [Test]
    public async Task The_start_says_whereto_it_relays()
    {
        await using var relay = new RelayFixture();
        await using ServerFixture echo = ServerFixture.Start();

        Assert.That(relay.Server.Log.Containing("Listening on").Single(), Does.Contain($"/, relaying to {relay.Server.Options.Upstream} (health: http://"));
        Assert.That(relay.Server.Log.Events.Select(line => line.Properties.ContainsKey("upstream")), Has.Some.True);
        Assert.That(echo.Log.Containing("Listening on").Single(), Does.Not.Contain("relaying"));
    }

    [Test]
    public async Task An_application_that_is_gone_is_a_warning_until_it_answers_again([Values] bool isPage, [Values] bool isAnswer401)
    {
        await using var relay = new RelayFixture();
        relay.StopApplication();
        for (int i = 0; i < 3; i++)
        {
            using ScriptedPeer refused = await relay.ClientAsync(isPage ? Page : null);
            Assert.That((await refused.ReadReplyAsync()).Status, Is.EqualTo(502));
        }
        await relay.Server.Log.WithAsync("Warning Relaying fails: refused 1 request(s), the last with 502 upstream_unreachable, the application cannot be reached");

        relay.StartApplication();
        // A page is over when its client has gone.
        using (ScriptedPeer client = await relay.ClientAsync(isPage ? Page : null))
        {
            using ScriptedPeer application = await relay.ApplicationAsync();
            await application.ReadHeadAsync();
            if (isAnswer401)
                await application.SendAsync("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
            else if (isPage)
                await application.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            else
                await application.SendAsync(RelayFixture.Answer());
            await client.ReadHeadAsync();
        }

        await relay.Server.Log.WithAsync("Information Relaying works again: 3 request(s) were refused in ");
        Assert.That(relay.Server.Log.Containing("Relaying fails"), Has.Count.EqualTo(1));
    }
}
