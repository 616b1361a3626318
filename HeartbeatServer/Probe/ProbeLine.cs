using System.Buffers.Binary;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Threading.Channels;
using HeartbeatServer.Engine;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Probe;

/// <summary>
/// A connection of the probe after its handshake. It reads all the time, so that an end is seen when it comes, and answers what has to be answered.
/// </summary>
internal sealed class ProbeLine : IAsyncDisposable
{
    private const int BufferSize = 16 * 1024;
    private const ushort NormalClosure = 1000; // section 7.4.1

    /// <summary>How long the server may take to answer our Close frame.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    /// <summary>How long it may take to hand the last frames to the kernel.</summary>
    private static readonly TimeSpan PatienceWithKernel = TimeSpan.FromMilliseconds(100);

    private readonly Socket _socket;
    private readonly Stream _stream;
    private readonly Func<TimeSpan> _now;
    private readonly ChannelWriter<ProbeEvent> _events;
    private readonly byte[] _buffer = new byte[BufferSize];

    // A queue of its own, so that a server that takes nothing holds up no other connection.
    private readonly Channel<byte[]> _frames = Channel.CreateUnbounded<byte[]>();
    private FrameScanner _scanner = new(Sender.Server, isDeflateAgreed: false, long.MaxValue);
    private int _filled;
    private ulong _pings;
    private volatile bool _isDisposed;
    private readonly byte[] _early;
    private Task _reading = Task.CompletedTask;
    private Task _writing = Task.CompletedTask;

    /// <param name="id">The number of the connection in its run.</param>
    /// <param name="socket">The socket under the stream.</param>
    /// <param name="stream">The bytes of the connection, behind TLS if there is any.</param>
    /// <param name="early">What came behind the 101.</param>
    /// <param name="now">The clock of the run.</param>
    /// <param name="events">Gets what the connection sees.</param>
    public ProbeLine(int id, Socket socket, Stream stream, byte[] early, Func<TimeSpan> now, ChannelWriter<ProbeEvent> events)
    {
        (Id, _socket, _stream, _early, _now, _events) = (id, socket, stream, early, now, events);
        Opened = now();
    }

    /// <summary>The number of the connection in its run.</summary>
    public int Id { get; }

    /// <summary>When the 101 had come.</summary>
    public TimeSpan Opened { get; }

    /// <summary>The kernel's figures; null where there are none.</summary>
    public TcpInfo? Tcp => SocketTransport.TcpOf(_socket);

    /// <summary>Begins to read, and to tell.</summary>
    public void Start()
    {
        _writing = WriteFramesAsync();
        _reading = ReadAsync();
    }

    public void SendPing()
    {
        Span<byte> number = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64BigEndian(number, ++_pings);
        Send(Opcode.Ping, number);
    }

    public void SendText(string text) => Send(Opcode.Text, Encoding.UTF8.GetBytes(text));

    /// <summary>Says goodbye, waits a moment for the answer, and ends the connection.</summary>
    public async Task CloseAsync()
    {
        Span<byte> code = stackalloc byte[sizeof(ushort)];
        BinaryPrimitives.WriteUInt16BigEndian(code, NormalClosure);
        Send(Opcode.Close, code);
        try
        {
            await _reading.WaitAsync(Patience);
        }
        catch (TimeoutException)
        {
            // The server does not answer, and need not.
        }
        await DisposeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        // The answer to a Close frame still leaves, but a kernel that takes nothing holds up no other connection.
        _frames.Writer.TryComplete();
        await Task.WhenAny(_writing, Task.Delay(PatienceWithKernel));
        _isDisposed = true;
        _socket.Dispose();
        await _stream.DisposeAsync();
    }

    private void Send(Opcode opcode, ReadOnlySpan<byte> payload) =>
        _frames.Writer.TryWrite(FrameWriter.Masked(opcode, payload, BitConverter.ToUInt32(RandomNumberGenerator.GetBytes(sizeof(uint)))));

    private async Task WriteFramesAsync()
    {
        try
        {
            await foreach (byte[] frame in _frames.Reader.ReadAllAsync())
                await _stream.WriteAsync(frame);
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            // The connection is over. Its reader says how it ended.
        }
    }

    private async Task ReadAsync()
    {
        ProbeEnd? end;
        try
        {
            end = Scan(_early) ?? await ReadToEndAsync();
        }
        catch (WebSocketProtocolException e)
        {
            end = new ProbeEnd(EndKind.Violation, Reason: PeerText.Printable(e.Message));
        }
        catch (Exception e) when (_isDisposed && e is IOException or ObjectDisposedException)
        {
            return; // it is we who ended it
        }
        catch (IOException e)
        {
            // When our kernel gives up, nobody has said anything.
            SocketError? error = (e.InnerException as SocketException)?.SocketErrorCode;
            bool isLost = error is SocketError.TimedOut or SocketError.HostUnreachable or SocketError.NetworkUnreachable;
            end = new ProbeEnd(isLost ? EndKind.Lost : EndKind.Reset);
        }
        Tell(ProbeEventKind.End, end);
    }

    private async Task<ProbeEnd> ReadToEndAsync()
    {
        while (true)
        {
            int count = await _stream.ReadAsync(_buffer.AsMemory(_filled));
            if (count == 0)
                return new ProbeEnd(EndKind.Fin);
            _filled += count;
            if (Scan(_buffer.AsSpan(0, _filled)) is { } end)
                return end;
        }
    }

    /// <summary>Tells what the bytes bring, and keeps the rest that is no whole frame.</summary>
    /// <returns>The end, if there is a Close frame among them.</returns>
    private ProbeEnd? Scan(ReadOnlySpan<byte> bytes)
    {
        int position = 0;
        int controls = 0;
        ProbeEnd? end = null;
        Span<byte> room = stackalloc byte[FrameHeader.MaxControlPayload];
        while (end is null && _scanner.TryRead(bytes, ref position, out ControlFrame frame, out _))
        {
            controls += frame.End - frame.Start;
            end = OnControl(frame.Opcode, frame.Payload(bytes, room));
        }
        if (end is null && bytes.Length > controls)
            Tell(ProbeEventKind.Data, bytes: position - controls);
        ReadOnlySpan<byte> rest = bytes[position..];
        rest.CopyTo(_buffer);
        _filled = rest.Length;
        return end;
    }

    private ProbeEnd? OnControl(Opcode opcode, ReadOnlySpan<byte> payload)
    {
        switch (opcode)
        {
            case Opcode.Ping:
                // 5.5.3: a pong has the payload of its ping.
                Send(Opcode.Pong, payload);
                Tell(ProbeEventKind.Ping);
                return null;
            case Opcode.Pong:
                bool isOurs = payload.Length == sizeof(ulong) && BinaryPrimitives.ReadUInt64BigEndian(payload) - 1 < Volatile.Read(ref _pings);
                Tell(isOurs ? ProbeEventKind.Pong : ProbeEventKind.Data);
                return null;
            default:
                // 5.5.1: the answer to a Close frame has its code.
                Send(Opcode.Close, payload.Length < sizeof(ushort) ? [] : payload[..sizeof(ushort)]);
                return new ProbeEnd(EndKind.Close, CloseBody.Code(payload), PeerText.Printable(CloseBody.Reason(payload)));
        }
    }

    private void Tell(ProbeEventKind kind, ProbeEnd? end = null, int bytes = 0) => _events.TryWrite(new ProbeEvent(Id, _now(), kind, end, Bytes: bytes));
}
