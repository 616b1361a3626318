using System.Text.Json.Nodes;

namespace LoadGenerator;

/// <summary>
/// Who is beside the <see cref="Flooders"/>: watchers, whose pings are measured against their beat; and newcomers, who connect one after the other, want
/// a single echo each, and leave.
/// </summary>
internal sealed class FloodCrowd(LoadOptions options) : Crowd(options, options.Watchers + MostNewcomers)
{
    private const int MostNewcomers = 1_000;
    private static readonly long Between = Seconds(0.02);

    private static ReadOnlySpan<byte> Greeting => "good day"u8;

    private readonly Flooders _flooders = new(options);
    private readonly Histogram _offBeat = new();
    private readonly Histogram _firstEchoes = new();
    private bool _measuring;
    private int _unexpected;

    public override JsonObject Run()
    {
        Client[] watchers = [.. Clients.Take(Options.Watchers)];
        Client[] newcomers = [.. Clients.Skip(Options.Watchers)];
        foreach (Client watcher in watchers)
            Connect(watcher);
        PollUntil(Now + Seconds(30), () => Opened + Failures == watchers.Length);
        Mark("open", Opened);
        _flooders.Start();
        PollUntil(Now + Seconds(Options.WarmUp));

        _measuring = true;
        double cpu = Environment.CpuUsage.TotalTime.TotalSeconds;
        long before = _flooders.Echoes;
        Mark("measure", 0);
        long start = Now;
        long end = start + Seconds(Options.Seconds);
        for (int i = 0; Now < end; i++)
        {
            if (i < newcomers.Length)
                Connect(newcomers[i]);
            PollUntil(Math.Min(end, start + (i + 1) * Between));
        }
        _measuring = false;
        long echoes = _flooders.Echoes - before;
        Mark("done", echoes);
        double seconds = (Now - start) / 1e9;
        cpu = Environment.CpuUsage.TotalTime.TotalSeconds - cpu;
        // Whoever has waited in vain so far has waited at least so long.
        Client[] waiting = [.. newcomers.Where(client => client.State != ClientState.None)];
        foreach (Client client in waiting)
            _firstEchoes.Add(Now - client.ConnectedAt);
        Linger();
        _flooders.Stop();

        JsonObject report = Report(Options.Mode, cpu);
        report["seconds"] = seconds;
        report["operations"] = echoes;
        report["operations_per_s"] = echoes / seconds;
        report["pings"] = _offBeat.Count;
        report["off_beat_ms_p50"] = _offBeat.Milliseconds(0.5);
        report["off_beat_ms_p99"] = _offBeat.Milliseconds(0.99);
        report["off_beat_ms_max"] = _offBeat.Milliseconds(1);
        report["newcomers"] = _firstEchoes.Count;
        report["waiting"] = waiting.Length;
        report["first_echo_ms_p50"] = _firstEchoes.Milliseconds(0.5);
        report["first_echo_ms_p99"] = _firstEchoes.Milliseconds(0.99);
        report["first_echo_ms_max"] = _firstEchoes.Milliseconds(1);
        report["unexpected"] = _unexpected;
        report["flooders_lost"] = _flooders.Lost;
        return report;
    }

    protected override void OnOpen(Client client)
    {
        if (!IsWatcher(client))
            Send(client, ServerFrame.Text, Greeting);
    }

    protected override void OnPing(Client client, ReadOnlySpan<byte> payload)
    {
        if (_measuring && IsWatcher(client) && client.LastPing > 0)
            _offBeat.Add(Math.Abs(ReceivedAt - client.LastPing - Seconds(Options.Ping)));
        client.LastPing = ReceivedAt;
        base.OnPing(client, payload);
    }

    protected override bool OnMessage(Client client)
    {
        if (_measuring)
            _firstEchoes.Add(ReceivedAt - client.ConnectedAt);
        Drop(client);
        return true;
    }

    protected override void OnEnd(Client client) => _unexpected++;

    private bool IsWatcher(Client client) => client.Number < Options.Watchers;

    private void PollUntil(long time, Func<bool>? isDone = null)
    {
        while (Now < time && !(isDone?.Invoke() ?? false))
            Poll((int)Math.Clamp((time - Now) / 1_000_000 + 1, 1, 20));
    }
}
