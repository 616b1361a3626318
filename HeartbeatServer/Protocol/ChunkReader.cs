using System.Buffers;
using System.Text;

namespace HeartbeatServer.Protocol;

/// <summary>
/// Takes the framing off a body in chunks (RFC 9112 section 7.1), however its bytes come. It keeps no data. Extensions and the fields behind the last chunk
/// are checked and dropped.
/// </summary>
internal sealed class ChunkReader
{
    /// <summary>The longest line before a chunk in bytes: its size and its extensions.</summary>
    private const int MostInLine = 4 * 1024;

    /// <summary>So many digits of a size fit into a number without a sign.</summary>
    private const int MostDigits = 15;

    private enum Step
    {
        Size,
        Blank,
        Extension,
        SizeLf,
        Data,
        DataCr,
        DataLf,
        Trailers,
        Whole,
    }

    private Step _step = Step.Size;
    private int _inLine;
    private int _digits;

    // In the size of a chunk: its value so far.
    private long _left;

    // The line end of the last chunk's size, and what came behind it.
    private ArrayBufferWriter<byte>? _trailers;

    /// <summary>Whether the last chunk and the fields behind it have been read.</summary>
    public bool IsWhole => _step == Step.Whole;

    /// <summary>How many bytes of the chunk that has begun are still to come, as far as its size has been read.</summary>
    public long Announced => _left;

    /// <summary>What is wrong with the body, worded to stand behind "the body is malformed"; null as long as nothing is.</summary>
    public string? Fault { get; private set; }

    /// <summary>Reads on, up to the end of the next piece of data. Behind a fault or the end it takes nothing.</summary>
    /// <param name="bytes">The bytes that came behind those that were taken before.</param>
    /// <param name="data">The piece of data; empty if there is none.</param>
    /// <returns>How many bytes were taken: framing, and the data behind it.</returns>
    public int Read(ReadOnlySpan<byte> bytes, out ReadOnlySpan<byte> data)
    {
        data = default;
        int taken = 0;
        while (taken < bytes.Length && Fault is null && !IsWhole)
        {
            if (_step == Step.Data)
            {
                data = bytes[taken..];
                if (data.Length >= _left)
                {
                    data = data[..(int)_left];
                    _step = Step.DataCr;
                }
                _left -= data.Length;
                return taken + data.Length;
            }
            Take(bytes[taken++]);
        }
        return taken;
    }

    private void Take(byte next)
    {
        switch (_step)
        {
            case Step.Size or Step.Blank or Step.Extension:
                TakeOfLine(next);
                break;
            case Step.SizeLf when next == '\n':
                EndLine();
                break;
            case Step.SizeLf:
                Fault = "a CR without LF behind the size of a chunk";
                break;
            case Step.DataCr when next == '\r':
                _step = Step.DataLf;
                break;
            case Step.DataLf when next == '\n':
                (_step, _inLine, _digits) = (Step.Size, 0, 0);
                break;
            case Step.DataCr or Step.DataLf:
                Fault = "no line end behind a chunk: it is longer or shorter than its size";
                break;
            case Step.Trailers:
                TakeTrailer(next);
                break;
        }
    }

    /// <summary>Takes a byte of the line before a chunk: hexadecimal digits, perhaps white space and extensions (RFC 9112 section 7.1.1), and CR.</summary>
    private void TakeOfLine(byte next)
    {
        if (++_inLine > MostInLine)
            Fault = "the line before a chunk is too long";
        else if (_step == Step.Size && char.IsAsciiHexDigit((char)next))
            TakeDigit(next);
        else if (_digits == 0)
            Fault = "the size of a chunk is missing, or is no hexadecimal number";
        else if (next == '\r' && _step != Step.Blank)
            _step = Step.SizeLf;
        else if (_step == Step.Extension && (next is < (byte)' ' and not (byte)'\t' or 127))
            Fault = "a control character in an extension of a chunk";
        else if (_step == Step.Extension)
            return;
        else if (next == ';')
            _step = Step.Extension;
        else if (next is (byte)' ' or (byte)'\t')
            _step = Step.Blank;
        else
            Fault = "the size of a chunk is no hexadecimal number";
    }

    private void TakeDigit(byte digit)
    {
        _left = (_left << 4) | (uint)Convert.ToInt32(((char)digit).ToString(), 16);
        // Leading zeros are digits, too: nobody writes so many.
        if (++_digits > MostDigits)
            Fault = "the size of a chunk is larger than any body";
    }

    private void EndLine()
    {
        if (_left > 0)
        {
            _step = Step.Data;
            return;
        }
        _step = Step.Trailers;
        _trailers = new ArrayBufferWriter<byte>(64);
        _trailers.Write("\r\n"u8);
    }

    private void TakeTrailer(byte next)
    {
        int seen = _trailers!.WrittenCount;
        _trailers.Write([next]);
        int end = FieldLines.FindEnd(_trailers.WrittenSpan, 0, seen, out string? fault);
        if (fault is not null)
            Fault = $"{fault} behind the last chunk";
        else if (end == 0 && _trailers.WrittenCount > AnswerHead.MaxLength)
            Fault = "too many fields behind the last chunk";
        else if (end > 2 + 2 && !Array.TrueForAll(Encoding.Latin1.GetString(_trailers.WrittenSpan[2..(end - 4)]).Split("\r\n"), new FieldLines().TryAdd))
            Fault = "a line behind the last chunk is no field";
        else if (end > 0)
            _step = Step.Whole;
    }
}
