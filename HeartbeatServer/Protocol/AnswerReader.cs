namespace HeartbeatServer.Protocol;

/// <summary>Reads the head of an answer to an upgrade request from bytes that come in pieces, and skips the interim answers before it.</summary>
internal sealed class AnswerReader
{
    private const string TooLong = "its head has more than 24 KiB";

    // Where the head that is read begins, and how many bytes were looked at in vain.
    private int _start;
    private int _seen;

    /// <summary>The head; null as long as it is not complete.</summary>
    public AnswerHead? Head { get; private set; }

    /// <summary>How many bytes belong to the head of the answer, and to the interim answers before it.</summary>
    public int Consumed { get; private set; }

    /// <summary>Reads on.</summary>
    /// <param name="bytes">All bytes that came so far.</param>
    /// <param name="fault">What is wrong with the answer, worded to stand behind "the answer is no good"; null if nothing is.</param>
    /// <returns>Whether the head is complete.</returns>
    public bool TryRead(ReadOnlySpan<byte> bytes, out string? fault)
    {
        while (true)
        {
            int end = AnswerHead.Find(bytes, _start, _seen, out fault);
            if (fault is null && (end > AnswerHead.MaxLength || (end == 0 && bytes.Length > AnswerHead.MaxLength)))
                fault = TooLong;
            if (fault is not null)
                return false;
            if (end == 0)
            {
                _seen = bytes.Length;
                return false;
            }
            AnswerHead? head = AnswerHead.Read(bytes[_start..end], out fault);
            if (head is null)
                return false;
            if (head.Status is >= 200 or 101)
            {
                (Head, Consumed) = (head, end);
                return true;
            }
            // RFC 9110 section 15.2: a client must be able to skip interim answers, even if it did not ask for them.
            (_start, _seen) = (end, end);
        }
    }
}
