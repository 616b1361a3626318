using System.Globalization;
using System.Net;
using System.Threading.Channels;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Probe;

/// <summary>Does what the campaign wants: it connects, pings and ends, tells the campaign what the connections see, and shows the progress.</summary>
/// <param name="dialer">Makes the connections.</param>
/// <param name="address">Where all of them go.</param>
/// <param name="message">What each of them sends once; null for nothing.</param>
/// <param name="time">The clock.</param>
/// <param name="now">The clock of the run.</param>
/// <param name="events">What the connections see; the run adds how its attempts to connect went.</param>
/// <param name="display">Shows the progress.</param>
internal sealed class CampaignRun(
    Dialer dialer, IPEndPoint address, string? message, TimeProvider time, Func<TimeSpan> now, Channel<ProbeEvent> events, ProbeDisplay display)
{
    private static readonly TimeSpan Frame = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LineEvery = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(1);

    /// <summary>A server that wants us to wait longer than this will not see us again.</summary>
    private static readonly TimeSpan LongestRetryAfter = TimeSpan.FromHours(1);

    private readonly Dictionary<int, ProbeLine> _lines = [];
    private readonly List<Task> _dials = [];
    private TimeSpan _nextLine = LineEvery;
    private TimeSpan _nextLook;
    private TimeSpan _nextFrame;

    /// <summary>The connections that are open. The caller ends them.</summary>
    public IEnumerable<ProbeLine> Lines => _lines.Values;

    /// <summary>Runs until nothing more can come out.</summary>
    /// <param name="campaign">What is to be done.</param>
    /// <param name="first">The connection that is open already.</param>
    /// <param name="end">When it is over at the latest.</param>
    /// <param name="cancel">Stops it.</param>
    public async Task RunAsync(Campaign campaign, ProbeLine first, TimeSpan end, CancellationToken cancel)
    {
        _lines[first.Id] = first;
        using var over = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        var stopped = Task.Delay(Timeout.InfiniteTimeSpan, over.Token);
        Task<bool>? waiting = null;
        while (!campaign.IsOver(now()) && !cancel.IsCancellationRequested)
        {
            await DoAsync(campaign, campaign.Advance(now()), over.Token);
            Look(campaign);
            Show(campaign, end);

            TimeSpan due = campaign.Next(now());
            // A delay counts whole milliseconds. One of 0 ms would let the loop spin until the time has come.
            double pause = Math.Ceiling(Math.Min((due - now()).TotalMilliseconds, Frame.TotalMilliseconds));
            waiting ??= events.Reader.WaitToReadAsync(CancellationToken.None).AsTask();
            if (pause > 0)
                await Task.WhenAny(waiting, stopped, Task.Delay(TimeSpan.FromMilliseconds(pause), time, CancellationToken.None));
            if (waiting.IsCompleted)
                waiting = null;
            while (events.Reader.TryRead(out ProbeEvent seen))
                await OnEventAsync(campaign, seen, over.Token);
        }
        display.Clear();
        await over.CancelAsync();
        await GiveUpDialsAsync();
    }

    /// <summary>Waits for the attempts to connect that were under way at the end. One may just have come to its connection.</summary>
    private async Task GiveUpDialsAsync()
    {
        await Task.WhenAll(_dials);
        while (events.Reader.TryRead(out ProbeEvent seen))
        {
            if (seen.Dialed?.Line is { } late)
                await late.DisposeAsync();
        }
    }

    private async Task DoAsync(Campaign campaign, IReadOnlyList<ProbeStep> steps, CancellationToken cancel)
    {
        foreach (ProbeStep step in steps)
        {
            switch (step.Act)
            {
                case ProbeAct.Open:
                    _dials.Add(DialAsync(step.Id, cancel));
                    break;
                case ProbeAct.Ping:
                    _lines[step.Id].SendPing();
                    break;
                default:
                    Tell(campaign, step.Id);
                    await EndAsync(step.Id);
                    break;
            }
        }
    }

    private async Task DialAsync(int id, CancellationToken cancel)
    {
        try
        {
            Dialed dialed = await dialer.DialAsync(id, address, cancel);
            events.Writer.TryWrite(new ProbeEvent(id, now(), ProbeEventKind.Dialed, Dialed: dialed));
        }
        catch (OperationCanceledException)
        {
            // The run is over.
        }
    }

    private async Task OnEventAsync(Campaign campaign, ProbeEvent seen, CancellationToken cancel)
    {
        switch (seen.Kind)
        {
            case ProbeEventKind.Dialed:
                await DoAsync(campaign, OnDialed(campaign, seen), cancel);
                break;
            case ProbeEventKind.Pong:
                await DoAsync(campaign, campaign.Answered(seen.Id, seen.At), cancel);
                break;
            case ProbeEventKind.End:
                campaign.Ended(seen.Id, seen.End!, seen.At);
                Tell(campaign, seen.Id);
                await EndAsync(seen.Id);
                break;
            default:
                campaign.Heard(seen.Id, seen.Kind == ProbeEventKind.Ping, seen.At);
                break;
        }
    }

    private IReadOnlyList<ProbeStep> OnDialed(Campaign campaign, ProbeEvent seen)
    {
        if (seen.Dialed!.Line is not { } line)
        {
            AnswerHead? head = seen.Dialed.Head;
            string why = head is null ? seen.Dialed.Fault! : $"refused with {head.Status.ToString(CultureInfo.InvariantCulture)}";
            display.Write($"{ProgressText.At(now())}#{seen.Id.ToString(CultureInfo.InvariantCulture)}: no further connection: {why}");
            return campaign.Refused(seen.Id, head is { Status: 429 or 503 }, RetryAfter(head), seen.At);
        }
        _lines[seen.Id] = line;
        campaign.Opened(seen.Id, line.Opened);
        if (message is not null)
        {
            line.SendText(message);
            campaign.Sent(seen.Id, now());
        }
        line.Start();
        return [];
    }

    /// <summary>How long the server wants us to wait (RFC 9110 section 10.2.3): in seconds, or up to a date.</summary>
    private TimeSpan? RetryAfter(AnswerHead? head)
    {
        if (head?.Fields["Retry-After"] is not { } text)
            return null;
        TimeSpan wait = int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int seconds) ? TimeSpan.FromSeconds(seconds)
            : DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, out DateTimeOffset date) && date > time.GetUtcNow() ? date - time.GetUtcNow()
            : TimeSpan.Zero;
        return wait < LongestRetryAfter ? wait : LongestRetryAfter;
    }

    /// <summary>Takes the kernel's count of segments from the silent connections.</summary>
    private void Look(Campaign campaign)
    {
        if (now() < _nextLook)
            return;
        _nextLook = now() + LookEvery;
        foreach (ProbeLine line in _lines.Values)
        {
            if (line.Tcp is { } tcp)
                campaign.Counted(line.Id, tcp.SegmentsIn, now());
        }
    }

    private void Show(Campaign campaign, TimeSpan end)
    {
        if (display.IsTerminal)
        {
            if (display.IsShown && now() < _nextFrame)
                return;
            _nextFrame = now() + Frame;
            display.Show(ProgressText.Block(campaign, now(), end));
        }
        else if (now() >= _nextLine)
        {
            _nextLine += LineEvery;
            display.Write(ProgressText.Line(campaign, now()));
        }
    }

    private void Tell(Campaign campaign, int id)
    {
        if (campaign.All.FirstOrDefault(each => each.Id == id) is { } ended && ProgressText.Ended(ended, now()) is { } line)
            display.Write(line);
    }

    private async Task EndAsync(int id)
    {
        if (_lines.Remove(id, out ProbeLine? line))
            await line.DisposeAsync();
    }
}
