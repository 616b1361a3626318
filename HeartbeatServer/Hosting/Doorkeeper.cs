using System.Net;
using System.Text;
using HeartbeatServer.Connections;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Hosting;

/// <summary>
/// Keeps the port open, and does at it what HttpListener does not: requests that are not finished in time, or have a line without end, are
/// turned away; and when the process runs out of descriptors the port is closed until there is room again. (At that limit
/// HttpListener would call accept without pause.)
/// </summary>
/// <remarks>
/// It has a thread of its own, for a timer would wake two: its own, and one of the thread pool. On a machine at rest each wake-up costs some
/// 0.1 ms of CPU time, so nothing happens more often than it must.
/// </remarks>
internal sealed class Doorkeeper : IDisposable
{
    /// <summary>Between two looks. While requests are pending it is short, because a header line grows as fast as the network delivers.</summary>
    private const int IntervalMs = 100;
    private const int PendingIntervalMs = 20;
    private const int ShortestIntervalMs = 2;

    /// <summary>Connections that may come in within a millisecond: with few descriptors to lose, it is looked after them more often.</summary>
    private const int AcceptsPerMs = 50;

    /// <summary>How long the port stays closed at least, and how often a full house is worth a line in the log.</summary>
    private static readonly TimeSpan ClosedFor = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan WarnEvery = TimeSpan.FromSeconds(10);

    /// <summary>In characters; what HttpListener allows a whole header when its lines are short.</summary>
    private const int MaxLine = 32 * 1024;

    private readonly HttpListener _listener;
    private readonly Door _door;
    private readonly TimeProvider _time;
    private readonly Func<int> _connections;
    private readonly Action<RefusalReason>? _rejected;
    private readonly ServerLog _log;
    private HttpTakeover.Binding? _binding;
    private OpenFiles? _files;
    private readonly ManualResetEventSlim _closed = new(false, spinCount: 0);
    private Thread? _thread;

    // When each unfinished request was first seen.
    private Dictionary<object, TimeSpan> _firstSeen = [];
    private TimeSpan _closedAt;
    private TimeSpan _warned = -WarnEvery;
    private bool _toldFull;

    /// <param name="listener">Started, and without prefixes.</param>
    /// <param name="door">The port.</param>
    /// <param name="time">The clock.</param>
    /// <param name="connections">How many descriptors are in use beside those of unfinished requests.</param>
    /// <param name="rejected">Called for each request that is turned away.</param>
    /// <param name="log">Tells.</param>
    public Doorkeeper(HttpListener listener, Door door, TimeProvider time, Func<int> connections, Action<RefusalReason>? rejected, ServerLog log) =>
        (_listener, _door, _time, _connections, _rejected, _log) = (listener, door, time, connections, rejected, log);

    /// <exception cref="HttpListenerException">The port could not be bound.</exception>
    public void Open()
    {
        _binding = HttpTakeover.Bind(_listener, _door.Host, _door.Port);
        _files = new OpenFiles("/proc/self");
        _thread = new Thread(Run, 256 * 1024) { IsBackground = true, Name = "doorkeeper" };
        _thread.Start();
    }

    /// <summary>Closes the port. Connections that were upgraded go on.</summary>
    public void Dispose()
    {
        _closed.Set();
        _thread?.Join();
        _closed.Dispose();
        _binding?.Dispose();
    }

    private void Run()
    {
        int untilFull = _files!.MaxConnections / (2 * AcceptsPerMs);
        bool pending = false;
        while (!_closed.Wait(Math.Clamp(untilFull, ShortestIntervalMs, pending ? PendingIntervalMs : IntervalMs)))
        {
            try
            {
                pending = Sweep();
            }
#pragma warning disable CA1031 // The next sweep must come.
            catch (Exception e)
#pragma warning restore CA1031
            {
                _log.ChoreFailed(e);
            }
        }
    }

    /// <returns>Whether requests are pending, or the port is closed: then the next look is due soon.</returns>
    private bool Sweep()
    {
        TimeSpan now = _time.GetElapsedTime(0);
        if (_binding is null)
        {
            if (now - _closedAt >= ClosedFor && _connections() < _files!.MaxConnections)
            {
                _closedAt = now;
                Reopen(now);
            }
            return true;
        }

        List<HttpTakeover.PendingRequest> pending = _binding.Pending();
        bool isCrowded = pending.Count >= _door.MostUnfinished;
        if (isCrowded || _connections() + pending.Count >= _files!.MaxConnections)
        {
            _binding.Dispose();
            _binding = null;
            _closedAt = now;
            _toldFull = now - _warned >= WarnEvery;
            if (_toldFull)
            {
                _warned = now;
                if (isCrowded)
                    _log.TooManyUnfinished(_door.Port, pending.Count);
                else
                    _log.NoRoom(_connections(), _files!.MaxConnections);
            }
            return true;
        }

        if (pending.Count == 0)
        {
            _firstSeen.Clear();
            return false;
        }
        var seen = new Dictionary<object, TimeSpan>(pending.Count);
        foreach (HttpTakeover.PendingRequest request in pending)
        {
            TimeSpan since = _firstSeen.GetValueOrDefault(request.Connection, now);
            seen.Add(request.Connection, since);
            if (request.LineLength > MaxLine)
                Reject(request, RefusalReason.HeaderTooLarge, "Request Header Fields Too Large", $"a line of more than {MaxLine / 1024} KiB in a request");
            else if (now - since >= _door.RequestTimeout)
                Reject(request, RefusalReason.RequestTimeout, "Request Timeout", $"the request was not finished within {Duration.Format(_door.RequestTimeout)}");
        }
        _firstSeen = seen;
        return true;
    }

    private void Reopen(TimeSpan now)
    {
        try
        {
            _binding = HttpTakeover.Bind(_listener, _door.Host, _door.Port);
            if (_toldFull)
                _log.RoomAgain(_door.Port, _connections(), _files!.MaxConnections);
        }
        catch (HttpListenerException e)
        {
            if (now - _warned < WarnEvery)
                return; // told already; the next try is in a second
            _warned = now;
            _log.CannotReopen(_door.Explain(e));
        }
    }

    private void Reject(HttpTakeover.PendingRequest request, RefusalReason reason, string phrase, string text)
    {
        _rejected?.Invoke(reason);
        _log.RequestRejected(request.Remote, reason.Status(), text);
        request.Reject(Encoding.ASCII.GetBytes(
            $"HTTP/1.1 {reason.Status()} {phrase}\r\nContent-Type: text/plain\r\nContent-Length: {text.Length + 1}\r\nConnection: close\r\n\r\n{text}\n"));
    }
}
