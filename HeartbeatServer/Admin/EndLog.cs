using System.Net;
using HeartbeatServer.Connections;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Admin;

/// <summary>An end that is remembered.</summary>
/// <param name="Sequence">From 1, in the order of the ends.</param>
/// <param name="At">When, UTC.</param>
/// <param name="Id">Of the connection.</param>
/// <param name="Remote">Of the client.</param>
/// <param name="Cause">Why.</param>
/// <param name="Detail">The particulars, for a person.</param>
/// <param name="Verdict">Of a pong timeout.</param>
/// <param name="Figures">Of its whole life.</param>
internal sealed record EndRecord(
    long Sequence, DateTime At, long Id, EndPoint Remote, DisconnectCause Cause, string Detail, PathVerdict? Verdict, ConnectionFigures Figures);

/// <summary>The last ends. Any thread may add.</summary>
/// <param name="time">The clock.</param>
internal sealed class EndLog(TimeProvider time)
{
    public const int Length = 1000;

    private readonly Lock _gate = new();
    private readonly EndRecord?[] _ring = new EndRecord?[Length];
    private long _last;

    public void Add(Connection connection, Disconnect end, ConnectionFigures figures)
    {
        DateTime at = time.GetUtcNow().UtcDateTime;
        lock (_gate)
        {
            long sequence = ++_last;
            _ring[sequence % Length] =
                new EndRecord(sequence, at, connection.Id, connection.Remote, end.Cause, end.Detail, end.Verdict, figures);
        }
    }

    /// <summary>Newest first.</summary>
    /// <param name="after">Only those with a higher sequence number.</param>
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
