using System.Globalization;
using System.Threading.Channels;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Probe;

/// <summary>One connection that shows what comes, and answers pings.</summary>
/// <param name="now">The clock of the run.</param>
/// <param name="events">What the connection sees.</param>
/// <param name="display">Gets a line for each of it.</param>
internal sealed class PlainClient(Func<TimeSpan> now, ChannelReader<ProbeEvent> events, ProbeDisplay display)
{
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
            + $"a byte: {end.Text}. --for 5m finds out whether that is a rule."
        : $"Open for {ReadableTime.Measured(watched.Age(now()))}: {Count(watched.ServerPings, "ping")} from the server, all answered. Goodbye.";

    private static string? Take(Watched watched, ProbeEvent seen)
    {
        switch (seen.Kind)
        {
            case ProbeEventKind.Ping:
                string gap = watched.ServerPings == 0 ? "" : $", {ReadableTime.Measured(seen.At - watched.LastByte)} after the last byte";
                watched.Hear(isPing: true, seen.At);
                return $"ping {watched.ServerPings.ToString(CultureInfo.InvariantCulture)} from the server, answered{gap}";
            case ProbeEventKind.Data:
                watched.Hear(isPing: false, seen.At);
                return "data from the server";
            case ProbeEventKind.End:
                watched.Finish(seen.End!, seen.At);
                return seen.End!.Text;
            default:
                return null;
        }
    }

    private static string Count(int count, string what) => $"{count.ToString(CultureInfo.InvariantCulture)} {what}{(count == 1 ? "" : "s")}";
}
