using System.Globalization;
using System.Threading.Channels;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Probe;

/// <summary>One connection that shows what comes, and answers pings.</summary>
/// <param name="now">The clock of the run.</param>
/// <param name="events">What the connection sees.</param>
/// <param name="display">Gets a line for each ping, for the first data and for the end.</param>
internal sealed class PlainClient(Func<TimeSpan> now, ChannelReader<ProbeEvent> events, ProbeDisplay display)
{
    /// <summary>A server that pings more often than this has no line for each of its pings. Their numbers show how many there are.</summary>
    private static readonly TimeSpan BetweenPings = TimeSpan.FromMilliseconds(100);

    private TimeSpan? _pingShown;

    /// <summary>How many bytes of data have come; null if none has.</summary>
    private long? _bytes;

    /// <summary>Watches until it is stopped, or until the connection ends.</summary>
    /// <param name="watched">Gets what happens.</param>
    /// <param name="stop">Stops it.</param>
    public async Task RunAsync(Watched watched, CancellationToken stop)
    {
        while (watched.IsOpen)
        {
            ProbeEvent seen;
            try
            {
                seen = await events.ReadAsync(stop);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            Show(watched, seen);
        }
    }

    /// <summary>Notes what has happened, and shows it.</summary>
    public void Show(Watched watched, ProbeEvent seen)
    {
        if (Take(watched, seen) is { } line)
            display.Write(ProgressText.At(seen.At) + line);
    }

    /// <summary>How it went.</summary>
    public string Summary(Watched watched) => watched.End is { } end
        ? $"The connection ended at the age of {ReadableTime.Measured(watched.Age(now()))}, after {ReadableTime.Measured(watched.Silence(now()))} without "
            + $"a byte: {end.Text}. Until then it brought {Brought(watched)}. --for 5m finds out whether that is a rule."
        : $"Open for {ReadableTime.Measured(watched.Age(now()))}: {Brought(watched)}.{(watched.Pongs == 0 ? $" {VerdictText.NoPong}." : "")} Goodbye.";

    private string? Take(Watched watched, ProbeEvent seen)
    {
        switch (seen.Kind)
        {
            case ProbeEventKind.Ping:
                string gap = watched.ServerPings == 0 ? "" : $", {ReadableTime.Measured(seen.At - watched.LastByte)} after the last byte";
                watched.Hear(isPing: true, seen.At);
                if (seen.At - _pingShown < BetweenPings)
                    return null;
                _pingShown = seen.At;
                return $"ping {Number(watched.ServerPings)} from the server, answered{gap}";
            case ProbeEventKind.Data:
                watched.Hear(isPing: false, seen.At);
                bool isFirst = _bytes is null;
                _bytes = (_bytes ?? 0) + seen.Bytes;
                return isFirst ? "data from the server; what follows is counted" : null;
            case ProbeEventKind.Pong:
                string late = watched.Pinged is { } ping ? $"{ReadableTime.Measured(seen.At - ping)} after it" : "once more";
                watched.Answer(seen.At);
                return $"the answer to our ping, {late}";
            case ProbeEventKind.End:
                watched.Finish(seen.End!, seen.At);
                return seen.End!.Text;
            default:
                return null;
        }
    }

    private string Brought(Watched watched)
    {
        string pings = watched.ServerPings switch
        {
            0 => "no ping from the server",
            1 => "1 ping from the server, answered",
            var count => $"{Number(count)} pings from the server, all answered",
        };
        return _bytes is { } bytes ? $"{pings}, and {Number(bytes)} bytes of data" : pings;
    }

    private static string Number(long value) => value.ToString("N0", CultureInfo.InvariantCulture);
}
