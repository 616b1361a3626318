using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Runtime.Versioning;
using HeartbeatServer.Engine;
using HeartbeatServer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace HeartbeatServer.Tests.Engine;

/// <summary>The tests use the loop's own thread and the real clock. None depends on the speed of the machine.</summary>
public sealed class EventLoopTests
{
    [Test]
    public async Task The_thread_calls_what_is_due_and_never_early()
    {
        var wheel = new TimingWheel(TimeProvider.System, TimeSpan.FromSeconds(1));
        using EventLoop loop = Started(wheel);
        TimeSpan due = wheel.Now + TimeSpan.FromMilliseconds(30);
        var entry = new Signal(due);

        wheel.Schedule(entry, due);

        Assert.That(await entry.Called.InTime(), Is.GreaterThanOrEqualTo(due));
    }

    [Test]
    public async Task The_thread_parks_without_entries_and_wakes_for_the_next()
    {
        var wheel = new TimingWheel(TimeProvider.System, TimeSpan.FromSeconds(1));
        using EventLoop loop = Started(wheel);
        for (int i = 0; i < 3; i++)
        {
            var entry = new Signal(wheel.Now);
            wheel.Schedule(entry, wheel.Now);
            await entry.Called.InTime();
            Assert.That(wheel.Count, Is.Zero);
        }
    }

    [Test]
    public void A_loop_that_never_had_anything_to_do_can_be_disposed_of([Values] bool started)
    {
        var loop = new EventLoop(new TimingWheel(TimeProvider.System, TimeSpan.FromSeconds(1)));
        if (started)
            loop.Start();

        // Dispose waits for the thread.
        Assert.That(Task.Run(loop.Dispose).Wait(Safety.Limit), Is.True);
    }

    [Test]
    public async Task A_loop_that_is_late_catches_up_without_being_woken()
    {
        var wheel = new TimingWheel(TimeProvider.System, TimeSpan.FromSeconds(1));
        using EventLoop loop = Started(wheel);
        var blocked = new ManualResetEventSlim();
        var blocking = new Blocking(blocked);
        wheel.Schedule(blocking, wheel.Now);
        await blocking.Called.InTime();
        var entry = new Signal(wheel.Now);
        wheel.Schedule(entry, wheel.Now + 3 * TimingWheel.Tick);

        // The test holds up the loop's thread for more than a few ticks, and then lets it run.
        while (wheel.UntilTick > -10 * TimingWheel.Tick)
            await Task.Yield();
        blocked.Set();

        await entry.Called.InTime();
    }

    [Test]
    public void Code_that_returns_to_the_loop_goes_on_on_its_thread()
    {
        using EventLoop loop = Started(new TimingWheel(TimeProvider.System, TimeSpan.FromSeconds(1)));

        Task<(string?, bool)> returned = Task.Run(async () =>
        {
            await loop.ReturnAsync();
            return (Thread.CurrentThread.Name, loop.ReturnAsync().GetAwaiter().IsCompleted);
        });

        // The test does not await: what follows would run on the loop's thread, too.
        Assert.That(returned.Wait(Safety.Limit), Is.True);
        Assert.That(returned.Result, Is.EqualTo(("heartbeat", true)));
    }

    [Test]
    public async Task Many_threads_schedule_and_remove_while_it_turns()
    {
        const int threads = 4;
        const int each = 500;
        var wheel = new TimingWheel(TimeProvider.System, TimeSpan.FromMilliseconds(200));
        using EventLoop loop = Started(wheel);

        Signal[][] all = await Task.WhenAll(Enumerable.Range(0, threads).Select(seed => Task.Run(() =>
        {
            var random = new Random(seed);
            var entries = new Signal[each];
            for (int i = 0; i < each; i++)
            {
                TimeSpan due = wheel.Now + TimeSpan.FromMilliseconds(random.Next(0, 300));
                entries[i] = new Signal(due);
                wheel.Schedule(entries[i], due + TimeSpan.FromMilliseconds(random.Next(0, 50)));
                wheel.Schedule(entries[i], due);
                if (random.Next(4) == 0)
                    wheel.Remove(entries[random.Next(i + 1)]);
            }
            return entries;
        })));

        Signal[] kept = [.. all.SelectMany(entries => entries).Where(entry => entry.Slot != WheelEntry.Removed)];
        await Task.WhenAll(kept.Select(entry => entry.Called)).InTime();
        await Safety.UntilAsync(() => wheel.Count == 0, "an empty wheel");
        Assert.That(kept.Select(entry => entry.Early), Is.All.False);
    }

    [Test]
    [Platform("Linux")]
    [SupportedOSPlatform("linux")]
    public async Task What_a_socket_throws_costs_that_socket_and_not_the_loop([Values] bool noMemory)
    {
        var failures = new ConcurrentQueue<Exception>();
        Exception error = noMemory ? new InsufficientMemoryException() : new InvalidOperationException();
        using var loop = new EventLoop(new TimingWheel(TimeProvider.System, TimeSpan.FromSeconds(1)), failed: failures.Enqueue);
        loop.Start();
        (Socket peer, Socket socket) = SocketPair.Connect();
        (Socket healthyPeer, Socket healthySocket) = SocketPair.Connect();
        using (peer)
        using (healthyPeer)
        {
            var faulty = new Faulty(socket, error);
            loop.Epoll!.Watch((int)socket.Handle, loop.Epoll.Enter(faulty), Readiness.None, Readiness.Read);
            await using SocketTransport healthy = loop.Attach(healthySocket);

            peer.Send([1]);
            await faulty.Aborted.InTime();

            ValueTask<int> read = healthy.ReadAsync(new byte[10]);
            healthyPeer.Send([1, 2, 3]);
            Assert.That(await read.InTime(), Is.EqualTo(3));
            Assert.That(failures, Is.EqualTo(new[] { error }));
        }
    }

    [Test]
    public async Task What_an_entry_throws_costs_neither_the_others_nor_the_loop([Values] bool noMemory)
    {
        var failures = new ConcurrentQueue<Exception>();
        Exception error = noMemory ? new InsufficientMemoryException() : new InvalidOperationException();
        var wheel = new TimingWheel(TimeProvider.System, TimeSpan.FromSeconds(1));
        using var loop = new EventLoop(wheel, failed: failures.Enqueue);
        loop.Start();
        TimeSpan due = wheel.Now + TimingWheel.Tick;
        Signal[] others = [new(due), new(due + TimingWheel.Tick)];
        wheel.Schedule(others[0], due);
        wheel.Schedule(new Faulty(null, error), due);
        wheel.Schedule(others[1], due + TimingWheel.Tick);

        await Task.WhenAll(others.Select(entry => entry.Called)).InTime();

        Assert.That(failures, Has.Member(error));
    }

    [Test]
    [Platform("Linux")]
    [SupportedOSPlatform("linux")]
    public void What_a_tick_throws_in_the_middle_of_a_round_takes_no_socket_its_turn()
    {
        const int sockets = 20;
        var time = new FakeTimeProvider(DateTimeOffset.MinValue + TimeSpan.FromDays(1));
        var wheel = new TimingWheel(time, TimeSpan.FromSeconds(1), _ => throw new InsufficientMemoryException());
        var failures = new List<Exception>();
        using var loop = new EventLoop(wheel, failed: failures.Add);
        var pairs = new List<(Socket Peer, EpollTransport Transport)>();
        try
        {
            var waits = new List<Task<int>>();
            for (int i = 0; i < sockets; i++)
            {
                (Socket peer, Socket socket) = SocketPair.Connect();
                pairs.Add((peer, (EpollTransport)loop.Attach(socket)));
                pairs[i].Transport.IsEmptied = true; // epoll reports it once
                waits.Add(pairs[i].Transport.WaitReadableAsync(isBusy: false).AsTask());
                peer.Send([1]);
            }
            wheel.Schedule(new Signal(wheel.Now), wheel.Now);
            time.Advance(TimeSpan.FromSeconds(1));

            for (int served = 0; served < sockets;)
                served += loop.Serve((int)Safety.Limit.TotalMilliseconds);

            Assert.That(waits.TrueForAll(wait => wait.IsCompletedSuccessfully), Is.True);
            Assert.That(failures, Is.Not.Empty.And.All.InstanceOf<InsufficientMemoryException>());
        }
        finally
        {
            foreach ((Socket peer, EpollTransport transport) in pairs)
            {
                transport.Dispose();
                peer.Dispose();
            }
        }
    }

    [Test]
    public async Task Not_even_a_lack_of_memory_for_the_log_ends_the_loop()
    {
        var wheel = new TimingWheel(TimeProvider.System, TimeSpan.FromSeconds(1));
        using var loop = new EventLoop(wheel, failed: error => throw error);
        loop.Start();
        var entry = new Signal(wheel.Now);
        wheel.Schedule(new Faulty(null, new InsufficientMemoryException()), wheel.Now);
        wheel.Schedule(entry, wheel.Now + TimingWheel.Tick);

        await entry.Called.InTime();
    }

    private static EventLoop Started(TimingWheel wheel)
    {
        var loop = new EventLoop(wheel);
        loop.Start();
        return loop;
    }

    /// <summary>Holds up the thread that calls it.</summary>
    private sealed class Blocking(ManualResetEventSlim until) : WheelEntry
    {
        private readonly TaskCompletionSource _called = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Called => _called.Task;

        protected internal override TimeSpan OnDue(TimeSpan now, TimeSpan stall)
        {
            _called.SetResult();
            until.Wait(Safety.Limit);
            return TimeSpan.MaxValue;
        }
    }

    /// <summary>Throws when the loop or the wheel calls it.</summary>
    private sealed class Faulty(Socket? socket, Exception error) : WheelEntry, IReady
    {
        private readonly TaskCompletionSource _aborted = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Aborted => _aborted.Task;

        public Priority Priority => Priority.Normal;

        public void OnReady(Readiness ready) => throw error;

        public void Abort()
        {
            socket!.Dispose();
            _aborted.SetResult();
        }

        protected internal override TimeSpan OnDue(TimeSpan now, TimeSpan stall) => throw error;
    }

    private sealed class Signal(TimeSpan due) : WheelEntry
    {
        private readonly TaskCompletionSource<TimeSpan> _called = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<TimeSpan> Called => _called.Task;

        public bool Early { get; private set; }

        protected internal override TimeSpan OnDue(TimeSpan now, TimeSpan stall)
        {
            Early |= now < due;
            _called.TrySetResult(now);
            return TimeSpan.MaxValue;
        }
    }
}
