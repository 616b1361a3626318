using HeartbeatServer.Connections;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Connections;

/// <summary>How long a connection was silent before its end, each way.</summary>
[CancelAfter(20_000)]
public sealed class ConnectionSilenceTests
{
    private static TimeSpan Ms(int milliseconds) => TimeSpan.FromMilliseconds(milliseconds);

    [Test]
    public async Task Before_any_byte_both_silences_are_as_old_as_the_connection()
    {
        await using var rig = new ConnectionRig(pingMs: 0);

        rig.Clock.Advance(1000);

        Assert.That(Silences(rig), Is.EqualTo((Ms(1000), Ms(1000))));
    }

    [Test]
    public async Task A_ping_ends_the_silence_to_the_client_and_its_pong_the_one_from_it()
    {
        await using var rig = new ConnectionRig(pingMs: 2000);
        rig.Clock.Advance(2000);
        TimeSpan pinged = rig.Clock.Now - rig.Connection.Figures().SinceLastSent;
        rig.Clock.Advance(40);
        rig.Pong();
        await Safety.UntilAsync(() => rig.Connection.Figures().Pongs == 1, "the pong");

        rig.Clock.Advance(1000);
        rig.Pipe.SendFin();

        Assert.That(await rig.CauseAsync(), Is.EqualTo(DisconnectCause.ClientVanished));
        Assert.That(Silences(rig), Is.EqualTo((Ms(1000), rig.Clock.Now - pinged)));
        Assert.That(rig.Clock.Now - pinged, Is.InRange(Ms(1040), Ms(1048)));
    }

    [Test]
    public async Task A_reply_ends_both_silences_and_a_message_without_one_only_the_one_from_the_client([Values] bool echo)
    {
        await using var rig = new ConnectionRig(pingMs: 0, echo: echo);
        rig.Clock.Advance(800);
        rig.Pipe.Send(ClientFrames.Text("a"));
        await Safety.UntilAsync(() => rig.Connection.Figures().MessagesIn == 1, "the message");
        if (echo)
            await Safety.UntilAsync(() => rig.Connection.Figures().SinceLastSent == TimeSpan.Zero, "the reply");

        rig.Clock.Advance(1000);
        rig.Pipe.SendFin();
        await rig.Running.InTime();

        Assert.That(Silences(rig), Is.EqualTo((Ms(1000), Ms(echo ? 1000 : 1800))));
    }

    [Test]
    public async Task What_comes_or_leaves_after_the_end_was_decided_does_not_change_it()
    {
        await using var rig = new ConnectionRig(pingMs: 0);
        rig.Clock.Advance(800);

        rig.Connection.Close(new Disconnect(DisconnectCause.ServerShutdown, "bye"), CloseCode.GoingAway, "");
        rig.Clock.Advance(100);
        rig.Pipe.Send(ClientFrames.Text("still here"));
        await Safety.UntilAsync(() => rig.Connection.Figures().MessagesIn == 1, "the message");
        rig.Pipe.Send(ClientFrames.Close(1001));
        await rig.Running.InTime();

        Assert.That(Silences(rig), Is.EqualTo((Ms(800), Ms(800))));
        Assert.That(rig.Connection.Figures().Age, Is.EqualTo(Ms(800)));
    }

    private static (TimeSpan From, TimeSpan To) Silences(ConnectionRig rig)
    {
        ConnectionFigures figures = rig.Connection.Figures();
        return (figures.SinceLastByte, figures.SinceLastSent);
    }
}
