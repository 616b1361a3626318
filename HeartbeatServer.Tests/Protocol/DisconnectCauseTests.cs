using HeartbeatServer.Protocol;


namespace HeartbeatServer.Tests.Protocol;

[TestFixture]
public sealed class DisconnectCauseTests
{
    [TestCase(DisconnectCause.ClientClosed, "client_closed", "client")]
    [TestCase(DisconnectCause.ClientVanished, "client_vanished", "client")]
    [TestCase(DisconnectCause.ConnectionReset, "connection_reset", "network")]
    [TestCase(DisconnectCause.PongTimeout, "pong_timeout", "server")]
    [TestCase(DisconnectCause.ProtocolError, "protocol_error", "server")]
    [TestCase(DisconnectCause.InvalidPayload, "invalid_payload", "server")]
    [TestCase(DisconnectCause.MessageTooBig, "message_too_big", "server")]
    [TestCase(DisconnectCause.SlowConsumer, "slow_consumer", "server")]
    [TestCase(DisconnectCause.BufferLimit, "buffer_limit", "server")]
    [TestCase(DisconnectCause.ServerShutdown, "server_shutdown", "server")]
    [TestCase(DisconnectCause.InternalError, "internal_error", "server")]
    [TestCase(DisconnectCause.UpstreamClosed, "upstream_closed", "application")]
    [TestCase(DisconnectCause.UpstreamVanished, "upstream_vanished", "application")]
    [TestCase(DisconnectCause.UpstreamReset, "upstream_reset", "network")]
    [TestCase(DisconnectCause.UpstreamDead, "upstream_dead", "server")]
    [TestCase(DisconnectCause.UpstreamProtocolError, "upstream_protocol_error", "application")]
    public void Every_cause_has_a_name_and_someone_who_ended_it(object cause, string name, string endedBy)
    {
        Assert.That(((DisconnectCause)cause).Name(), Is.EqualTo(name));
        Assert.That(((DisconnectCause)cause).EndedBy(), Is.EqualTo(endedBy));
    }

    [Test]
    public void All_lists_the_sixteen_causes_under_different_names()
    {
        string[] names = [.. DisconnectCauses.All.Select(cause => cause.Name())];

        Assert.That(names, Has.Length.EqualTo(16).And.Unique);
    }
}
