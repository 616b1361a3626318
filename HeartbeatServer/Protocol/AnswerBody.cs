using System.Buffers;
using System.Globalization;

namespace HeartbeatServer.Protocol;

/// <summary>The body of an answer that is no upgrade (RFC 9112 section 6.3): of a length, in chunks, or up to the end of the connection.</summary>
internal sealed class AnswerBody
{
    /// <summary>The longest body in bytes, without the framing of its chunks.</summary>
    public const int MaxLength = 1 << 20;

    /// <summary>The longest line before a chunk in bytes: its size and its extensions.</summary>
    private const int MaxChunkLine = 4 * 1024;

    private const string TooLong = "its body has more than 1 MiB";
    private const string BadChunk = "a chunk of its body is malformed";

    // Null for a body that ends with the connection.
    private readonly int? _length;

    // Null for a body that is not in chunks.
    private readonly ArrayBufferWriter<byte>? _chunks;
    private int _chunksRead;

    private AnswerBody(int? length, bool isChunked) => (_length, _chunks) = (length, isChunked ? new ArrayBufferWriter<byte>() : null);

    /// <summary>Finds how long the body of an answer is.</summary>
    /// <param name="head">The head of an answer to a GET request.</param>
    /// <param name="fault">Why this cannot be said; null if it can.</param>
    /// <returns>Null if there is a fault.</returns>
    public static AnswerBody? Of(AnswerHead head, out string? fault)
    {
        fault = null;
        if (head.Status is 204 or 304)
            return new AnswerBody(0, isChunked: false);
        string? encoding = head.Fields["Transfer-Encoding"];
        string? length = head.Fields["Content-Length"];
        if (encoding is not null)
        {
            // RFC 9112 section 6.3: such an answer may be an attempt to smuggle a second one past a proxy.
            fault = length is not null ? "Content-Length and Transfer-Encoding in one head"
                : head.MinorVersion == 0 ? "Transfer-Encoding in an answer of HTTP/1.0"
                : !encoding.Equals("chunked", StringComparison.OrdinalIgnoreCase) ? "its Transfer-Encoding is not chunked alone"
                : null;
            return fault is null ? new AnswerBody(null, isChunked: true) : null;
        }
        if (length is null)
            return new AnswerBody(null, isChunked: false);
        fault = head.Fields.LinesOf("Content-Length") > 1 ? "Content-Length stands in its head more than once"
            : length.Length == 0 || length.AsSpan().ContainsAnyExceptInRange('0', '9') ? "its Content-Length is no number"
            : null;
        if (fault is not null)
            return null;
        // A number that fits into no int is too long, too.
        if (int.TryParse(length, NumberStyles.None, CultureInfo.InvariantCulture, out int bytes) && bytes <= MaxLength)
            return new AnswerBody(bytes, isChunked: false);
        fault = TooLong;
        return null;
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
        if (_chunks is not null)
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

    /// <summary>Takes the framing off the chunks that are whole (RFC 9112 section 7.1).</summary>
    private bool TryReadChunks(ReadOnlySpan<byte> bytes, out ReadOnlySpan<byte> body, out string? fault)
    {
        body = default;
        while (true)
        {
            ReadOnlySpan<byte> rest = bytes[_chunksRead..];
            int line = rest[..Math.Min(rest.Length, MaxChunkLine)].IndexOf("\r\n"u8);
            fault = null;
            if (line < 0 && rest.Length < MaxChunkLine)
                return false;
            if (line < 0 || !TryReadSize(rest[..line], out int size))
            {
                fault = BadChunk;
                return false;
            }
            if (size == 0)
            {
                bool isWhole = HasTrailers(rest[line..], out fault);
                body = _chunks!.WrittenSpan;
                return isWhole;
            }
            if (size > MaxLength - _chunks!.WrittenCount)
                fault = TooLong;
            int data = line + 2;
            int end = data + size + 2;
            if (fault is null && rest.Length >= end && !rest[(end - 2)..].StartsWith("\r\n"u8))
                fault = BadChunk;
            if (fault is not null || rest.Length < end)
                return false;
            _chunks.Write(rest.Slice(data, size));
            _chunksRead += end;
        }
    }

    /// <summary>Reads a size in hexadecimal digits. Extensions may follow it (RFC 9112 section 7.1.1); they mean nothing here.</summary>
    /// <param name="line">The line before a chunk, without its end.</param>
    /// <param name="size">The size in bytes; a size that fits into no number is the largest number.</param>
    private static bool TryReadSize(ReadOnlySpan<byte> line, out int size)
    {
        size = 0;
        int digits = 0;
        for (; digits < line.Length && char.IsAsciiHexDigit((char)line[digits]); digits++)
            size = size > int.MaxValue >> 4 ? int.MaxValue : (size << 4) | Convert.ToInt32(((char)line[digits]).ToString(), 16);
        ReadOnlySpan<byte> extensions = line[digits..].TrimStart(" \t"u8);
        return digits > 0 && (extensions.IsEmpty || extensions[0] == ';') && !extensions.ContainsAny((byte)'\r', (byte)'\n', (byte)0);
    }

    /// <summary>Whether the fields behind the last chunk are whole. They are dropped.</summary>
    /// <param name="bytes">The bytes from the end of the last chunk's line on.</param>
    /// <param name="fault">What is wrong; null as long as nothing is.</param>
    private static bool HasTrailers(ReadOnlySpan<byte> bytes, out string? fault)
    {
        int end = FieldLines.FindEnd(bytes, 0, 0, out fault);
        if (fault is not null)
            fault = $"{fault} behind its last chunk";
        else if (end == 0 && bytes.Length > AnswerHead.MaxLength)
            fault = "too many fields behind its last chunk";
        return end > 0 && fault is null;
    }
}
