using System.Text.Json.Nodes;

namespace LoadGenerator;

/// <summary>
/// Echoes at a fixed rate, whether the server keeps up or not, and how long each takes: a pause of the server shows in the longest. Beside them stand
/// watchers, who only answer pings, and every few seconds a group comes, and leaves again.
/// </summary>
internal sealed class TailCrowd : Crowd
{
    private static readonly long Between = Seconds(3);
    private static readonly long Stay = Seconds(0.5);

    private readonly Client[] _watchers, _echoing, _comers;
    private readonly byte[] _message;
    private readonly Histogram _latencies = new();
    private bool _measuring;
    private long _sent;
    private int _skipped, _unexpected;

    public TailCrowd(LoadOptions options)
        : base(options, options.Watchers + options.Connections + options.Comers)
    {
        _watchers = Clients[..options.Watchers];
        _echoing = Clients[options.Watchers..^options.Comers];
        _comers = Clients[^options.Comers..];
        _message = new byte[options.Size];
        _message.AsSpan().Fill((byte)'x');
        foreach (Client client in _echoing)
            client.SentAt = new long[1];
    }

    public override JsonObject Run()
    {
        long start = Now;
        foreach (Client client in Clients[..^_comers.Length])
        {
            Connect(client);
            PollUntil(start + Seconds((client.Number + 1) / Options.Rate));
        }
        PollUntil(Now + Seconds(30), () => InFlight == 0);
        Mark("open", Opened);
        Echo(Options.WarmUp);

        _measuring = true;
        double cpu = Environment.CpuUsage.TotalTime.TotalSeconds;
        Mark("measure", 0);
        Echo(Options.Seconds);
        _measuring = false;
        Mark("done", _latencies.Count);
        cpu = Environment.CpuUsage.TotalTime.TotalSeconds - cpu;
        // Whoever has waited in vain so far has waited at least so long.
        foreach (Client client in _echoing.Where(client => client.SentAt[0] > 0))
            _latencies.Add(Now - client.SentAt[0]);
        Linger();

        JsonObject report = Report(Options.Mode, cpu);
        report["operations"] = _latencies.Count;
        report["latency_ms_p50"] = _latencies.Milliseconds(0.5);
        report["latency_ms_p99"] = _latencies.Milliseconds(0.99);
        report["latency_ms_p999"] = _latencies.Milliseconds(0.999);
        report["latency_ms_max"] = _latencies.Milliseconds(1);
        report["skipped"] = _skipped;
        report["unexpected"] = _unexpected;
        return report;
    }

    protected override void OnOpen(Client client)
    {
    }

    protected override bool OnMessage(Client client)
    {
        if (client.SentAt is not [> 0 and var sentAt])
            return false;
        client.SentAt[0] = 0;
        if (_measuring)
            _latencies.Add(ReceivedAt - sentAt);
        return true;
    }

    protected override void OnEnd(Client client) => _unexpected++;

    /// <summary>Sends at the rate. A message whose client still waits for its last echo is skipped: that echo's time already tells of the pause.</summary>
    private void Echo(double seconds)
    {
        long start = Now;
        long nextGroup = start;
        for (long due = 0; Now < start + Seconds(seconds);)
        {
            for (; start + Seconds(due / Options.Rate) <= Now; due++)
                SendOne(_echoing[_sent++ % _echoing.Length]);
            if (Now >= nextGroup)
            {
                nextGroup += Between;
                foreach (Client client in _comers)
                    Connect(client);
            }
            foreach (Client client in _comers.Where(client => client.State == ClientState.Open && Now - client.OpenedAt > Stay))
                Drop(client);
            Poll(1);
        }
    }

    private void SendOne(Client client)
    {
        if (client.State != ClientState.Open)
            return;
        if (client.SentAt[0] > 0)
        {
            _skipped++;
            return;
        }
        client.SentAt[0] = Now;
        Send(client, ServerFrame.Binary, _message);
        Flush(client);
    }

    private void PollUntil(long time, Func<bool>? isDone = null)
    {
        while (Now < time && !(isDone?.Invoke() ?? false))
            Poll((int)Math.Clamp((time - Now) / 1_000_000, 0, 20));
    }
}
