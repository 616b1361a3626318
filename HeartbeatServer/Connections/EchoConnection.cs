using System.Diagnostics.CodeAnalysis;
using System.Net;
using HeartbeatServer.Engine;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Connections;

/// <summary>A connection whose messages the server answers: it sends them back, or takes them and discards them.</summary>
/// <remarks>
/// The read loop waits for its own writes before it reads on. So the server does not read from a client that does not read. An idle connection waits for
/// bytes without a buffer.
/// </remarks>
[SuppressMessage("Design", "CA1001", Justification = "Release disposes: the base class calls it at the end of its life.")]
internal sealed class EchoConnection : Connection
{
    /// <summary>From so many bytes on the rest of a payload is received straight into its message. A shorter rest comes with the next frames.</summary>
    private const int LongPayload = 2 * 1024;

    // Only the read loop uses these fields.
    private readonly MessageReader _reader;
    private ReceiveBuffer _received;
    private ReplyBatch _replies;

    /// <summary>Whether the client had still more to send when the last receive was full.</summary>
    private bool _isBusy;

    /// <summary>Whether the last write had to wait for the client.</summary>
    private bool _isSlow;

    /// <inheritdoc/>
    public EchoConnection(long id, EndPoint remote, Transport transport, ConnectionContext context, double phase, TimingWheel wheel)
        : base(id, remote, transport, context, phase, wheel) =>
        _reader = new MessageReader(context.MaxMessage, new BudgetedPool(this, context.Buffers));

    protected override long MessageBytes => _reader.HeldBytes;

    protected override void Release()
    {
        _reader.Dispose();
        _received.Dispose();
    }

    protected override ValueTask<int> ReceiveAsync() => Transport.WaitReadableAsync(_isBusy);

    protected override async ValueTask<bool> OnReceivedAsync(int count)
    {
        if (count == Transport.Cancelled)
        {
            GiveUpMessage();
            return true;
        }
        try
        {
            Memory<byte> target = ReceiveTarget(out bool intoMessage);
            count = Transport.TryRead(target);
            if (count < 0)
                return true;
            if (count == 0)
            {
                End(ByNetwork());
                return false;
            }
            OnBytes(count);
            if (Discards)
                return true;

            if (!intoMessage)
                _received.Received(count);
            else if (_reader.TryAccept(count, out Inbound message))
                await HandleAsync(message);
            // What fills a target is probably not all that the client has sent. But a target in a message has no room for more than the payload.
            _isBusy = count == target.Length && (!intoMessage || _reader.FrameRemaining > 0);

            while (_reader.TryRead(_received.Array, ref _received.Start, _received.End, out Inbound inbound))
            {
                if (!await HandleAsync(inbound))
                    return false;
            }
            await FlushAsync();
            TellRecovery();
            return true;
        }
        catch (WebSocketProtocolException violation)
        {
            End(Disconnect.ByViolation(violation));
            // The client still gets the replies to the frames before the violation.
            await FlushAsync();
            _reader.Dispose();
            SayGoodbye(violation.CloseCode, violation.Rule);
            _received.Start = _received.End;
            return true;
        }
        catch (OutOfMemoryException)
        {
            await FlushAsync();
            GiveUpMessage();
            return true;
        }
        finally
        {
            _received.Return();
        }
    }

    /// <summary>Where the next receive goes: a long payload straight into the message, everything else into an array of this thread.</summary>
    private Memory<byte> ReceiveTarget(out bool intoMessage)
    {
        intoMessage = !Discards && !_received.IsKeeping && _reader.FrameRemaining > LongPayload;
        return intoMessage ? _reader.PayloadTarget(Transport.UnreadBytes) : _received.Take(_isSlow);
    }

    /// <summary>Gives back the memory of the message that is coming in, because there is not enough for it, and says goodbye.</summary>
    private void GiveUpMessage()
    {
        End(Disconnect.ByLackOfMemory()); // unless the budget has set the cause
        _reader.Dispose();
        SayGoodbye(CloseCode.TryAgainLater, "try again later");
        _received.Start = _received.End;
    }

    /// <summary>Answers one message or control frame. As a rule the reply joins the batch, and there is nothing to wait for.</summary>
    /// <returns>False after a Close frame: the connection is over.</returns>
    private ValueTask<bool> HandleAsync(in Inbound inbound)
    {
        switch (inbound.Opcode)
        {
            case Opcode.Ping:
                return ReplyAsync(inbound, Opcode.Pong);

            case Opcode.Pong:
                OnPong(inbound.Payload);
                return new(true);

            case Opcode.Close:
                return AnswerCloseAsync(inbound.Code, inbound.Reason);

            default:
                MessagesIn++;
                if (!Context.Echo || IsClosed)
                    return new(true);
                MessagesOut++;
                return ReplyAsync(inbound, inbound.Opcode);
        }
    }

    /// <summary>
    /// Sends a payload back without copying it. A payload in the receive buffer joins the batch of replies. Any other leaves as a frame of its own.
    /// </summary>
    private ValueTask<bool> ReplyAsync(in Inbound inbound, Opcode opcode)
    {
        if (inbound.Buffer != _received.Array)
            return ReplyAloneAsync(inbound, opcode);
        _replies.Add(inbound.Buffer, opcode, inbound.Offset, inbound.Count);
        return new(true);
    }

    private async ValueTask<bool> ReplyAloneAsync(Inbound inbound, Opcode opcode)
    {
        await FlushAsync();
        int header = FrameWriter.HeaderSize(inbound.Count);
        int start = inbound.Offset - header;
        FrameWriter.WriteHeader(inbound.Buffer.AsSpan(start), opcode, inbound.Count);
        await Writer.WriteAsync(inbound.Buffer.AsMemory(start, header + inbound.Count));
        return true;
    }

    /// <summary>
    /// Ends the connection. If the server closed first, the frame is the client's answer. Otherwise the client gets its code back (RFC 6455 section 5.5.1).
    /// </summary>
    private async ValueTask<bool> AnswerCloseAsync(ushort code, string reason)
    {
        End(Disconnect.ByClient(code, reason));
        await FlushAsync();
        Writer.SendClose(code, "");
        await Writer.UntilIdleAsync();
        return false;
    }

    private ValueTask FlushAsync()
    {
        if (_replies.IsEmpty)
            return default;
        ReadOnlyMemory<byte> frames = _received.Array.AsMemory(_replies.Start, _replies.End - _replies.Start);
        _replies.Clear();
        ValueTask write = Writer.WriteAsync(frames);
        _isSlow = !write.IsCompleted;
        return write.IsCompleted ? write : HoldAsync(write, _received.Array.Length);
    }
}
