using HeartbeatServer.Protocol;

namespace HeartbeatServer.Tests.Protocol;

internal sealed class TcpInfoTests
{
    private static readonly TimeSpan Beat = TimeSpan.FromSeconds(10);

    [Test]
    public void The_fields_are_read_where_linux_has_them()
    {
        byte[] info = new byte[248]; // a newer kernel's struct is longer
        info[2] = 3;
        info[3] = 4;
        BitConverter.TryWriteBytes(info.AsSpan(24), 2u);
        BitConverter.TryWriteBytes(info.AsSpan(56), 45_700u);
        BitConverter.TryWriteBytes(info.AsSpan(68), 1500u);
        BitConverter.TryWriteBytes(info.AsSpan(100), 7u);
        BitConverter.TryWriteBytes(info.AsSpan(120), 1UL << 40);
        BitConverter.TryWriteBytes(info.AsSpan(140), 12u);
        BitConverter.TryWriteBytes(info.AsSpan(144), 9u);
        BitConverter.TryWriteBytes(info.AsSpan(228), 65_536u);

        Assert.That(TcpInfo.Read(info), Is.EqualTo(new TcpInfo
        {
            Retransmitting = 3,
            Probes = 4,
            Unacknowledged = 2,
            SinceAck = TimeSpan.FromSeconds(45.7),
            RoundTrip = TimeSpan.FromMilliseconds(1.5),
            Retransmissions = 7,
            BytesAcked = 1UL << 40,
            SegmentsIn = 12,
            NotSent = 9,
            SendWindow = 65_536,
        }));
    }

    [Test]
    public void An_older_kernel_leaves_out_what_it_does_not_know()
    {
        byte[] info = new byte[104];
        BitConverter.TryWriteBytes(info.AsSpan(100), 7u);

        Assert.That(TcpInfo.Read(info), Is.EqualTo(new TcpInfo { Retransmissions = 7 }));
    }

    [Test]
    public void A_shorter_struct_says_nothing() => Assert.That(TcpInfo.Read(new byte[103]), Is.Null);

    [TestCase(11, 1u, 0, true, TestName = "Something unacknowledged for longer than a beat is silence")]
    [TestCase(11, 0u, 2, true, TestName = "Two probes unanswered for longer than a beat are silence")]
    [TestCase(9, 1u, 0, false, TestName = "An acknowledgement within the last beat is no silence")]
    [TestCase(45, 0u, 0, false, TestName = "A living peer behind a closed window is no silence")]
    [TestCase(45, 0u, 1, false, TestName = "One probe may still be answered")]
    public void The_kernel_of_the_peer_is_silent_if_it_owes_an_acknowledgement(int sinceAck, uint unacknowledged, int probes, bool isSilent)
    {
        var tcp = new TcpInfo { SinceAck = TimeSpan.FromSeconds(sinceAck), Unacknowledged = unacknowledged, Probes = (byte)probes };

        Assert.That(tcp.IsSilent(Beat), Is.EqualTo(isSilent));
    }

    [Test]
    public void It_is_known_when_a_silence_will_be_too_long()
    {
        var tcp = new TcpInfo { SinceAck = TimeSpan.FromSeconds(4), Unacknowledged = 1 };

        Assert.That(tcp.WhenSilent(TimeSpan.FromSeconds(100), Beat), Is.EqualTo(TimeSpan.FromSeconds(106)));
        Assert.That((tcp with { Unacknowledged = 0 }).WhenSilent(TimeSpan.FromSeconds(100), Beat), Is.EqualTo(Heartbeat.Never));
        Assert.That(tcp.WhenSilent(TimeSpan.FromSeconds(100), Heartbeat.Never), Is.EqualTo(Heartbeat.Never));
    }
}
