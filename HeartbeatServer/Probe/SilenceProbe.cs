using System.Globalization;
using System.Text.Json;
using System.Threading.Channels;
using HeartbeatServer.Options;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Probe;

/// <summary>What a run needs of its surroundings.</summary>
/// <param name="Version">The version of the program.</param>
/// <param name="Time">The clock.</param>
/// <param name="Environment">Looks a variable up; null if it is not set.</param>
/// <param name="Display">Shows a person what goes on.</param>
/// <param name="Json">Gets the object of <c>--json</c>.</param>
internal sealed record ProbeContext(string Version, TimeProvider Time, Func<string, string?> Environment, ProbeDisplay Display, TextWriter Json);

/// <summary><c>HeartbeatServer probe</c>: measures what the way to a WebSocket does to silence.</summary>
internal sealed class SilenceProbe
{
    private const int NothingFound = 0;
    private const int NoConnection = 1;
    private const int LimitFound = 3;
    private const int NotKnown = 4;

    /// <summary>Below this <c>--for</c> it is a plain client: no usual limit would show.</summary>
    private static readonly TimeSpan Shortest = TimeSpan.FromSeconds(35);

    private readonly ProbeOptions _options;
    private readonly ProbeContext _context;
    private readonly Secrets _secrets;
    private readonly HandshakeText _handshake;
    private readonly Channel<ProbeEvent> _events = Channel.CreateUnbounded<ProbeEvent>(new UnboundedChannelOptions { SingleReader = true });
    private readonly Dialer _dialer;
    private readonly long _start;

    public SilenceProbe(ProbeOptions options, ProbeContext context)
    {
        (_options, _context, _secrets) = (options, context, new Secrets(options));
        _handshake = new HandshakeText(options, _secrets);
        _start = context.Time.GetTimestamp();
        string userAgent = $"HeartbeatServer-probe/{context.Version} (measures idle timeouts)";
        _dialer = new Dialer(options, userAgent, () => Now, _events.Writer);
    }

    private TimeSpan Now => _context.Time.GetElapsedTime(_start);

    /// <summary>Measures, and says what came out.</summary>
    /// <param name="interrupted">Asks for what is known so far.</param>
    /// <returns>The exit code.</returns>
    public async Task<int> RunAsync(CancellationToken interrupted)
    {
        TellOfProxies();
        DateTime started = _context.Time.GetUtcNow().UtcDateTime;
        Dialed dialed;
        try
        {
            dialed = await _dialer.DialAsync(1, known: null, interrupted);
        }
        catch (OperationCanceledException)
        {
            dialed = new Dialed { Fault = "it was interrupted before there was one" };
        }
        var report = new ProbeReport(_options, _context.Version, started, _secrets) { Dialed = dialed };
        int exitCode = dialed.Line is { } line ? await UseAsync(line, report, interrupted) : interrupted.IsCancellationRequested ? NotKnown : NoConnection;
        report.IsInterrupted = interrupted.IsCancellationRequested;
        if (dialed.Line is null)
            Write(_handshake.Refused(dialed));
        if (_options.IsJson)
            await _context.Json.WriteLineAsync(JsonSerializer.Serialize(report.ToJson(Now, exitCode), ProbeJsonContext.Plain.ProbeJson));
        return exitCode;
    }

    private async Task<int> UseAsync(ProbeLine line, ProbeReport report, CancellationToken interrupted)
    {
        Write(_handshake.Connected(report.Dialed));
        var first = new Watched(line.Id, ProbeRole.Control);
        first.Open(line.Opened);
        report.Connections = [first];
        if (_options.Message is { } message)
        {
            line.SendText(message);
            first.Sent(Now);
        }
        line.Start();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(interrupted);
        using var time = new CancellationTokenSource(_options.For, _context.Time);
        await using CancellationTokenRegistration _ = time.Token.Register(stop.Cancel);
        bool isPlain = _options.For < Shortest;
        var client = new PlainClient(() => Now, _events.Reader, _context.Display);
        await PingAsync(line, first, report, seen => Hear(isPlain ? client : null, first, seen), stop.Token);
        return isPlain
            ? await WatchAsync(client, line, first, stop.Token, interrupted)
            : await MeasureAsync(line, first, report, stop.Token, interrupted);
    }

    private static void Hear(PlainClient? client, Watched first, ProbeEvent seen)
    {
        if (client is not null)
            client.Show(first, seen);
        else
            first.Hear(seen.Kind == ProbeEventKind.Ping, seen.At);
    }

    private async Task PingAsync(ProbeLine line, Watched first, ProbeReport report, Action<ProbeEvent> heard, CancellationToken stop)
    {
        var pings = new FirstPings(_context.Time, () => Now, _events.Reader, heard);
        try
        {
            await pings.RunAsync(line, first, stop);
        }
        catch (OperationCanceledException)
        {
            // What follows sees it, too.
        }
        (report.PingsSent, report.RoundTrips) = (first.Pings, pings.RoundTrips);
        RoundTrips trips = pings.RoundTrips;
        string roundTrips = trips.Count == 0 ? "" : $", round trip {HandshakeText.Ms(trips.Min)} to {HandshakeText.Ms(trips.Max)}";
        _context.Display.Write($"  {Number(first.Pings)} ping{(first.Pings == 1 ? "" : "s")}, {Number(trips.Count)} answered{roundTrips}");
    }

    private async Task<int> WatchAsync(PlainClient client, ProbeLine line, Watched first, CancellationToken stop, CancellationToken interrupted)
    {
        await client.RunAsync(first, stop);
        _context.Display.Write(client.Summary(first));
        await line.CloseAsync();
        return first is { IsOpen: true, Pongs: > 0 } && !interrupted.IsCancellationRequested ? NothingFound : NotKnown;
    }

    private async Task<int> MeasureAsync(ProbeLine line, Watched first, ProbeReport report, CancellationToken stop, CancellationToken interrupted)
    {
        _context.Display.Write(
            $"Measuring silence for {Duration.Format(_options.For)} at most, on up to {Number(Campaign.MostConnections)} connections. "
            + "Ctrl+C shows what is known by then.");
        // Who is interrupted before an answer could come does not know whether there is one.
        bool answersPings = report.RoundTrips.Count > 0 || stop.IsCancellationRequested;
        var campaign = new Campaign(first, Now, _options.For, _options.Message is not null, answersPings);
        var run = new CampaignRun(_dialer, report.Dialed.Address!, _options.Message, _context.Time, () => Now, _events, _context.Display);
        await run.RunAsync(campaign, line, _options.For, stop);

        bool isInterrupted = interrupted.IsCancellationRequested;
        Verdict verdict = Judgement.Of(campaign, Now);
        report.Verdict = verdict;
        report.Sentence = VerdictText.Of(verdict, campaign);
        report.Notes = [.. VerdictText.Notes(verdict, campaign, isInterrupted)];
        report.Connections = campaign.All;
        _context.Display.Write("");
        Write([.. report.Notes.Prepend(report.Sentence).Select(_secrets.Hide)]);
        await Task.WhenAll(run.Lines.ToArray().Select(open => open.CloseAsync()));
        return isInterrupted ? NotKnown
            : verdict.IsLimit ? LimitFound
            : verdict.Kind == VerdictKind.None ? NothingFound
            : NotKnown;
    }

    /// <summary>The probe connects directly. Who expects a proxy to be used would take the wrong way for measured.</summary>
    private void TellOfProxies()
    {
        string[] ofScheme = _options.Url.IsTls ? ["HTTPS_PROXY", "https_proxy"] : ["HTTP_PROXY", "http_proxy"];
        string[] variables = [.. ofScheme, "ALL_PROXY", "all_proxy"];
        if (Array.Find(variables, name => _context.Environment(name) is { Length: > 0 }) is { } set)
            _context.Display.Write($"{set} is set, and not used: the probe connects directly.");
    }

    private void Write(IEnumerable<string> lines)
    {
        foreach (string line in lines)
            _context.Display.Write(line);
    }

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);
}
