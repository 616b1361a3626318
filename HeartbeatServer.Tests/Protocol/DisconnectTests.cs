using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;


namespace HeartbeatServer.Tests.Protocol;

[TestFixture]
public sealed class DisconnectTests
{
    private static readonly HeartbeatTimings Timings = new(TimeSpan.FromSeconds(10), TimeSpan.FromMilliseconds(500), 3);

    [TestCase(1000, "", "Close 1000")]
    [TestCase(1001, "going away", "Close 1001 \"going away\"")]
    [TestCase(4999, "größe 😀", "Close 4999 \"größe 😀\"")]
    [TestCase(1000, "two\nlines", "Close 1000 \"two\\u000alines\"")]
    [TestCase(1000, "say \"no\" \\ end", "Close 1000 \"say \\\"no\\\" \\\\ end\"")]
    [TestCase(1005, "", "Close without a code")]
    public void A_close_of_either_side_tells_code_and_reason(int code, string reason, string detail)
    {
        Disconnect end = Disconnect.ByClient((ushort)code, reason);
        Disconnect upstream = Disconnect.ByUpstream((ushort)code, reason);

        Assert.That((end.Cause, end.Detail, end.Error), Is.EqualTo((DisconnectCause.ClientClosed, detail, (Exception?)null)));
        Assert.That((upstream.Cause, upstream.Detail), Is.EqualTo((DisconnectCause.UpstreamClosed, detail)));
    }

    [TestCase(1002)]
    [TestCase(1007)]
    [TestCase(1009)]
    public void A_rule_that_the_application_breaks_is_one_cause_without_a_Close_of_ours(int code)
    {
        Disconnect end = Disconnect.ByUpstreamViolation(new WebSocketProtocolException((ushort)code, "frame from a server is masked", "5.1"));

        Assert.That(
            (end.Cause, end.Detail), Is.EqualTo((DisconnectCause.UpstreamProtocolError, "frame from a server is masked (RFC 6455 section 5.1)")));
    }

    [TestCase("first\n12:00:00.000 [INF] second")]
    [TestCase("first\r\nsecond")]
    [TestCase("\u001B[2Jgone")]
    [TestCase("\u0000\u0085\u009B")]
    [TestCase("line\u2028paragraph\u2029")]
    [TestCase("turned \u202e round")]
    public void A_reason_cannot_forge_a_line_of_the_log(string reason)
    {
        string detail = Disconnect.ByClient(1000, reason).Detail;

        Assert.That(detail.Any(c => char.IsControl(c) || c is '\u2028' or '\u2029' or '\u202e'), Is.False, detail);
    }

    [TestCase(1002, DisconnectCause.ProtocolError)]
    [TestCase(1007, DisconnectCause.InvalidPayload)]
    [TestCase(1009, DisconnectCause.MessageTooBig)]
    public void A_violation_tells_what_we_sent_and_the_rule(int code, object cause)
    {
        Disconnect end = Disconnect.ByViolation(new WebSocketProtocolException((ushort)code, "some rule", "5.2"));

        Assert.That(end.Cause, Is.EqualTo((DisconnectCause)cause));
        Assert.That(end.Detail, Is.EqualTo($"sent Close {code}: some rule (RFC 6455 section 5.2)"));
    }

    [Test]
    public void Without_the_kernel_the_verdict_of_a_timeout_is_unknown()
    {
        Disconnect end = Disconnect.ByTimeout(3, Timings, null);

        Assert.That(end.Cause, Is.EqualTo(DisconnectCause.PongTimeout));
        Assert.That(end.Verdict, Is.EqualTo(PathVerdict.Unknown));
        Assert.That(end.Detail, Is.EqualTo("3 ping(s) without a sign of life within 500ms, unknown: the kernel could not be asked"));
    }

    [TestCase(11.0, 1u, 0u, 2u, false, PathVerdict.PathDead, "the peer's kernel has not acknowledged the ping")]
    [TestCase(11.0, 1u, 0u, 2u, true, PathVerdict.PathDead, "the proxy's kernel has not acknowledged the ping")]
    [TestCase(0.5, 0u, 0u, 0u, false, PathVerdict.PeerFrozen, "its kernel acknowledged the ping, its program did not answer")]
    [TestCase(0.5, 0u, 0u, 4u, false, PathVerdict.PeerFrozen, "its kernel acknowledged the ping, its program did not answer, or its pong was lost")]
    [TestCase(0.9, 1u, 0u, 0u, false, PathVerdict.PeerFrozen, "its kernel is alive, its program did not answer")]
    [TestCase(45.0, 0u, 900u, 0u, false, PathVerdict.PeerFrozen, "its kernel is alive, its program did not answer")]
    [TestCase(0.5, 0u, 0u, 0u, true, PathVerdict.BehindProxy, "the proxy's kernel acknowledged: what lies behind it is not known from here")]
    public void The_verdict_of_a_timeout_is_what_the_kernel_knows(
        double sinceAck, uint unacknowledged, uint notSent, uint retransmissions, bool behindProxy, object verdict, string meaning)
    {
        var tcp = new TcpInfo
        {
            SinceAck = TimeSpan.FromSeconds(sinceAck),
            Unacknowledged = unacknowledged,
            NotSent = notSent,
            Retransmissions = retransmissions,
        };

        Disconnect end = Disconnect.ByTimeout(3, Timings, tcp, behindProxy);

        Assert.That((end.Cause, end.Verdict, end.Tcp), Is.EqualTo((DisconnectCause.PongTimeout, (PathVerdict?)verdict, (TcpInfo?)tcp)));
        Assert.That(end.Detail, Does.EndWith($"{end.Verdict!.Value.Name()}: {meaning}"));
    }

    [Test]
    public void A_path_that_is_dead_behind_a_queue_says_for_how_long()
    {
        Disconnect end = Disconnect.ByDeadPath(TimeSpan.FromSeconds(30.52), new TcpInfo());

        Assert.That((end.Cause, end.Verdict), Is.EqualTo((DisconnectCause.PongTimeout, PathVerdict.PathDead)));
        Assert.That(end.Detail, Is.EqualTo("path_dead: the peer's kernel has acknowledged nothing for 30.5s, and bytes wait for it"));
    }
}
