using System.Net;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Telemetry;

/// <summary>The end of a connection, as it is remembered.</summary>
/// <param name="Sequence">From 1, in the order of the ends.</param>
/// <param name="At">UTC.</param>
/// <param name="Id">The number of the connection.</param>
/// <param name="Remote">The client.</param>
/// <param name="End">The cause and the particulars.</param>
/// <param name="Figures">What the connection did in its whole life.</param>
internal sealed record EndRecord(long Sequence, DateTime At, long Id, EndPoint Remote, Disconnect End, ConnectionFigures Figures);

/// <summary>Remembers the last ends. Any thread may add.</summary>
internal sealed class EndLog(TimeProvider time)
{
    /// <summary>How many ends are remembered.</summary>
    public const int Length = 1000;

    private readonly Lock _gate = new();
    private readonly EndRecord?[] _ring = new EndRecord?[Length];
    private long _last;

    public void Add(long id, EndPoint remote, Disconnect end, ConnectionFigures figures)
    {
        DateTime at = time.GetUtcNow().UtcDateTime;
        lock (_gate)
        {
            long sequence = ++_last;
            _ring[sequence % Length] = new EndRecord(sequence, at, id, remote, end, figures);
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
