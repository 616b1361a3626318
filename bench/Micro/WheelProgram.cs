using System.Diagnostics;
using HeartbeatServer.Engine;
using HeartbeatServer.Protocol;

namespace Micro;

/// <summary>
/// What the beat of so many connections costs without their sockets: the real wheel and heartbeats on a clock that is moved by hand, with
/// every pong a millisecond after its ping. Each beat is two visits: the ping, and the deadline that the pong has made void.
/// </summary>
internal static class WheelProgram
{
    private static readonly HeartbeatTimings Timings = new(TimeSpan.FromSeconds(10), TimeSpan.FromMilliseconds(500), MaxMissed: 3);

    /// <summary>The first round warms up code, caches and the wheel's list of what is due.</summary>
    private const int Rounds = 3;

    public static void Run(params int[] sizes)
    {
        Console.WriteLine(
            $"ping {Timings.Ping.TotalSeconds} s, timeout {Timings.Timeout.TotalMilliseconds} ms, a tick of {TimingWheel.Tick.TotalMilliseconds} ms; "
            + $"{Rounds - 1} rounds after one to warm up\n");
        Console.WriteLine("| heartbeats | bytes each | visits a tick | ns a visit | tick, mean (µs) | tick, p99 (µs) | tick, worst (µs) | of one core |");
        Console.WriteLine("|---|---|---|---|---|---|---|---|");
        foreach (int size in sizes)
            Measure(size);
    }

    private static void Measure(int size)
    {
        var time = new HandMovedTime();
        var random = new Random(1);
        long before = GC.GetTotalMemory(forceFullCollection: true);
        var wheel = new TimingWheel(time, Timings.Ping);
        var pinged = new List<Beat>(1024);
        var beats = new Beat[size];
        for (int i = 0; i < size; i++)
        {
            beats[i] = new Beat(wheel.Now, random.NextDouble(), i, pinged);
            wheel.Schedule(beats[i], beats[i].NextDue);
        }
        long bytes = GC.GetTotalMemory(forceFullCollection: true) - before - (long)size * IntPtr.Size;

        long round = (long)Math.Ceiling(Timings.Ping / TimingWheel.Tick);
        var costs = new List<double>();
        long visits = 0;
        for (long tick = 0; tick < Rounds * round; tick++)
        {
            time.Move(TimingWheel.Tick);
            Beat.Visits = 0;
            long start = Stopwatch.GetTimestamp();
            wheel.Advance();
            TimeSpan cost = Stopwatch.GetElapsedTime(start);
            if (tick >= round)
            {
                costs.Add(cost.TotalMicroseconds);
                visits += Beat.Visits;
            }
            foreach (Beat beat in pinged)
                beat.Pong(wheel.Now + TimeSpan.FromMilliseconds(1));
            pinged.Clear();
        }
        if (beats.Sum(beat => (long)beat.Missed) is > 0 and var missed)
            throw new InvalidOperationException($"{missed} pongs were missed on a clock that cannot be late");

        double total = costs.Sum();
        costs.Sort();
        Console.WriteLine(
            $"| {size:#,0} | {(double)bytes / size:0} | {(double)visits / costs.Count:0} | {total * 1000 / visits:0} | {total / costs.Count:0.0} "
            + $"| {costs[costs.Count * 99 / 100]:0.0} | {costs[^1]:0.0} | {total / costs.Count / TimingWheel.Tick.TotalMicroseconds:0.00%} |");
    }

    /// <summary>What a connection does when it is due, less the socket, the lock and the log.</summary>
    private sealed class Beat(TimeSpan now, double phase, int connections, List<Beat> pinged) : WheelEntry
    {
        public static int Visits;

        private static readonly byte[] Payload = new byte[sizeof(ulong)];

        private readonly Heartbeat _heartbeat = new(Timings, now, Timings.FirstPing(now, phase, connections));

        public TimeSpan NextDue => _heartbeat.NextDue;

        public int Missed => _heartbeat.Missed;

        public void Pong(TimeSpan now)
        {
            System.Buffers.Binary.BinaryPrimitives.WriteUInt64BigEndian(Payload, _heartbeat.Pings);
            _heartbeat.BytesReceived(now);
            _heartbeat.PongReceived(Payload, now, stall: TimeSpan.Zero, out _);
        }

        protected internal override TimeSpan OnDue(TimeSpan now, TimeSpan stall)
        {
            Visits++;
            HeartbeatStep step;
            while ((step = _heartbeat.Advance(now, stall)) != HeartbeatStep.None)
            {
                if (step == HeartbeatStep.Ping)
                {
                    _heartbeat.PingWritten(now);
                    pinged.Add(this);
                }
                else
                {
                    _heartbeat.Strike();
                }
            }
            return _heartbeat.NextDue;
        }
    }

    private sealed class HandMovedTime : TimeProvider
    {
        private TimeSpan _now = TimeSpan.FromDays(1);

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => _now.Ticks;

        public void Move(TimeSpan by) => _now += by;
    }
}
