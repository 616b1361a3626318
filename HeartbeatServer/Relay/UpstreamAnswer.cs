using System.Text;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Relay;

/// <summary>What the bytes of an answer have come to.</summary>
internal enum AnswerStep
{
    /// <summary>More bytes are needed.</summary>
    NeedsMore,
    /// <summary>The answer is a 101 that fits the request. What comes behind it are frames.</summary>
    Switched,
    /// <summary>The answer is another one, and whole with its body.</summary>
    Refused,
    /// <summary>The answer cannot be passed on.</summary>
    Bad,
}

/// <summary>Reads the application's answer to an upgrade request, checks it, and writes it anew for the client.</summary>
/// <param name="request">The client's request, which the application has got by <see cref="UpstreamRequest"/>.</param>
/// <param name="date">Returns the present date, for an answer that comes without one (RFC 9110 section 6.6.1).</param>
internal sealed class UpstreamAnswer(RequestHead request, Func<string> date)
{
    private readonly AnswerReader _reader = new();
    private HopByHop? _hopByHop;
    private AnswerBody? _body;

    /// <summary>The status of the answer; 0 as long as its head is not complete.</summary>
    public int Status => Head?.Status ?? 0;

    /// <summary>What is wrong with the answer, worded to stand behind "the answer is no good"; null if nothing is.</summary>
    public string? Fault { get; private set; }

    /// <summary>Whether the client and the application have agreed to permessage-deflate.</summary>
    public bool HasDeflate { get; private set; }

    /// <summary>How many bytes belong to the head of the answer, and to the interim answers before it.</summary>
    public int Consumed => _reader.Consumed;

    /// <summary>What the client gets: the head of the 101, or the whole of another answer. Empty as long as nothing can be passed on.</summary>
    public ReadOnlyMemory<byte> ForClient { get; private set; }

    private AnswerHead? Head => _reader.Head;

    /// <summary>Reads on.</summary>
    /// <param name="bytes">All bytes that the application has sent so far.</param>
    /// <param name="isEnd">Whether the application has ended the connection behind them.</param>
    public AnswerStep Read(ReadOnlySpan<byte> bytes, bool isEnd)
    {
        AnswerStep step = Head is null ? ReadHead(bytes) : AnswerStep.NeedsMore;
        if (step == AnswerStep.NeedsMore && Head is not null)
            step = ReadBody(bytes[Consumed..], isEnd);
        if (step == AnswerStep.NeedsMore && isEnd)
            return Bad(bytes.IsEmpty ? "the connection ended without one" : "the connection ended before it was whole");
        return step;
    }

    private AnswerStep ReadHead(ReadOnlySpan<byte> bytes)
    {
        if (!_reader.TryRead(bytes, out string? fault))
            return fault is null ? AnswerStep.NeedsMore : Bad(fault);
        _hopByHop = Head!.ReadConnection(out string? hidden);
        if (_hopByHop is null)
            return Bad(hidden!);
        if (Status == 101)
            return Switch();
        _body = AnswerBody.Of(Head!, out string? wrong);
        return _body is null ? Bad(wrong!) : AnswerStep.NeedsMore;
    }

    private AnswerStep Switch()
    {
        if (UpgradeAnswer.Check(Head!.Fields, request, out bool hasDeflate) is { } fault)
            return Bad(fault);
        HasDeflate = hasDeflate;
        StringBuilder text = new StringBuilder("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
        // RFC 9110 section 8.6 and RFC 9112 section 6.1: a 101 has neither a length nor an encoding. Some applications send them nevertheless. An empty
        // subprotocol or list of extensions stands for none, but browsers refuse it.
        Head.WriteEndToEnd(text, _hopByHop!, (name, value) => value.Length == 0 && UpgradeAnswer.IsChoice(name));
        ForClient = Encoding.Latin1.GetBytes(text.Append("\r\n").ToString());
        return AnswerStep.Switched;
    }

    private AnswerStep ReadBody(ReadOnlySpan<byte> bytes, bool isEnd)
    {
        if (!_body!.TryRead(bytes, isEnd, out ReadOnlySpan<byte> body, out string? fault))
            return fault is null ? AnswerStep.NeedsMore : Bad(fault);
        StringBuilder text = Head!.Begin(_hopByHop!, date());
        if (Status is not (204 or 304))
            text.Append(null, $"Content-Length: {body.Length}\r\n");
        Head.WriteClose(text);
        ForClient = (byte[])[.. Encoding.Latin1.GetBytes(text.ToString()), .. body];
        return AnswerStep.Refused;
    }

    private AnswerStep Bad(string fault)
    {
        Fault = fault;
        return AnswerStep.Bad;
    }
}
