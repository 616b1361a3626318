using System.Text.Json.Nodes;

namespace LoadGenerator;

/// <summary>
/// Connections that only answer pings: how far the pings are off their beat, when mute ones are cut, whether anybody else is. The storm is
/// the same crowd, connecting without a pause.
/// </summary>
internal sealed class IdleCrowd : Crowd
{
    private static readonly long OpeningTimeout = Seconds(90);

    private readonly Histogram _offBeat = new();
    private readonly Histogram _cutAfter = new();
    private readonly bool _isStorm;
    private readonly long _beat;
    private readonly int _muted;
    private bool _holding;
    private long _pings;
    private int _ended, _cut, _unexpected;

    public IdleCrowd(LoadOptions options)
        : base(options)
    {
        _isStorm = options.Mode == "storm";
        _beat = Seconds(options.Ping);
        if (options.Mode != "mute")
            return;
        for (int i = 0; i < options.Mute; i++)
            Clients[(long)i * Clients.Length / options.Mute].Mute = true;
        _muted = options.Mute;
    }

    public override JsonObject Run()
    {
        double openSeconds = Open();
        Mark("open", Opened);
        _holding = true;
        double cpu = Environment.CpuUsage.TotalTime.TotalSeconds;
        long start = Now;
        Hold(start, start + Seconds(Options.Settle));
        Mark("steady", _pings);
        Hold(start, start + Seconds(Options.Seconds));
        Mark("held", _pings);

        _holding = false;
        double held = (Now - start) / 1e9;
        cpu = Environment.CpuUsage.TotalTime.TotalSeconds - cpu;
        Linger();

        JsonObject report = Report(Options.Mode, cpu);
        report["open_s"] = openSeconds;
        report["hold_s"] = held;
        report["pings"] = _pings;
        report["pings_min"] = Clients.Where(client => !client.Mute).Min(client => client.Pings);
        report["off_beat_ms_p50"] = _offBeat.Milliseconds(0.5);
        report["off_beat_ms_p99"] = _offBeat.Milliseconds(0.99);
        report["off_beat_ms_max"] = _offBeat.Milliseconds(1);
        report["ended"] = _ended;
        report["unexpected"] = _unexpected;
        report["muted"] = _muted;
        report["cut"] = _cut;
        report["cut_ms_p50"] = _cutAfter.Milliseconds(0.5);
        report["cut_ms_p99"] = _cutAfter.Milliseconds(0.99);
        report["cut_ms_max"] = _cutAfter.Milliseconds(1);
        return report;
    }

    protected override void OnOpen(Client client)
    {
    }

    protected override void OnPing(Client client, ReadOnlySpan<byte> payload)
    {
        long now = ReceivedAt;
        client.Pings++;
        if (_holding)
        {
            _pings++;
            if (client.LastPing > 0)
                _offBeat.Add(Math.Abs(now - client.LastPing - _beat));
        }
        client.LastPing = now;
        if (!client.Mute)
            base.OnPing(client, payload);
        else if (client.FirstPing == 0)
            client.FirstPing = now;
    }

    protected override void OnClose(Client client, ReadOnlySpan<byte> payload)
    {
        client.ClosedAt = ReceivedAt;
        if (!client.Mute)
            base.OnClose(client, payload);
    }

    protected override void OnEnd(Client client)
    {
        _ended++;
        if (!client.Mute)
        {
            _unexpected++;
            return;
        }
        _cut++;
        if (client.FirstPing > 0)
            _cutAfter.Add((client.ClosedAt > 0 ? client.ClosedAt : Now) - client.FirstPing);
    }

    /// <summary>Opens all connections.</summary>
    /// <returns>The seconds that it took.</returns>
    private double Open()
    {
        long start = Now;
        int next = 0;
        while (Opened + Failures < Clients.Length && Now - start < OpeningTimeout)
        {
            while (next < Clients.Length && InFlight < Options.InFlight && (_isStorm || next <= Options.Rate * (Now - start) / 1e9))
                Connect(Clients[next++]);
            Poll(next < Clients.Length && InFlight < Options.InFlight ? 1 : 20);
        }
        return (Now - start) / 1e9;
    }

    private void Hold(long start, long until)
    {
        while (Now < until)
        {
            Poll((int)Math.Clamp((until - Now) / 1_000_000 + 1, 1, 50));
            if (_muted > 0 && _cut >= _muted && Now - start > Seconds(Options.AtLeast))
                return;
        }
    }
}
