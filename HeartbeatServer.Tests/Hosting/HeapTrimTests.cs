using HeartbeatServer.Hosting;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;


namespace HeartbeatServer.Tests.Hosting;

internal sealed class HeapTrimTests
{
    private ServerMetrics _metrics = null!;
    private HeapTrim _trim = null!;
    private int _collected;
    private long _heap;

    [SetUp]
    public void SetUp()
    {
        _metrics = new ServerMetrics();
        (_collected, _heap) = (0, 0);
        _trim = new HeapTrim(_metrics, () => _heap, () => _collected++);
    }

    [TearDown]
    public void TearDown() => _metrics.Dispose();

    [Test]
    public void A_burst_is_collected_once_it_is_over()
    {
        Open(100);
        _trim.Look();
        Assert.That(_collected, Is.Zero, "it may still be going on");

        _trim.Look();
        _trim.Look();
        Assert.That(_collected, Is.EqualTo(1));
    }

    [Test]
    public void What_goes_on_is_not_interrupted()
    {
        for (int i = 0; i < 10; i++)
        {
            Open(90);
            _trim.Look();
        }

        Assert.That(_collected, Is.Zero);
    }

    [Test]
    public void A_few_connections_are_no_burst()
    {
        Open(99);
        _trim.Look();
        _trim.Look();

        Assert.That(_collected, Is.Zero);
    }

    [Test]
    public void A_few_that_left_much_garbage_are_collected_once()
    {
        Open(1);
        _heap = (16 * 1024 * 1024) + 1;
        _trim.Look();
        Assert.That(_collected, Is.Zero, "it may still be going on");

        _trim.Look();
        _trim.Look();
        Assert.That(_collected, Is.EqualTo(1));

        // The collection has found no garbage. So the next connection does not cause another collection of the same heap.
        Open(1);
        _trim.Look();
        _trim.Look();
        Assert.That(_collected, Is.EqualTo(1));
    }

    [Test]
    public void Ends_make_a_burst_too()
    {
        Open(100);
        _trim.Look();
        _trim.Look();
        for (int i = 0; i < 100; i++)
            _metrics.CountEnd(DisconnectCause.ClientVanished);
        _trim.Look();
        _trim.Look();

        Assert.That(_collected, Is.EqualTo(2));
    }

    [Test]
    public void A_heap_that_the_connections_do_not_explain_is_collected_at_once()
    {
        _heap = 64 * 1024 * 1024;
        _trim.Look();
        Assert.That(_collected, Is.Zero);

        _heap++;
        _trim.Look();
        Assert.That(_collected, Is.EqualTo(1));
    }

    [Test]
    public void A_heap_full_of_connections_is_left_alone()
    {
        Open(10_000);
        _heap = 100 * 1024 * 1024;
        _trim.Look();

        Assert.That(_collected, Is.Zero);
    }

    private void Open(int count)
    {
        for (int i = 0; i < count; i++)
            _metrics.CountOpened(i);
    }
}
