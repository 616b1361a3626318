using System.Net;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Telemetry;

/// <summary>The end of a connection, as it is remembered.</summary>
/// <param name="Sequence">From 1, in the order of the ends.</param>
/// <param name="At">UTC.</param>
/// <param name="Moment">The same moment on a clock that nobody sets.</param>
/// <param name="Id">The number of the connection.</param>
/// <param name="Remote">The client.</param>
/// <param name="End">The cause and the particulars.</param>
/// <param name="Figures">What the connection did in its whole life.</param>
/// <param name="Open">How many connections were open, this one included.</param>
internal sealed record EndRecord(
    long Sequence, DateTime At, TimeSpan Moment, long Id, EndPoint Remote, Disconnect End, ConnectionFigures Figures, int Open);

/// <summary>Remembers the last ends. Any thread may add.</summary>
internal sealed class EndLog(TimeProvider time)
{
    /// <summary>How many ends are remembered.</summary>
    public const int Length = 1000;

    private readonly Lock _gate = new();
    private readonly EndRecord?[] _ring = new EndRecord?[Length];
    private long _last;

    /// <param name="id">The number of the connection.</param>
    /// <param name="remote">The client.</param>
    /// <param name="end">The cause and the particulars.</param>
    /// <param name="figures">What the connection did in its whole life.</param>
    /// <param name="open">How many connections are open, this one included.</param>
    public void Add(long id, EndPoint remote, Disconnect end, ConnectionFigures figures, int open)
    {
        DateTime at = time.GetUtcNow().UtcDateTime;
        TimeSpan moment = time.GetElapsedTime(0);
        lock (_gate)
        {
            long sequence = ++_last;
            _ring[sequence % Length] = new EndRecord(sequence, at, moment, id, remote, end, figures, open);
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
}
