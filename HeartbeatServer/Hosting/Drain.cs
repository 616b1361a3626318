using HeartbeatServer.Connections;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;

namespace HeartbeatServer.Hosting;

/// <summary>
/// Ends all connections when the server is to stop. It sends Close 1001 to every client, at a pace, and waits until all have answered. At the end of the
/// window it cuts those that have not. A window of zero cuts at once.
/// </summary>
internal sealed class Drain(ConnectionTable table, TimeSpan window, TimeProvider time, ServerLog log)
{
    /// <summary>Close frames a second, if the window is long enough for that: all clients connect again at once, and that is a burst elsewhere.</summary>
    private const int ClosesPerSecond = 1000;

    /// <summary>The Close frames of so much time leave together.</summary>
    private static readonly TimeSpan PaceStep = TimeSpan.FromMilliseconds(20);

    /// <summary>If a timer comes later than this, the process itself was held up.</summary>
    private static readonly TimeSpan StallTolerance = TimeSpan.FromMilliseconds(100);

    private readonly TaskCompletionSource _empty = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _hasBegun;

    /// <summary>How many have entered and not left: requests that may become connections, and connections.</summary>
    private int _present;

    /// <summary>Whether new upgrades are refused.</summary>
    public bool HasBegun => Volatile.Read(ref _hasBegun);

    /// <summary>Called once when the drain begins.</summary>
    public Action? Begun { get; set; }

    /// <summary>Ends all connections. Afterwards there is none.</summary>
    /// <param name="signal">What asked for the drain, for the log.</param>
    /// <param name="now">Cancelled when the rest is to be cut at once.</param>
    public async Task RunAsync(string signal, CancellationToken now)
    {
        long start = time.GetTimestamp();
        // A full fence: either the code below sees who has entered and what is in the table, or they see that the drain has begun.
        Interlocked.Exchange(ref _hasBegun, true);
        Begun?.Invoke();
        int count = table.Count;
        log.Draining(signal, count, window);
        if (count == 0 && Volatile.Read(ref _present) == 0)
            _empty.TrySetResult();

        var goodbye = new Disconnect(DisconnectCause.ServerShutdown, $"sent Close {CloseCode.GoingAway}: {signal}");
        try
        {
            int sent = 0;
            foreach (Connection connection in table.Open)
            {
                while (sent >= MaySend(count, window, time.GetElapsedTime(start)))
                    await Task.Delay(PaceStep, time, now);
                Close(connection, goodbye);
                sent++;
            }
            bool isEmpty = await IsEmptyWithinAsync(window - time.GetElapsedTime(start), now);
            // When the process itself was held up until after the window, the answers of the clients may be here and not read yet.
            TimeSpan stall = time.GetElapsedTime(start) - window;
            if (!isEmpty && window > TimeSpan.Zero && stall > StallTolerance)
                await IsEmptyWithinAsync(stall, now);
        }
        catch (OperationCanceledException)
        {
            // The second signal came.
        }

        await CutAllAsync(goodbye);
    }

    /// <returns>Whether all connections have ended within the time.</returns>
    private async Task<bool> IsEmptyWithinAsync(TimeSpan wait, CancellationToken now)
    {
        try
        {
            await _empty.Task.WaitAsync(wait > TimeSpan.Zero ? wait : TimeSpan.Zero, time, now);
            return true;
        }
        catch (TimeoutException)
        {
            return false;
        }
    }

    /// <summary>To be called after a connection has entered the table: the drain may have looked there before.</summary>
    public void OnOpened(Connection connection)
    {
        if (HasBegun)
            Close(connection, new Disconnect(DisconnectCause.ServerShutdown, "came while draining"));
    }

    /// <summary>
    /// To be called before a request is upgraded. From then on the drain waits for it: a client that has its 101 gets a Close frame, too, even if its
    /// connection is not in the table yet.
    /// </summary>
    /// <returns>False if the drain has begun: the request is to be refused. Otherwise <see cref="Leave"/> follows.</returns>
    public bool TryEnter()
    {
        Interlocked.Increment(ref _present);
        if (!HasBegun)
            return true;
        Leave();
        return false;
    }

    /// <summary>To be called after a request has been refused, or after its connection has left the table: the last one ends the wait.</summary>
    public void Leave()
    {
        if (Interlocked.Decrement(ref _present) == 0 && HasBegun)
            _empty.TrySetResult();
    }

    /// <summary>Cuts every connection, and waits until the table is empty.</summary>
    public async Task CutAllAsync(Disconnect end)
    {
        if (table.Count > 0)
            log.CuttingRest(table.Count);
        while (table.Count > 0)
        {
            foreach (Connection connection in table.Open)
                connection.Cut(end);
            await Task.Delay(1, CancellationToken.None);
        }
    }

    /// <summary>
    /// How many Close frames may have left: 1,000 a second, or as many more as it takes to send all of them in half the window. The last client then has
    /// the other half to answer.
    /// </summary>
    /// <param name="connections">How many were open when the drain began.</param>
    /// <param name="window">How long the drain may take.</param>
    /// <param name="elapsed">How long ago it began.</param>
    internal static double MaySend(int connections, TimeSpan window, TimeSpan elapsed)
    {
        double sending = Math.Max(window.TotalSeconds / 2, 0.001); // a window of zero divides nothing
        return Math.Max(ClosesPerSecond, connections / sending) * (elapsed + PaceStep).TotalSeconds;
    }

    private static void Close(Connection connection, Disconnect end) => connection.Close(end, CloseCode.GoingAway, "server is shutting down");
}
