using BenchmarkDotNet.Attributes;
using HeartbeatServer.Framing;

namespace Micro;

/// <summary>The header of a frame from a client, in its three sizes.</summary>
public class FrameHeaderBenchmark
{
    private byte[] _header = [];

    [Params(6, 8, 14)]
    public int Size { get; set; }

    [GlobalSetup]
    public void Fill() => _header = Size switch
    {
        6 => [0x81, 0x80 | 64, 1, 2, 3, 4],
        8 => [0x82, 0x80 | 126, 0x10, 0, 1, 2, 3, 4],
        _ => [0x82, 0x80 | 127, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4],
    };

    [Benchmark]
    public long Parse() => FrameHeader.TryRead(_header, out FrameHeader header) ? header.PayloadLength : -1;
}
