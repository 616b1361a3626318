using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;

namespace LoadGenerator;

/// <summary>
/// Many clients on one thread: connects them, upgrades, parses what comes and collects what goes. What they do is up to the mode, a
/// subclass. Nothing is allocated once a crowd stands.
/// </summary>
internal abstract class Crowd
{
    /// <summary>Source addresses 127.0.0.2 and up: each has its own ephemeral ports.</summary>
    private const int Sources = 200;

    private const int MaxUnread = 8 * 1024;
    private static readonly long HandshakeTimeout = Seconds(20);

    // The key and its answer are the RFC's example (section 1.3).
    private static ReadOnlySpan<byte> Accepted => "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="u8;

    private readonly Poller _poller = new();
    private readonly byte[] _request;
    private readonly byte[] _received = GC.AllocateUninitializedArray<byte>(MaxUnread + 256 * 1024, pinned: true);

    // The frames for the client that is served now, until they are flushed.
    private byte[] _outgoing = new byte[256 * 1024];
    private int _outgoingEnd;
    private long _nextSweep;
    private int _connects;

    /// <param name="options">The command line.</param>
    /// <param name="clients">How many; <c>--connections</c> by default.</param>
    protected Crowd(LoadOptions options, int? clients = null)
    {
        Options = options;
        Clients = [.. Enumerable.Range(0, clients ?? options.Connections).Select(number => new Client(number))];
        _request = Encoding.ASCII.GetBytes(
            $"GET {options.Path} HTTP/1.1\r\nHost: 127.0.0.1:{options.Port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            + $"Origin: http://127.0.0.1:{options.Port}\r\nUser-Agent: LoadGenerator\r\n\r\n");
    }

    /// <summary>Nanoseconds, monotonic: the frequency of <see cref="Stopwatch"/> on Linux.</summary>
    public static long Now => Stopwatch.GetTimestamp();

    protected LoadOptions Options { get; }
    protected Client[] Clients { get; }

    /// <summary>From connect() to the 101.</summary>
    protected Histogram Handshakes { get; } = new();

    /// <summary>When the bytes that are parsed now were received: one look at the clock for all frames of a receive.</summary>
    protected long ReceivedAt { get; private set; }

    /// <summary>Connections that are not open yet.</summary>
    protected int InFlight { get; private set; }

    protected int Opened { get; private set; }
    protected int Failures { get; private set; }
    protected string? FirstFailure { get; private set; }

    /// <summary>Runs the mode to its end.</summary>
    public abstract JsonObject Run();

    public static long Seconds(double seconds) => (long)(seconds * 1e9);

    /// <summary>Tells the driver where a measurement begins or ends, and the operations so far.</summary>
    protected static void Mark(string name, long operations) => Console.Error.WriteLine($"@{name} {operations}");

    /// <summary>After the last mark: the driver reads the server's figures while everything still stands.</summary>
    protected void Linger()
    {
        long until = Now + Seconds(0.5);
        while (Now < until)
            Poll(20);
    }

    protected abstract void OnOpen(Client client);

    protected virtual void OnPing(Client client, ReadOnlySpan<byte> payload) => Send(client, ServerFrame.Pong, payload);

    /// <summary>Part of a message's payload.</summary>
    /// <returns>False if it is not what was to come.</returns>
    protected virtual bool OnPayload(Client client, ReadOnlySpan<byte> payload) => true;

    /// <summary>The end of a message.</summary>
    /// <returns>False if it is not what was to come.</returns>
    protected virtual bool OnMessage(Client client) => true;

    /// <summary>A Close frame.</summary>
    protected virtual void OnClose(Client client, ReadOnlySpan<byte> payload)
    {
        if (client.State == ClientState.Open)
            Send(client, ServerFrame.Close, payload);
    }

    /// <summary>The server closed, or reset, an open connection. The socket is gone afterwards.</summary>
    protected abstract void OnEnd(Client client);

    /// <summary>The socket took the last of what it did not take at once.</summary>
    protected virtual void OnSent(Client client)
    {
    }

    protected void Connect(Client client)
    {
        client.State = ClientState.Connecting;
        client.ConnectedAt = Now;
        client.InMessage = false;
        client.PayloadLeft = client.UnsentStart = client.UnsentEnd = 0;
        client.Unread = [];
        client.Fd = Linux.OpenSocket(2 + _connects++ % Sources);
        InFlight++;
        if (!Linux.Connect(client.Fd, Options.Port))
            Fail(client, "connect");
        else
            Request(client, isNew: true);
    }

    /// <summary>Puts a frame behind the others of this client; see <see cref="Flush"/>.</summary>
    protected void Send(Client client, byte opcode, ReadOnlySpan<byte> payload)
    {
        Debug.Assert(client.Fd >= 0);
        int end = _outgoingEnd + ClientFrame.Size(payload.Length);
        if (end > _outgoing.Length)
            Array.Resize(ref _outgoing, 2 * end);
        ClientFrame.Write(_outgoing.AsSpan(_outgoingEnd), opcode, payload);
        _outgoingEnd = end;
    }

    /// <summary>Sends the frames since the last flush, in one call.</summary>
    protected void Flush(Client client)
    {
        ReadOnlySpan<byte> frames = _outgoing.AsSpan(0, _outgoingEnd);
        _outgoingEnd = 0;
        if (frames.IsEmpty || client.Fd < 0)
            return;
        bool waits = client.UnsentEnd > client.UnsentStart;
        if (!waits)
            frames = frames[Math.Max(0, Linux.Send(client.Fd, frames))..];
        if (frames.IsEmpty)
            return;

        if (client.UnsentEnd + frames.Length > client.Unsent.Length)
            Array.Resize(ref client.Unsent, 2 * (client.UnsentEnd + frames.Length));
        frames.CopyTo(client.Unsent.AsSpan(client.UnsentEnd));
        client.UnsentEnd += frames.Length;
        if (!waits)
            _poller.Change(client.Fd, client.Number, writable: true);
    }

    /// <summary>Sends bytes that are not copied, whenever the socket takes more; <see cref="OnSent"/> follows. Nothing else may wait.</summary>
    protected void SendAll(Client client, byte[] frames)
    {
        (client.Unsent, client.UnsentStart, client.UnsentEnd) = (frames, 0, frames.Length);
        _poller.Change(client.Fd, client.Number, writable: true);
    }

    /// <summary>Serves everything that is ready, or becomes so within so long.</summary>
    protected void Poll(int milliseconds)
    {
        int count = _poller.Wait(milliseconds);
        for (int i = 0; i < count; i++)
        {
            (int number, uint events) = _poller.Ready(i);
            Serve(Clients[number], events);
        }
        if (Now >= _nextSweep)
            Sweep();
    }

    protected void Drop(Client client)
    {
        if (client.Fd >= 0)
            _ = Linux.Close(client.Fd);
        client.Fd = -1;
        client.State = ClientState.None;
        _outgoingEnd = 0;
    }

    protected void Fail(Client client, string reason)
    {
        Failures++;
        FirstFailure ??= reason;
        if (client.State is ClientState.Connecting or ClientState.Upgrading)
            InFlight--;
        Drop(client);
    }

    /// <summary>What every mode reports.</summary>
    protected JsonObject Report(string mode, double clientCpu) => new()
    {
        ["mode"] = mode,
        ["connections"] = Clients.Length,
        ["opened"] = Opened,
        ["failures"] = Failures,
        ["first_failure"] = FirstFailure,
        ["handshake_ms_p50"] = Handshakes.Milliseconds(0.5),
        ["handshake_ms_p99"] = Handshakes.Milliseconds(0.99),
        ["client_cpu_s"] = clientCpu,
    };

    private void Serve(Client client, uint events)
    {
        if (client.Fd < 0)
            return;
        if ((events & Poller.Writable) != 0 && !Resume(client))
            return;
        if ((events & (Poller.Readable | Poller.Failed | Poller.HungUp)) == 0)
            return;

        Span<byte> free = _received.AsSpan(MaxUnread);
        int count = Linux.Receive(client.Fd, free);
        if (count < 0 && Linux.LastError == Linux.WouldBlock)
            return;
        if (count <= 0)
        {
            End(client);
            return;
        }

        ReceivedAt = Now;
        // What was left of the last receive goes before the new bytes: everything is parsed in one piece.
        int unread = client.Unread.Length;
        client.Unread.CopyTo(_received, MaxUnread - unread);
        ReadOnlySpan<byte> bytes = _received.AsSpan(MaxUnread - unread, unread + count);
        if (client.State == ClientState.Upgrading && !TakeResponse(client, ref bytes))
            return;
        while (client.Fd >= 0 && Parse(client, ref bytes))
        {
        }
        if (client.Fd < 0)
            return;
        if (unread > 0 || !bytes.IsEmpty)
            client.Unread = bytes.ToArray();
        Flush(client);
    }

    /// <summary>Goes on with what waits for the socket to be writable.</summary>
    private bool Resume(Client client)
    {
        if (client.State == ClientState.Connecting)
        {
            Request(client, isNew: false);
            return false;
        }
        client.UnsentStart += Math.Max(0, Linux.Send(client.Fd, client.Unsent.AsSpan(client.UnsentStart..client.UnsentEnd)));
        if (client.UnsentStart == client.UnsentEnd)
        {
            client.UnsentStart = client.UnsentEnd = 0;
            OnSent(client);
            if (client.UnsentEnd == 0)
                _poller.Change(client.Fd, client.Number, writable: false);
        }
        return true;
    }

    /// <summary>Sends the upgrade request if the connection stands; on loopback it usually does at once.</summary>
    private void Request(Client client, bool isNew)
    {
        bool sent = Linux.Send(client.Fd, _request) == _request.Length;
        if (!sent && Linux.LastError is not (Linux.WouldBlock or Linux.NotConnected))
        {
            Fail(client, "connect");
            return;
        }
        client.State = sent ? ClientState.Upgrading : ClientState.Connecting;
        if (isNew)
            _poller.Watch(client.Fd, client.Number, writable: !sent);
        else if (sent)
            _poller.Change(client.Fd, client.Number, writable: false);
    }

    /// <summary>Reads the response to the upgrade, if it is whole.</summary>
    private bool TakeResponse(Client client, ref ReadOnlySpan<byte> bytes)
    {
        int end = bytes.IndexOf("\r\n\r\n"u8);
        if (end < 0 && bytes.Length < MaxUnread)
        {
            client.Unread = bytes.ToArray();
            return false;
        }
        if (end < 0 || !bytes.StartsWith("HTTP/1.1 101"u8) || bytes[..end].IndexOf(Accepted) < 0)
        {
            Fail(client, Encoding.ASCII.GetString(bytes[..Math.Min(bytes.Length, 40)]).Split('\r')[0]);
            return false;
        }
        bytes = bytes[(end + 4)..];
        client.State = ClientState.Open;
        client.OpenedAt = ReceivedAt;
        InFlight--;
        Opened++;
        Handshakes.Add(client.OpenedAt - client.ConnectedAt);
        OnOpen(client);
        return true;
    }

    /// <summary>Takes one control frame or a part of a message.</summary>
    /// <returns>False if more bytes are needed.</returns>
    private bool Parse(Client client, ref ReadOnlySpan<byte> bytes)
    {
        if (client.PayloadLeft == 0)
        {
            if (!ServerFrame.TryRead(bytes, out ServerFrame frame))
                return false;
            if (frame.IsControl)
            {
                if (frame.PayloadLength >= 0 && bytes.Length < frame.HeaderSize + frame.PayloadLength)
                    return false;
                OnControl(client, frame, bytes[frame.HeaderSize..]);
                bytes = bytes[(int)(frame.HeaderSize + Math.Max(0, frame.PayloadLength))..];
                return true;
            }
            // A continuation if and only if a message is in progress (section 5.4).
            if (frame.PayloadLength < 0 || frame.Opcode > ServerFrame.Binary || client.InMessage != (frame.Opcode == ServerFrame.Continuation))
            {
                Fail(client, "protocol");
                return false;
            }
            bytes = bytes[frame.HeaderSize..];
            client.Opcode = client.InMessage ? client.Opcode : frame.Opcode;
            client.InMessage = true;
            client.Final = frame.Final;
            client.PayloadLeft = frame.PayloadLength;
        }

        ReadOnlySpan<byte> part = bytes[..(int)Math.Min(bytes.Length, client.PayloadLeft)];
        bytes = bytes[part.Length..];
        client.PayloadLeft -= part.Length;
        bool expected = OnPayload(client, part);
        if (expected && client.PayloadLeft == 0 && client.Final)
        {
            client.InMessage = false;
            expected = OnMessage(client);
        }
        if (!expected)
            Fail(client, "wrong payload");
        return client.PayloadLeft == 0;
    }

    private void OnControl(Client client, ServerFrame frame, ReadOnlySpan<byte> bytes)
    {
        if (frame.PayloadLength < 0 || frame.Opcode > ServerFrame.Pong)
        {
            Fail(client, "protocol");
            return;
        }
        ReadOnlySpan<byte> payload = bytes[..(int)frame.PayloadLength];
        if (frame.Opcode == ServerFrame.Ping)
            OnPing(client, payload);
        else if (frame.Opcode == ServerFrame.Close)
            OnClose(client, payload);
    }

    private void End(Client client)
    {
        if (client.State is ClientState.Connecting or ClientState.Upgrading)
        {
            Fail(client, "closed before the upgrade");
            return;
        }
        OnEnd(client);
        Drop(client);
    }

    /// <summary>Once a second: handshakes that take too long.</summary>
    private void Sweep()
    {
        long now = Now;
        _nextSweep = now + Seconds(1);
        if (InFlight == 0)
            return;
        foreach (Client client in Clients)
        {
            if (client.State is ClientState.Connecting or ClientState.Upgrading && now - client.ConnectedAt > HandshakeTimeout)
                Fail(client, "handshake timeout");
        }
    }
}
