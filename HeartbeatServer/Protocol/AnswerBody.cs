using System.Buffers;

namespace HeartbeatServer.Protocol;

/// <summary>The body of an answer that is no upgrade (RFC 9112 section 6.3): of a length, in chunks, or up to the end of the connection.</summary>
internal sealed class AnswerBody
{
    /// <summary>The longest body in bytes, without the framing of its chunks.</summary>
    public const int MaxLength = 1 << 20;

    private const string TooLong = "its body has more than 1 MiB";

    // Null for a body that ends with the connection.
    private readonly int? _length;

    // Null for a body that is not in chunks.
    private readonly ChunkReader? _reader;
    private readonly ArrayBufferWriter<byte> _data = new();
    private int _chunksRead;

    private AnswerBody(int? length, ChunkReader? reader) => (_length, _reader) = (length, reader);

    /// <summary>Finds how long the body of an answer is.</summary>
    /// <param name="head">The head of an answer to a GET request.</param>
    /// <param name="fault">Why this cannot be said; null if it can.</param>
    /// <returns>Null if there is a fault.</returns>
    public static AnswerBody? Of(AnswerHead head, out string? fault)
    {
        var (end, length) = BodyFraming.OfAnswer(head, isToHead: false, out fault);
        if (fault is null && length > MaxLength)
            fault = TooLong;
        return fault is not null ? null : end switch
        {
            BodyEnd.Chunks => new AnswerBody(null, new ChunkReader()),
            BodyEnd.Connection => new AnswerBody(null, reader: null),
            _ => new AnswerBody((int)length, reader: null),
        };
    }

    /// <summary>Reads the body.</summary>
    /// <param name="bytes">All bytes that came behind the head so far.</param>
    /// <param name="isEnd">Whether the application has ended the connection.</param>
    /// <param name="body">The whole body, without the framing of its chunks.</param>
    /// <param name="fault">What is wrong; null as long as nothing is.</param>
    /// <returns>Whether the body is whole.</returns>
    public bool TryRead(ReadOnlySpan<byte> bytes, bool isEnd, out ReadOnlySpan<byte> body, out string? fault)
    {
        body = default;
        fault = null;
        if (_reader is not null)
        {
            // Chunks of a byte with long extensions would otherwise fill the memory.
            if (bytes.Length <= 2 * MaxLength)
                return TryReadChunks(bytes, out body, out fault);
            fault = TooLong;
            return false;
        }
        if (_length is null && bytes.Length > MaxLength)
            fault = TooLong;
        else if (_length is null ? isEnd : bytes.Length >= _length)
        {
            body = bytes[..(_length ?? bytes.Length)];
            return true;
        }
        return false;
    }

    /// <summary>What has come of a body that is not whole: of one in chunks, without their framing.</summary>
    /// <param name="bytes">All bytes that came behind the head so far, as <see cref="TryRead"/> got them.</param>
    public ReadOnlySpan<byte> Begun(ReadOnlySpan<byte> bytes) => _reader is null ? bytes : _data.WrittenSpan;

    private bool TryReadChunks(ReadOnlySpan<byte> bytes, out ReadOnlySpan<byte> body, out string? fault)
    {
        fault = null;
        while (_chunksRead < bytes.Length && !_reader!.IsWhole && fault is null)
        {
            _chunksRead += _reader.Read(bytes[_chunksRead..], out ReadOnlySpan<byte> data);
            _data.Write(data);
            fault = _reader.Fault is { } wrong ? $"its body is malformed: {wrong}" : _data.WrittenCount + _reader.Announced > MaxLength ? TooLong : null;
        }
        body = _data.WrittenSpan;
        return _reader!.IsWhole && fault is null;
    }
}
