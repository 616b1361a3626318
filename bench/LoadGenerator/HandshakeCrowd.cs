using System.Text.Json.Nodes;

namespace LoadGenerator;

/// <summary>As many handshakes in flight as there are clients: upgrade, Close frame, the server's answer and end, again.</summary>
internal sealed class HandshakeCrowd(LoadOptions options) : Crowd(options)
{
    private const int TooManyFailures = 20_000;
    private static readonly long ClosingTimeout = Seconds(2);

    private static ReadOnlySpan<byte> NormalClosure => [1000 >> 8, 1000 & 0xFF];

    private long _done;
    private int _neverClosed;

    public override JsonObject Run()
    {
        Keep(Now + Seconds(Options.WarmUp));
        Handshakes.Clear();
        long before = _done;
        double cpu = Environment.CpuUsage.TotalTime.TotalSeconds;
        Mark("measure", 0);
        long start = Now;
        Keep(start + Seconds(Options.Seconds));
        long done = _done - before;
        Mark("done", done);
        double seconds = (Now - start) / 1e9;

        cpu = Environment.CpuUsage.TotalTime.TotalSeconds - cpu;
        Linger();

        JsonObject report = Report(Options.Mode, cpu);
        report["seconds"] = seconds;
        report["operations"] = done;
        report["operations_per_s"] = done / seconds;
        report["never_closed"] = _neverClosed;
        return report;
    }

    protected override void OnOpen(Client client)
    {
        Send(client, ServerFrame.Close, NormalClosure);
        client.State = ClientState.Closing;
    }

    protected override void OnEnd(Client client) => _done++;

    private void Keep(long until)
    {
        long now = Now;
        long nextLook = now;
        while (now < until && Failures < TooManyFailures)
        {
            foreach (Client client in Clients)
            {
                if (client.State == ClientState.None)
                    Connect(client);
            }
            Poll(10);
            now = Now;
            if (now < nextLook)
                continue;
            nextLook = now + Seconds(0.25);
            foreach (Client client in Clients.Where(client => client.State == ClientState.Closing && now - client.OpenedAt > ClosingTimeout))
            {
                _neverClosed++;
                Drop(client);
            }
        }
    }
}
