using System.Text;
using BenchmarkDotNet.Attributes;
using HeartbeatServer.Framing;

namespace Micro;

/// <summary>The check of a text message that comes in one piece.</summary>
public class Utf8Benchmark
{
    public enum Script
    {
        Ascii,
        /// <summary>Characters of one to four bytes.</summary>
        Mixed,
    }

    private byte[] _text = [];

    [Params(64, 4096)]
    public int Bytes { get; set; }

    [Params(Script.Ascii, Script.Mixed)]
    public Script Text { get; set; }

    [GlobalSetup]
    public void Fill()
    {
        string sample = Text == Script.Ascii ? "the quick brown fox; " : "Größe, Ελλάς, 你好, 🎈 and plain words; ";
        byte[] repeated = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat(sample, 1 + Bytes / sample.Length)));
        int end = Bytes;
        while ((repeated[end] & 0xC0) == 0x80)
            end--;
        _text = repeated[..end];
    }

    [Benchmark]
    public bool Validate()
    {
        var validator = new Utf8Validator();
        return validator.Append(_text) && validator.IsComplete;
    }
}
