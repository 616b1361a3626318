using System.Net;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Telemetry;

/// <summary>The end of a connection, as it is remembered.</summary>
/// <param name="Sequence">From 1, in the order of the ends.</param>
/// <param name="At">UTC.</param>
/// <param name="Moment">The same moment on a clock that nobody sets.</param>
/// <param name="Id">The number of the connection.</param>
/// <param name="Remote">The address of the client.</param>
/// <param name="Client">What the client said of itself.</param>
/// <param name="End">The cause and the particulars.</param>
/// <param name="Figures">What the connection did in its whole life.</param>
/// <param name="Open">How many connections were open, this one included.</param>
internal sealed record EndRecord(
    long Sequence, DateTime At, TimeSpan Moment, long Id, EndPoint Remote, ClientInfo Client, Disconnect End, ConnectionFigures Figures, int Open)
{
    /// <summary>When the connection opened, on the clock of <see cref="Moment"/>.</summary>
    public TimeSpan Opened => Moment - Figures.Age;

    /// <summary>How long no byte had gone either way.</summary>
    public TimeSpan Silence => Figures.SinceLastByte < Figures.SinceLastSent ? Figures.SinceLastByte : Figures.SinceLastSent;
}

/// <summary>Ends of one cause within <see cref="EndLog.Step"/>.</summary>
/// <param name="Cause">Of all of them.</param>
/// <param name="First">The moment of the first.</param>
/// <param name="Last">The moment of the last.</param>
/// <param name="Count">How many there were.</param>
/// <param name="Open">How many connections were open at the first, that one included.</param>
internal readonly record struct EndStep(DisconnectCause Cause, TimeSpan First, TimeSpan Last, int Count, int Open);

/// <summary>The record at one moment.</summary>
/// <param name="Ends">The remembered ends, oldest first.</param>
/// <param name="Steps">The same ends and as many before them as fit, counted, in the order of their first ends.</param>
/// <param name="Since">From when on every end is among the steps.</param>
internal sealed record EndSnapshot(IReadOnlyList<EndRecord> Ends, IReadOnlyList<EndStep> Steps, TimeSpan Since);

/// <summary>
/// Remembers the last ends. When thousands end at once, only the last of them are remembered, but all are counted. Any thread may add.
/// </summary>
internal sealed class EndLog(TimeProvider time)
{
    /// <summary>How many ends are remembered.</summary>
    public const int Length = 1000;

    /// <summary>Ends of one cause are counted together for so long.</summary>
    public static readonly TimeSpan Step = TimeSpan.FromSeconds(0.1);

    private readonly TimeSpan _since = time.GetElapsedTime(0);
    private readonly Lock _gate = new();
    private readonly EndRecord?[] _ring = new EndRecord?[Length];

    // A step has at least one end, so that the last steps reach at least as far back as the last ends.
    private readonly EndStep[] _steps = new EndStep[Length];

    // The number of the last step of each cause.
    private readonly long[] _stepOf = new long[DisconnectCauses.All.Length];
    private long _last;
    private long _lastStep;

    /// <summary>How many ends there were since the start.</summary>
    public long Count => Interlocked.Read(ref _last);

    /// <param name="id">The number of the connection.</param>
    /// <param name="remote">The address of the client.</param>
    /// <param name="client">What the client said of itself.</param>
    /// <param name="end">The cause and the particulars.</param>
    /// <param name="figures">What the connection did in its whole life.</param>
    /// <param name="open">How many connections are open, this one included.</param>
    public void Add(long id, EndPoint remote, ClientInfo client, Disconnect end, ConnectionFigures figures, int open)
    {
        DateTime at = time.GetUtcNow().UtcDateTime;
        TimeSpan moment = time.GetElapsedTime(0);
        lock (_gate)
        {
            long sequence = ++_last;
            _ring[sequence % Length] = new EndRecord(sequence, at, moment, id, remote, client, end, figures, open);
            CountStep(end.Cause, moment, open);
        }
    }

    /// <summary>The remembered ends, newest first.</summary>
    /// <param name="after">Only ends with a higher sequence number are returned.</param>
    public IReadOnlyList<EndRecord> After(long after)
    {
        lock (_gate)
        {
            var ends = new List<EndRecord>();
            for (long i = _last; i > Math.Max(after, _last - Length) && i > 0; i--)
                ends.Add(_ring[i % Length]!);
            return ends;
        }
    }

    public EndSnapshot Snapshot()
    {
        lock (_gate)
        {
            var ends = new List<EndRecord>();
            for (long i = Math.Max(0, _last - Length) + 1; i <= _last; i++)
                ends.Add(_ring[i % Length]!);
            var steps = new List<EndStep>();
            for (long i = Math.Max(0, _lastStep - Length) + 1; i <= _lastStep; i++)
                steps.Add(_steps[i % Length]);
            return new EndSnapshot(ends, steps, _lastStep > Length ? steps[0].First : _since);
        }
    }

    private void CountStep(DisconnectCause cause, TimeSpan moment, int open)
    {
        ref long number = ref _stepOf[(int)cause];
        if (number > 0 && number > _lastStep - Length)
        {
            ref EndStep step = ref _steps[number % Length];
            if (moment - step.First < Step)
            {
                step = step with { Last = moment, Count = step.Count + 1 };
                return;
            }
        }
        number = ++_lastStep;
        _steps[number % Length] = new EndStep(cause, moment, moment, 1, open);
    }
}
