using System.Threading.Channels;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Probe;

/// <summary>Pings a new connection five times: does the server answer, and how fast?</summary>
/// <param name="time">The clock.</param>
/// <param name="now">The clock of the run.</param>
/// <param name="events">What the connection sees.</param>
/// <param name="heard">Gets what comes meanwhile and is no answer.</param>
internal sealed class FirstPings(TimeProvider time, Func<TimeSpan> now, ChannelReader<ProbeEvent> events, Action<ProbeEvent> heard)
{
    private const int Count = 5;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private RoundTrips _roundTrips;

    /// <summary>The round trips of those that were answered.</summary>
    public RoundTrips RoundTrips => _roundTrips;

    /// <summary>Sends them one after the other. It stops when one gets no answer, or when the connection ends.</summary>
    /// <param name="line">A connection that was started.</param>
    /// <param name="watched">Gets what happens.</param>
    /// <param name="cancel">Stops it.</param>
    /// <exception cref="OperationCanceledException">It was stopped.</exception>
    public async Task RunAsync(ProbeLine line, Watched watched, CancellationToken cancel)
    {
        for (int i = 0; i < Count && watched.IsOpen; i++)
        {
            if (i > 0)
                await Task.Delay(Pause, time, cancel);
            watched.Ping(now());
            TimeSpan sent = watched.LastPing;
            line.SendPing();
            if (!await AnswerAsync(watched, cancel))
                return;
            _roundTrips.Add(watched.LastByte - sent);
        }
    }

    /// <summary>Waits for the answer to a ping, and notes what comes before it.</summary>
    private async Task<bool> AnswerAsync(Watched watched, CancellationToken cancel)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        using var patience = new CancellationTokenSource(Patience, time);
        await using CancellationTokenRegistration _ = patience.Token.Register(limit.Cancel);
        try
        {
            while (true)
            {
                ProbeEvent seen = await events.ReadAsync(limit.Token);
                switch (seen.Kind)
                {
                    case ProbeEventKind.Pong:
                        watched.Answer(seen.At);
                        return true;
                    case ProbeEventKind.End:
                        watched.Finish(seen.End!, seen.At);
                        return false;
                    default:
                        heard(seen);
                        break;
                }
            }
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            return false;
        }
    }
}
