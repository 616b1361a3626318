using BenchmarkDotNet.Attributes;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;

namespace Micro;

/// <summary>Small pipelined messages that came in one receive, as in the echo of 16 in flight: per message, without the reply.</summary>
[MemoryDiagnoser]
public class MessageReaderBenchmark
{
    private const int Frames = 16;
    private const int Header = 6;
    private const int Payload = 64;

    private readonly MessageReader _reader = new(maxMessage: 1 << 20);
    private readonly byte[] _received = new byte[Frames * (Header + Payload)];

    /// <summary>Text is checked for UTF-8, binary is not.</summary>
    [Params(false, true)]
    public bool IsText { get; set; }

    [GlobalSetup]
    public void Fill()
    {
        for (int frame = 0; frame < Frames; frame++)
        {
            Span<byte> bytes = _received.AsSpan(frame * (Header + Payload), Header + Payload);
            // The mask is zero: unmasking in place leaves the buffer as it was, for the next time.
            ((ReadOnlySpan<byte>)[(byte)(0x80 | (byte)(IsText ? Opcode.Text : Opcode.Binary)), 0x80 | Payload, 0, 0, 0, 0]).CopyTo(bytes);
            bytes[Header..].Fill((byte)'x');
        }
    }

    [Benchmark(OperationsPerInvoke = Frames)]
    public int Read()
    {
        int start = 0, read = 0;
        while (_reader.TryRead(_received, ref start, _received.Length, out Inbound inbound))
            read += inbound.Count;
        return read;
    }
}
