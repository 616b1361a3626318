using System.Text.Json.Nodes;

namespace LoadGenerator;

/// <summary>
/// Clients that send tiny messages without pause, as fast as the server takes them, and read the echoes. They run on a thread of their own, behind all
/// others of the core, so that those who measure are not late themselves.
/// </summary>
internal sealed class Flooders : Crowd
{
    private const int MessagesInBlock = 2_000;

    /// <summary>A server may want pongs in time; those that answer its pings wait behind all that is in flight.</summary>
    private const int MessagesForPong = 200;

    private readonly byte[] _block;
    private readonly Thread _thread;
    private readonly TaskCompletionSource _open = new();
    private long _echoes;
    private volatile bool _stopped;

    public Flooders(LoadOptions options)
        : base(options)
    {
        _block = Block(options.Size);
        _thread = new Thread(() => Run()) { IsBackground = true };
    }

    /// <summary>Messages that came back.</summary>
    public long Echoes => Volatile.Read(ref _echoes);

    /// <summary>Connections that failed, or that the server ended.</summary>
    public int Lost { get; private set; }

    /// <summary>Begins, and waits until all are connected.</summary>
    public void Start()
    {
        _thread.Start();
        _open.Task.Wait();
    }

    public void Stop()
    {
        _stopped = true;
        _thread.Join();
        Lost += Failures;
    }

    public override JsonObject Run()
    {
        Linux.YieldToOthers();
        foreach (Client client in Clients)
            Connect(client);
        while (Opened + Failures < Clients.Length)
            Poll(20);
        foreach (Client client in Clients.Where(client => client.State == ClientState.Open))
            SendAll(client, _block);
        _open.SetResult();
        while (!_stopped)
            Poll(20);
        return [];
    }

    protected override void OnOpen(Client client)
    {
    }

    protected override void OnSent(Client client)
    {
        if (!_stopped)
            SendAll(client, _block);
    }

    protected override bool OnMessage(Client client)
    {
        Volatile.Write(ref _echoes, _echoes + 1);
        return true;
    }

    protected override void OnEnd(Client client) => Lost++;

    private static byte[] Block(int size)
    {
        var block = new MemoryStream();
        for (int i = 0; i < MessagesInBlock; i++)
        {
            if (i % MessagesForPong == 0)
                Add(ServerFrame.Pong, 0);
            Add(ServerFrame.Text, size);
        }
        return block.ToArray();

        void Add(byte opcode, int count)
        {
            byte[] payload = new byte[count];
            payload.AsSpan().Fill((byte)'x');
            byte[] frame = new byte[ClientFrame.Size(count)];
            ClientFrame.Write(frame, opcode, payload);
            block.Write(frame);
        }
    }
}
