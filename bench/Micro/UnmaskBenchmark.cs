using BenchmarkDotNet.Attributes;
using HeartbeatServer.Framing;

namespace Micro;

/// <summary>The mask of a payload, in place; a frame's payload has any alignment.</summary>
public class UnmaskBenchmark
{
    private const int Misalignment = 6;
    private byte[] _payload = [];

    [Params(16, 1024, 65536)]
    public int Bytes { get; set; }

    [GlobalSetup]
    public void Fill() => _payload = new byte[Misalignment + Bytes];

    [Benchmark]
    public void Unmask()
    {
        Span<byte> payload = _payload.AsSpan(Misalignment);
        Masking.Unmask(payload, payload, key: 0x12345678, offset: 0);
    }
}
