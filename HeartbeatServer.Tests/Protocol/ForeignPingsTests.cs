using System.Buffers.Binary;
using System.Text;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Tests.Protocol;

[TestFixture]
public sealed class ForeignPingsTests
{
    private const int Beat = 1000;
    private const int Timeout = 200;
    private const int MaxMissed = 3;

    [Test]
    public void Without_a_foreign_ping_nothing_is_held()
    {
        var foreign = new ForeignPings(MaxMissed);
        Assert.That(foreign.TryHold(), Is.False);

        foreign.PongPassed("nobody asked"u8);
        Assert.That(foreign.TryHold(), Is.False);
    }

    [Test]
    public void A_ping_is_held_until_the_foreign_one_is_answered()
    {
        var foreign = new ForeignPings(MaxMissed);
        foreign.PingPassed("a"u8);
        Assert.That(foreign.TryHold(), Is.True);

        foreign.PongPassed("a"u8);
        Assert.That(foreign.TryHold(), Is.False);
    }

    [Test]
    public void The_answer_to_the_latest_answers_those_before_it()
    {
        var foreign = new ForeignPings(MaxMissed);
        foreign.PingPassed("a"u8);
        foreign.PingPassed("b"u8);
        foreign.PingPassed("c"u8);

        foreign.PongPassed("c"u8);
        Assert.That(foreign.TryHold(), Is.False);
    }

    [Test]
    public void The_answer_to_an_earlier_one_leaves_the_later_ones_unanswered()
    {
        var foreign = new ForeignPings(MaxMissed);
        foreign.PingPassed("a"u8);
        foreign.PingPassed("b"u8);

        foreign.PongPassed("a"u8);
        Assert.That(foreign.TryHold(), Is.True);
        foreign.PongPassed("b"u8);
        Assert.That(foreign.TryHold(), Is.False);
    }

    [Test]
    public void A_peer_that_does_not_copy_the_payload_answers_one_after_the_other()
    {
        var foreign = new ForeignPings(MaxMissed);
        foreign.PingPassed("a"u8);
        foreign.PingPassed("b"u8);

        foreign.PongPassed("x"u8);
        Assert.That(foreign.TryHold(), Is.True);
        foreign.PongPassed([]);
        Assert.That(foreign.TryHold(), Is.False);
    }

    [Test]
    public void After_as_many_beats_as_kill_a_silent_peer_pings_go_on_until_an_answer()
    {
        var foreign = new ForeignPings(MaxMissed);
        foreign.PingPassed("a"u8);
        Assert.That(Enumerable.Range(0, 6).Select(_ => foreign.TryHold()), Is.EqualTo(new[] { true, true, true, false, false, false }));

        foreign.PingPassed("b"u8);
        Assert.That(foreign.TryHold(), Is.False, "nothing has been answered yet");

        foreign.PongPassed("b"u8);
        foreign.PingPassed("c"u8);
        Assert.That(foreign.TryHold(), Is.True);
    }

    /// <summary>
    /// The peer reads every other beat, and then answers the latest ping alone. Our pings cost the application none of its pongs, and the peer is not cut.
    /// </summary>
    [Test]
    public void A_slow_peer_that_answers_the_latest_ping_alone_answers_the_application_as_without_us(
        [Values(90, 350, 700, 1000, 1700, 3100)] int pingEvery, [Values(0, 40)] int dataEvery, [Range(0, 900, 300)] int phase)
    {
        var script = new Script(60_000, pingEvery, dataEvery) { Answers = Answers.Latest, ReadEvery = 2 * Beat, Phase = phase };

        Scene alone = Scene.Run(script with { Pings = false });
        Scene held = Scene.Run(script);

        Assert.That(alone.ForeignPongs, Is.Not.Empty);
        Assert.That(held.ForeignPongs, Is.EqualTo(alone.ForeignPongs));
        Assert.That(held.PingsPastForeign, Is.Zero);
        Assert.That((held.DiedAt, held.MostStrikesInABeat <= 1), Is.EqualTo(((int?)null, true)));
    }

    /// <summary>The application pings every four beats, and the peer reads two beats later: without the rule it would answer our ping in place of each.</summary>
    [Test]
    public void If_pings_were_not_held_the_application_would_wait_in_vain([Values] bool holds)
    {
        Scene scene = Scene.Run(new(60_000, 4 * Beat, 0) { Answers = Answers.Latest, ReadEvery = 2 * Beat, Holds = holds });

        Assert.That(scene.ForeignPongs, Has.Count.EqualTo(holds ? 15 : 0));
    }

    [Test]
    public void A_dead_peer_is_found_in_time_however_often_the_application_pings(
        [Values(50, 400, 999, 1000, 1001, 2500, 7000)] int pingEvery, [Range(0, 900, 100)] int phase, [Values] bool answersAll)
    {
        const int dies = 20_000;
        Scene scene = Scene.Run(new(60_000, pingEvery, 0) { Answers = answersAll ? Answers.All : Answers.Latest, Phase = phase, DiesAt = dies });

        Assert.That(scene.DiedAt, Is.InRange(dies + ((MaxMissed - 1) * Beat), dies + (MaxMissed * Beat) + Timeout + Scene.Step));
        Assert.That((scene.MostStrikesInABeat, scene.StrikesBeforeItsDeath), Is.EqualTo((1, 0)));
    }

    [Test]
    public void A_prompt_peer_is_pinged_on_every_beat_but_those_that_meet_a_foreign_ping([Values(90, 350, 1700)] int pingEvery)
    {
        Scene scene = Scene.Run(new(20_000, pingEvery, 0) { Answers = Answers.All });

        Assert.That((scene.OurPongs + scene.Held, scene.MostStrikesInABeat), Is.EqualTo((20, 0)));
        Assert.That(scene.Held, Is.LessThanOrEqualTo(3));
    }

    [Test]
    public void A_peer_that_lives_and_answers_no_foreign_ping_is_pinged_again_after_a_while([Values(90, 700, 70_000)] int pingEvery)
    {
        Scene scene = Scene.Run(new(20_000, pingEvery, 40) { Answers = Answers.OursAlone });

        Assert.That((scene.Held, scene.OurPongs, scene.DiedAt), Is.EqualTo((MaxMissed, 20 - MaxMissed, (int?)null)));
        Assert.That(scene.MostStrikesInABeat, Is.Zero);
    }

    [Test]
    public void A_peer_that_does_not_copy_the_payload_is_not_cut([Values(90, 700, 3100)] int pingEvery)
    {
        Scene scene = Scene.Run(new(20_000, pingEvery, 0) { Answers = Answers.WithoutPayload });

        Assert.That((scene.DiedAt, scene.MostStrikesInABeat), Is.EqualTo(((int?)null, 0)));
        Assert.That(scene.Held, Is.LessThanOrEqualTo(3), "only beats that meet a foreign ping");
    }

    private enum Answers
    {
        /// <summary>Every ping that has come, in its order.</summary>
        All,
        /// <summary>The latest of the pings that have come since it read last.</summary>
        Latest,
        OursAlone,
        WithoutPayload,
    }

    /// <summary>What happens: an application pings through a heartbeat, and a peer reads now and then. Times are in milliseconds.</summary>
    private sealed record Script(int Until, int PingEvery, int DataEvery)
    {
        public Answers Answers { get; init; }

        /// <summary>How often the peer reads.</summary>
        public int ReadEvery { get; init; } = Scene.Step;

        /// <summary>How long after the heartbeat's beat the application's first ping comes.</summary>
        public int Phase { get; init; } = 50;

        public int DiesAt { get; init; } = int.MaxValue;

        /// <summary>Whether the heartbeat pings.</summary>
        public bool Pings { get; init; } = true;

        /// <summary>Whether its pings are held back.</summary>
        public bool Holds { get; init; } = true;
    }

    /// <summary>Plays a script in steps of 10 ms.</summary>
    private sealed class Scene
    {
        public const int Step = 10;

        private readonly Heartbeat _heartbeat = new(new HeartbeatTimings(At(Beat), At(Timeout), MaxMissed), At(0), At(Beat));
        private readonly ForeignPings _foreign = new(MaxMissed);

        /// <summary>The pings that the peer has not read: the number, and whether it is ours.</summary>
        private readonly List<(ulong Number, bool IsOurs)> _unread = [];

        private ulong _foreignPings;
        private ulong _lastAnswered;
        private int _strikesInBeat;

        public List<ulong> ForeignPongs { get; } = [];

        public int OurPongs { get; private set; }

        public int Held { get; private set; }

        /// <summary>Pings of ours that left while a foreign one was unanswered.</summary>
        public int PingsPastForeign { get; private set; }

        public int MostStrikesInABeat { get; private set; }

        public int StrikesBeforeItsDeath { get; private set; }

        public int? DiedAt { get; private set; }

        public static Scene Run(Script script)
        {
            var scene = new Scene();
            for (int now = Step; now <= script.Until + Step && scene.DiedAt is null; now += Step)
            {
                if (now < script.DiesAt && now % script.ReadEvery == 0)
                    scene.Read(now, script.Answers);
                if (now < script.DiesAt && script.DataEvery > 0 && now % script.DataEvery == 0)
                    scene._heartbeat.BytesReceived(At(now));
                if (now % script.PingEvery == script.Phase / Step * Step % script.PingEvery || (script.PingEvery > script.Until && now == script.Phase))
                    scene.ForeignPing();
                if (script.Pings && now <= script.Until)
                    scene.Advance(now, script);
            }
            return scene;
        }

        private static TimeSpan At(int milliseconds) => TimeSpan.FromMilliseconds(milliseconds);

        private static byte[] Payload(ulong number) => Encoding.ASCII.GetBytes($"foreign {number}");

        private void ForeignPing()
        {
            _unread.Add((++_foreignPings, false));
            _foreign.PingPassed(Payload(_foreignPings));
        }

        private void Read(int now, Answers answers)
        {
            if (answers == Answers.Latest && _unread.Count > 1)
                _unread.RemoveRange(0, _unread.Count - 1);
            foreach ((ulong number, bool isOurs) in _unread)
            {
                if (answers == Answers.OursAlone && !isOurs)
                    continue;
                _heartbeat.BytesReceived(At(now));
                if (answers == Answers.WithoutPayload)
                {
                    _foreign.PongPassed([]);
                }
                else if (isOurs)
                {
                    var payload = new byte[sizeof(ulong)];
                    BinaryPrimitives.WriteUInt64BigEndian(payload, number);
                    if (_heartbeat.PongReceived(payload, At(now), TimeSpan.Zero, out _) is not null)
                        OurPongs++;
                }
                else
                {
                    ForeignPongs.Add(number);
                    _lastAnswered = number;
                    _foreign.PongPassed(Payload(number));
                }
            }
            _unread.Clear();
        }

        private void Advance(int now, Script script)
        {
            HeartbeatStep step;
            while ((step = _heartbeat.Advance(At(now), TimeSpan.Zero)) != HeartbeatStep.None)
            {
                if (step == HeartbeatStep.Overdue)
                {
                    _heartbeat.Strike();
                    MostStrikesInABeat = Math.Max(MostStrikesInABeat, ++_strikesInBeat);
                    if (now < script.DiesAt)
                        StrikesBeforeItsDeath++;
                    if (_heartbeat.IsDead)
                        DiedAt = now;
                    continue;
                }
                _strikesInBeat = 0;
                if (script.Holds && _foreign.TryHold())
                {
                    Held++;
                    _heartbeat.PingHeld(At(now));
                    continue;
                }
                if (_lastAnswered < _foreignPings)
                    PingsPastForeign++;
                _heartbeat.PingWritten(At(now));
                _unread.Add((_heartbeat.Pings, true));
            }
        }
    }
}
