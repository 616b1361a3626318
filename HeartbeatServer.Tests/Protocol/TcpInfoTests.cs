using HeartbeatServer.Protocol;


namespace HeartbeatServer.Tests.Protocol;

internal sealed class TcpInfoTests
{
    [Test]
    public void The_fields_are_read_where_linux_has_them()
    {
        byte[] info = new byte[232]; // a newer kernel's struct is longer
        info[2] = 3;
        BitConverter.TryWriteBytes(info.AsSpan(24), 2u);
        BitConverter.TryWriteBytes(info.AsSpan(68), 1500u);
        BitConverter.TryWriteBytes(info.AsSpan(100), 7u);

        TcpInfo? read = TcpInfo.Read(info);

        Assert.That(read, Is.EqualTo(new TcpInfo(2, 3, 7, TimeSpan.FromMilliseconds(1.5))));
    }

    [Test]
    public void A_shorter_struct_says_nothing() => Assert.That(TcpInfo.Read(new byte[TcpInfo.Size - 1]), Is.Null);

    [TestCase(1u, 0, "path_dead")]
    [TestCase(0u, 1, "path_dead")]
    [TestCase(0u, 0, "peer_frozen")]
    public void What_is_not_acknowledged_makes_the_path_dead(uint unacknowledged, int retransmitting, string verdict) =>
        Assert.That(new TcpInfo(unacknowledged, (byte)retransmitting, 0, TimeSpan.Zero).Verdict.Name(), Is.EqualTo(verdict));

    [Test]
    public void Past_retransmissions_do_not_make_the_path_dead() =>
        Assert.That(new TcpInfo(0, 0, 9, TimeSpan.Zero).Verdict, Is.EqualTo(PathVerdict.PeerFrozen));

    [Test]
    public void Without_the_kernel_the_verdict_of_a_timeout_is_unknown()
    {
        Disconnect end = Disconnect.ByTimeout(3, TimeSpan.FromMilliseconds(500), null);

        Assert.That(end.Cause, Is.EqualTo(DisconnectCause.PongTimeout));
        Assert.That(end.Verdict, Is.EqualTo(PathVerdict.Unknown));
        Assert.That(end.Detail, Is.EqualTo("3 ping(s) in a row without a sign of life within 500ms, unknown: the kernel could not be asked"));
    }

    [Test]
    public void A_timeout_tells_the_verdict_of_the_kernel_in_words()
    {
        Disconnect end = Disconnect.ByTimeout(1, TimeSpan.FromSeconds(1), new TcpInfo(1, 2, 2, TimeSpan.FromMilliseconds(3)));

        Assert.That(end.Verdict, Is.EqualTo(PathVerdict.PathDead));
        Assert.That(end.Detail, Does.EndWith("path_dead: the peer's kernel has not acknowledged the ping"));
    }
}
