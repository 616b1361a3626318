using System.Text.Json.Nodes;

namespace LoadGenerator;

/// <summary>
/// Each connection keeps <c>--depth</c> messages in flight; every echo is checked byte by byte and answered with the next message. The
/// payload differs from message to message and from client to client.
/// </summary>
internal sealed class EchoCrowd : Crowd
{
    private const int Patterns = 251;

    private readonly byte[] _pattern;
    private readonly byte _opcode;
    private readonly int _size, _depth;
    private readonly Histogram _latencies = new();
    private bool _measuring, _stopping;
    private long _echoes;
    private int _unexpected;

    public EchoCrowd(LoadOptions options)
        : base(options)
    {
        _opcode = options.IsBinary ? ServerFrame.Binary : ServerFrame.Text;
        (_size, _depth) = (options.Size, options.Depth);
        _pattern = new byte[_size + Patterns];
        var random = new Random(1);
        foreach (ref byte letter in _pattern.AsSpan())
            letter = (byte)random.Next('!', '~');
        foreach (Client client in Clients)
            client.SentAt = new long[options.Depth];
    }

    public override JsonObject Run()
    {
        foreach (Client client in Clients)
            Connect(client);
        PollUntil(Now + Seconds(30), () => Opened + Failures == Clients.Length);
        Mark("open", Opened);

        foreach (Client client in Clients.Where(client => client.State == ClientState.Open))
        {
            for (int i = 0; i < Options.Depth; i++)
                SendNext(client, Now);
            Flush(client);
        }
        PollUntil(Now + Seconds(Options.WarmUp));

        _measuring = true;
        double cpu = Environment.CpuUsage.TotalTime.TotalSeconds;
        Mark("measure", 0);
        long start = Now;
        PollUntil(start + Seconds(Options.Seconds));
        _measuring = false;
        Mark("done", _echoes);
        double seconds = (Now - start) / 1e9;
        cpu = Environment.CpuUsage.TotalTime.TotalSeconds - cpu;

        // What is in flight still has to come back.
        _stopping = true;
        Linger();
        PollUntil(Now + Seconds(2), () => Unanswered == 0);

        JsonObject report = Report(Options.Mode, cpu);
        report["size"] = Options.Size;
        report["depth"] = Options.Depth;
        report["seconds"] = seconds;
        report["operations"] = _echoes;
        report["operations_per_s"] = _echoes / seconds;
        report["latency_ms_p50"] = _latencies.Milliseconds(0.5);
        report["latency_ms_p99"] = _latencies.Milliseconds(0.99);
        report["latency_ms_max"] = _latencies.Milliseconds(1);
        report["unexpected"] = _unexpected;
        report["unanswered"] = Unanswered;
        return report;
    }

    private int Unanswered => Clients.Where(client => client.State == ClientState.Open).Sum(client => client.Sent - client.Received);

    protected override void OnOpen(Client client)
    {
    }

    protected override bool OnPayload(Client client, ReadOnlySpan<byte> payload)
    {
        if (client.ReceivedBytes + payload.Length > _size)
            return false;
        bool same = payload.SequenceEqual(Message(client, client.Received).Slice(client.ReceivedBytes, payload.Length));
        client.ReceivedBytes += payload.Length;
        return same;
    }

    protected override bool OnMessage(Client client)
    {
        if (client.Opcode != _opcode || client.ReceivedBytes != _size)
            return false;
        if (_measuring)
        {
            _latencies.Add(ReceivedAt - client.SentAt[client.Received % _depth]);
            _echoes++;
        }
        client.ReceivedBytes = 0;
        client.Received++;
        if (!_stopping)
            SendNext(client, ReceivedAt);
        return true;
    }

    protected override void OnEnd(Client client) => _unexpected++;

    private ReadOnlySpan<byte> Message(Client client, int number) => _pattern.AsSpan((client.Number * 7 + number) % Patterns, _size);

    private void SendNext(Client client, long now)
    {
        client.SentAt[client.Sent % _depth] = now;
        Send(client, _opcode, Message(client, client.Sent++));
    }

    private void PollUntil(long time, Func<bool>? isDone = null)
    {
        while (Now < time && !(isDone?.Invoke() ?? false))
            Poll(20);
    }
}
