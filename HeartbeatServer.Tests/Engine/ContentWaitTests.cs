using System.Diagnostics.CodeAnalysis;
using HeartbeatServer.Engine;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Engine;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
[SuppressMessage("Reliability", "CA2012", Justification = "The tests look whether a ValueTask is completed, and await it once.")]
public sealed class ContentWaitTests
{
    private readonly ContentWait _content = new();

    [Test]
    public void At_most_one_step_is_in_progress()
    {
        Assert.That(Steps(), Is.True);
        Assert.That(Steps(), Is.False, "one is in progress");
        _content.EndStep();
        Assert.That(Steps(), Is.False, "there is content");
        _content.OnRead(isEnd: false);
        Assert.That(Steps(), Is.True);
    }

    [Test]
    public void Behind_the_end_there_is_no_step_and_no_wait()
    {
        Steps();
        _content.EndStep();
        _content.OnRead(isEnd: true);

        Assert.That(_content.TryBeginStep(out bool isReadable), Is.False);
        Assert.That(isReadable, Is.True);
        Assert.That(_content.WaitAsync().Result, Is.Zero);
    }

    [Test]
    public async Task A_wait_ends_with_the_step()
    {
        Steps();
        ValueTask<int> wait = _content.WaitAsync();
        Assert.That(wait.IsCompleted, Is.False);

        _content.EndStep();

        Assert.That(await wait, Is.Zero);
    }

    [Test]
    public void Somebody_may_be_called_in_place_of_a_wait()
    {
        int calls = 0;
        Steps();
        Assert.That(_content.TryWait(() => calls++), Is.True);

        _content.EndStep();

        Assert.That(calls, Is.EqualTo(1));
        Assert.That(_content.TryWait(() => calls++), Is.False, "there is content");
        Assert.That(calls, Is.EqualTo(1));
    }

    [Test]
    public async Task A_cancelled_wait_leaves_the_step_alone()
    {
        Steps();
        ValueTask<int> wait = _content.WaitAsync();
        _content.Cancel();
        Assert.That(await wait.InTime(), Is.EqualTo(Transport.Cancelled));
        Assert.That(Steps(), Is.False, "still in progress");

        ValueTask<int> again = _content.WaitAsync();
        _content.EndStep();

        Assert.That(await again, Is.Zero);
    }

    [Test]
    public async Task Without_a_wait_the_next_one_is_cancelled_and_only_that()
    {
        Steps();
        _content.Cancel();

        Assert.That(await _content.WaitAsync(), Is.EqualTo(Transport.Cancelled));
        Assert.That(_content.WaitAsync().IsCompleted, Is.False);
    }

    [Test]
    public void Behind_a_close_nothing_is_cancelled()
    {
        Steps();
        _content.Close();
        ValueTask<int> wait = _content.WaitAsync();
        _content.Cancel();

        Assert.That((_content.IsClosed, wait.IsCompleted), Is.EqualTo((true, false)));
    }

    private bool Steps() => _content.TryBeginStep(out _);
}
