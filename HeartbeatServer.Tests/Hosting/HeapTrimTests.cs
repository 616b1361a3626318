using HeartbeatServer.Hosting;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Hosting;

internal sealed class HeapTrimTests
{
    private const long MiB = 1024 * 1024;

    private TestClock _clock = null!;
    private ServerMetrics _metrics = null!;
    private int _collected;
    private long _heap;

    /// <summary>What a collection leaves on the heap; null for all of it.</summary>
    private long? _lives;

    private bool _finalizersWait;

    [SetUp]
    public void SetUp()
    {
        _clock = new TestClock();
        _metrics = new ServerMetrics();
        (_collected, _heap, _lives, _finalizersWait) = (0, 0, null, false);
        _metrics.Churned = new HeapTrim(_clock.Wheel, _metrics, () => _heap, Collect).OnChurn;
    }

    [TearDown]
    public void TearDown() => _metrics.Dispose();

    [Test]
    public void Without_anything_that_happens_there_is_no_look()
    {
        Assert.That(_clock.Wheel.Count, Is.Zero);
        Open(1);
        Assert.That(_clock.Wheel.Count, Is.EqualTo(1));

        End(1);
        Seconds(3);
        Assert.That(_clock.Wheel.Count, Is.Zero, "a server without connections does not wake up");
    }

    [Test]
    public void A_burst_is_collected_once_it_is_over()
    {
        Open(100);
        Seconds(1);
        Assert.That(_collected, Is.Zero, "it may still be going on");

        Seconds(1);
        Assert.That(_collected, Is.EqualTo(1));
        Seconds(3600);
        Assert.That(_collected, Is.EqualTo(1));
    }

    [Test]
    public void What_goes_on_is_not_interrupted()
    {
        for (int i = 0; i < 20; i++)
        {
            Open(90);
            Seconds(1);
        }

        Assert.That(_collected, Is.Zero);
    }

    [Test]
    public void A_few_connections_are_no_burst()
    {
        Open(99);
        Seconds(3600);

        Assert.That(_collected, Is.Zero);
    }

    [Test]
    public void A_few_that_left_much_garbage_are_collected_once()
    {
        Open(1);
        _heap = (16 * MiB) + 1;
        Seconds(1);
        Assert.That(_collected, Is.Zero, "it may still be going on");

        Seconds(1);
        Assert.That(_collected, Is.EqualTo(1));

        // The collection has found no garbage. So the next connection does not cause another collection of the same heap.
        Open(1);
        Seconds(3);
        Assert.That(_collected, Is.EqualTo(1));
    }

    [Test]
    public void Garbage_is_measured_by_what_lives()
    {
        Open(1);
        _lives = 50 * MiB;
        _heap = 60 * MiB;
        Seconds(2);
        Assert.That(_collected, Is.EqualTo(1));

        Open(1);
        _heap = 64 * MiB;
        Seconds(3);
        Assert.That(_collected, Is.EqualTo(1), "14 MiB are garbage");
        Open(1);
        _heap = (50 * MiB) + (50 * MiB) + 1;
        Seconds(3);
        Assert.That(_collected, Is.EqualTo(2), "as much as lives, and a byte");
    }

    [Test]
    public void Ends_and_refusals_make_a_burst_too()
    {
        Open(100);
        Seconds(2);
        End(100);
        Seconds(2);
        Assert.That(_collected, Is.EqualTo(2));

        for (int i = 0; i < 100; i++)
            _metrics.CountRefused(RefusalReason.NotFound);
        Seconds(2);
        Assert.That(_collected, Is.EqualTo(3));
    }

    [Test]
    public void Beside_many_connections_a_few_that_come_and_leave_are_no_burst()
    {
        Open(10_000);
        Seconds(2);
        Assert.That(_collected, Is.EqualTo(1));

        for (int round = 0; round < 41; round++)
        {
            Open(120);
            End(120);
            Seconds(3);
        }
        Assert.That(_collected, Is.EqualTo(1));

        Open(120);
        End(120);
        Seconds(3);
        Assert.That(_collected, Is.EqualTo(2), "as many have come and left as there are");
    }

    [Test]
    public void Collections_take_a_thousandth_of_the_time_at_most()
    {
        Open(10_000);
        Seconds(2);
        End(5_000);
        Open(5_000);
        Seconds(18);
        Assert.That(_collected, Is.EqualTo(1), "one of 10,000 connections takes 20 ms");

        Seconds(3);
        Assert.That(_collected, Is.EqualTo(2));
    }

    [Test]
    public void Without_connections_a_collection_costs_nothing_and_does_not_wait()
    {
        Open(10_000);
        Seconds(2);
        End(10_000);
        Seconds(2);
        Assert.That(_collected, Is.EqualTo(2), "the one before stopped 10,000, this one stops nobody");

        Open(100);
        End(100);
        Seconds(2);
        Assert.That(_collected, Is.EqualTo(3));
    }

    [Test]
    public void Beside_very_many_connections_it_does_not_pay()
    {
        Open(20_001);
        _heap = 1024 * MiB;
        Seconds(3600);
        Assert.That(_collected, Is.Zero);

        End(1);
        Seconds(3);
        Assert.That(_collected, Is.EqualTo(1));
    }

    [Test]
    public void A_heap_that_the_connections_do_not_explain_is_collected_burst_or_not()
    {
        _lives = 0;
        _heap = 64 * MiB;
        Refuse(1);
        Seconds(1);
        Refuse(1);
        Assert.That(_collected, Is.Zero);

        _heap++;
        Seconds(1);
        Assert.That(_collected, Is.EqualTo(1));
    }

    [Test]
    public void A_heap_that_swells_while_nobody_comes_or_leaves_is_seen_within_half_a_minute()
    {
        Open(1);
        Seconds(100);
        _heap = 65 * MiB;
        _lives = MiB;

        Seconds(30);

        Assert.That(_collected, Is.EqualTo(1));
    }

    [Test]
    public void A_heap_that_stays_swollen_is_collected_less_and_less_often()
    {
        Open(1);
        _heap = 1024 * MiB;
        var collections = new List<int>();
        for (int minute = 0; minute < 6 * 60; minute++)
        {
            int before = _collected;
            Seconds(60);
            if (_collected > before)
                collections.Add(minute);
        }

        Assert.That(collections[..6], Is.EqualTo(new[] { 0, 2, 6, 14, 30, 62 }).Within(1));
        Assert.That(collections, Has.Count.InRange(9, 11), "once an hour at last");
    }

    [Test]
    public void A_heap_full_of_connections_is_left_alone()
    {
        Open(10_000);
        Seconds(2);
        _heap = 100 * MiB;
        Seconds(3600);

        Assert.That(_collected, Is.EqualTo(1));
    }

    [Test]
    public void Objects_that_wait_for_their_finalizer_take_one_collection_more_a_second_later()
    {
        _finalizersWait = true;
        Refuse(100);
        Seconds(2);
        Assert.That(_collected, Is.EqualTo(1));

        Seconds(1);
        Assert.That(_collected, Is.EqualTo(2));
        Seconds(100);
        Assert.That(_collected, Is.EqualTo(2));
    }

    private bool Collect()
    {
        _collected++;
        _heap = _lives ?? _heap;
        return _finalizersWait;
    }

    private void Seconds(int seconds) => _clock.Advance(TimeSpan.FromSeconds(seconds));

    private void Open(int count)
    {
        for (int i = 0; i < count; i++)
            _metrics.CountOpened(i);
    }

    private void End(int count)
    {
        for (int i = 0; i < count; i++)
            _metrics.CountEnd(DisconnectCause.ClientVanished);
    }

    private void Refuse(int count)
    {
        for (int i = 0; i < count; i++)
            _metrics.CountRefused(RefusalReason.NotFound);
    }
}
