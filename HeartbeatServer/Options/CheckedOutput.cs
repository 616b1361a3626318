using System.Text;

namespace HeartbeatServer.Options;

/// <summary>
/// The standard output for what a person has asked for: the help, a probe, a health check. Where it cannot be written, because the disk is full say,
/// whoever asked has to be told so.
/// </summary>
/// <param name="inner">Gets the text.</param>
internal sealed class CheckedOutput(TextWriter inner) : TextWriter
{
    public override Encoding Encoding => inner.Encoding;

    /// <exception cref="OutputException">The output cannot be written. All other writes come here, too.</exception>
    public override void Write(ReadOnlySpan<char> buffer)
    {
        try
        {
            inner.Write(buffer);
        }
        catch (IOException e)
        {
            throw new OutputException($"The output cannot be written: {e.Message}", e);
        }
    }

    public override void Write(char value) => Write([value]);

    public override void Write(string? value) => Write(value.AsSpan());

    public override void Write(char[] buffer, int index, int count) => Write(buffer.AsSpan(index, count));

    public override void Flush()
    {
        try
        {
            inner.Flush();
        }
        catch (IOException e)
        {
            throw new OutputException($"The output cannot be written: {e.Message}", e);
        }
    }
}

/// <summary>The standard output cannot be written. The message says why.</summary>
internal sealed class OutputException(string message, Exception inner) : Exception(message, inner);
