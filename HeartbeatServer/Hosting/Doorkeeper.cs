using System.Net;
using System.Text;
using HeartbeatServer.Connections;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Hosting;

/// <summary>
/// Keeps the port open, and does at it what HttpListener does not: requests that are not finished in time, or have a line without end, are
/// turned away; and when the process runs out of descriptors the port is closed until there is room again. (At that limit
/// HttpListener would call accept without pause, on the thread that all connections share.)
/// </summary>
internal sealed class Doorkeeper : IAsyncDisposable
{
    /// <summary>Short, because a header line grows as fast as the network delivers.</summary>
    private const int LongestIntervalMs = 20;
    private const int ShortestIntervalMs = 2;

    /// <summary>Connections that may come in within a millisecond: with few descriptors to lose, it is looked after them more often.</summary>
    private const int AcceptsPerMs = 50;

    /// <summary>How long the port stays closed at least, and how often a full house is worth a line in the log.</summary>
    private static readonly TimeSpan ClosedFor = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan WarnEvery = TimeSpan.FromSeconds(10);

    /// <summary>In characters; what HttpListener allows a whole header when its lines are short.</summary>
    private const int MaxLine = 32 * 1024;

    private readonly HttpListener _listener;
    private readonly ServerOptions _options;
    private readonly TimeProvider _time;
    private readonly ConnectionTable _table;
    private readonly ServerMetrics _metrics;
    private readonly ServerLog _log;
    private HttpTakeover.Binding? _binding;
    private OpenFiles? _files;
    private Periodic? _sweeping;

    // When each unfinished request was first seen.
    private Dictionary<object, TimeSpan> _firstSeen = [];
    private TimeSpan _closedAt;
    private TimeSpan _warned = -WarnEvery;
    private bool _toldFull;

    public Doorkeeper(HttpListener listener, ServerOptions options, TimeProvider time, ConnectionTable table, ServerMetrics metrics, ServerLog log) =>
        (_listener, _options, _time, _table, _metrics, _log) = (listener, options, time, table, metrics, log);

    /// <exception cref="HttpListenerException">The port could not be bound.</exception>
    public void Open()
    {
        _binding = HttpTakeover.Bind(_listener, _options.Host, _options.Port);
        _files = new OpenFiles("/proc/self");
        int interval = Math.Clamp(_files.MaxConnections / (2 * AcceptsPerMs), ShortestIntervalMs, LongestIntervalMs);
        _sweeping = new Periodic(TimeSpan.FromMilliseconds(interval), _time, _log, Sweep);
    }

    /// <summary>Closes the port. Connections that were upgraded go on.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_sweeping is not null)
            await _sweeping.DisposeAsync();
        _binding?.Dispose();
    }

    private void Sweep()
    {
        TimeSpan now = _time.GetElapsedTime(0);
        if (_binding is null)
        {
            if (now - _closedAt >= ClosedFor && _table.Count < _files!.MaxConnections)
            {
                _closedAt = now;
                Reopen(now);
            }
            return;
        }

        List<HttpTakeover.PendingRequest> pending = _binding.Pending();
        if (_table.Count + pending.Count >= _files!.MaxConnections)
        {
            _binding.Dispose();
            _binding = null;
            _closedAt = now;
            _toldFull = now - _warned >= WarnEvery;
            if (_toldFull)
            {
                _warned = now;
                _log.NoRoom(_table.Count, _files.MaxConnections);
            }
            return;
        }

        if (pending.Count == 0)
        {
            _firstSeen.Clear();
            return;
        }
        var seen = new Dictionary<object, TimeSpan>(pending.Count);
        foreach (HttpTakeover.PendingRequest request in pending)
        {
            TimeSpan since = _firstSeen.GetValueOrDefault(request.Connection, now);
            seen.Add(request.Connection, since);
            if (request.LineLength > MaxLine)
                Reject(request, 431, "Request Header Fields Too Large", $"a line of more than {MaxLine / 1024} KiB in a request");
            else if (now - since >= _options.HandshakeTimeout)
                Reject(request, 408, "Request Timeout", $"the request was not finished within {Duration.Format(_options.HandshakeTimeout)}");
        }
        _firstSeen = seen;
    }

    private void Reopen(TimeSpan now)
    {
        try
        {
            _binding = HttpTakeover.Bind(_listener, _options.Host, _options.Port);
            if (_toldFull)
                _log.RoomAgain(_table.Count, _files!.MaxConnections);
        }
        catch (HttpListenerException e)
        {
            if (now - _warned < WarnEvery)
                return; // told already; the next try is in a second
            _warned = now;
            _log.CannotReopen(BindError.Describe(_options.Host, _options.Port, e));
        }
    }

    private void Reject(HttpTakeover.PendingRequest request, int status, string phrase, string reason)
    {
        _metrics.CountRefused();
        _log.RequestRejected(request.Remote, status, reason);
        request.Reject(Encoding.ASCII.GetBytes(
            $"HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain\r\nContent-Length: {reason.Length + 1}\r\nConnection: close\r\n\r\n{reason}\n"));
    }
}
