using HeartbeatServer.Connections;
using HeartbeatServer.Framing;
using HeartbeatServer.Protocol;


namespace HeartbeatServer.Tests.Support;

/// <summary>
/// Reads a stream as <see cref="EchoConnection"/> does, but without a socket. It has the same receive buffer and reads in place. Long payloads go
/// straight into the message, and all replies of a receive are built in the buffer. The loop checks each echo against what it has read.
/// </summary>
internal static class ReadLoop
{
    public const int DefaultMaxMessage = 1 << 20;

    private const int LongPayload = 200;

    /// <summary>Reads the whole stream in one piece.</summary>
    public static Transcript Run(ReadOnlySpan<byte> stream, int maxMessage = DefaultMaxMessage) =>
        Run(stream, () => int.MaxValue, maxMessage);

    /// <summary>Reads the stream in pieces of one size.</summary>
    public static Transcript Run(ReadOnlySpan<byte> stream, int pieces, int maxMessage) => Run(stream, () => pieces, maxMessage);

    /// <param name="stream">What the client sends.</param>
    /// <param name="nextPiece">How many bytes arrive next.</param>
    /// <param name="maxMessage">The longest message in bytes.</param>
    /// <param name="eager">Whether every payload, and not only a long one, is received straight into the message.</param>
    public static Transcript Run(ReadOnlySpan<byte> stream, Func<int> nextPiece, int maxMessage = DefaultMaxMessage, bool eager = false)
    {
        using var reader = new MessageReader(maxMessage);
        var received = new ReceiveBuffer();
        var transcript = new Transcript();
        var replies = new Replies();
        int arrived = 0;
        try
        {
            while (transcript.BytesTaken < stream.Length)
            {
                if (arrived == transcript.BytesTaken)
                    arrived += Math.Min(nextPiece(), stream.Length - arrived);

                bool intoMessage = !received.IsKeeping && reader.FrameRemaining > (eager ? 0 : LongPayload);
                long remaining = reader.FrameRemaining;
                Memory<byte> target = intoMessage ? reader.PayloadTarget() : received.Take();
                if (target.IsEmpty || (intoMessage && target.Length > remaining))
                    Assert.Fail($"{target.Length} bytes to receive into, with {remaining} left of the frame");
                int count = Math.Min(target.Length, arrived - transcript.BytesTaken);
                stream.Slice(transcript.BytesTaken, count).CopyTo(target.Span);
                // The bytes after the received ones must not matter, so they are garbage here.
                target.Span[count..Math.Min(target.Length, count + 64)].Fill(0xEE);
                transcript.BytesTaken += count;

                if (!intoMessage)
                    received.Received(count);
                else if (reader.TryAccept(count, out Inbound message))
                    replies.Answer(message, received.Array, transcript);

                while (reader.TryRead(received.Array, ref received.Start, received.End, out Inbound inbound))
                {
                    replies.Answer(inbound, received.Array, transcript);
                    if (inbound.Opcode == Opcode.Close)
                        return transcript;
                }
                replies.Flush(received.Array);
                if (received.End - received.Start > MessageReader.MaxUnread)
                    Assert.Fail($"{received.End - received.Start} bytes were left unread");
                received.Return();
            }
        }
        catch (WebSocketProtocolException violation)
        {
            transcript.End(violation.CloseCode, violation.Message);
        }
        finally
        {
            replies.Flush(received.Array);
            received.Dispose();
        }
        return transcript;
    }

    /// <summary>Makes an echo, and compares its bytes with the frames that it should consist of.</summary>
    private sealed class Replies
    {
        private readonly List<byte[]> _expected = [];
        private ReplyBatch _batch;

        public void Answer(Inbound inbound, byte[] received, Transcript transcript)
        {
            transcript.Add(inbound.Opcode, inbound.Payload);
            if (inbound.Opcode is Opcode.Close or Opcode.Pong)
                return;

            Opcode opcode = inbound.Opcode == Opcode.Ping ? Opcode.Pong : inbound.Opcode;
            byte[] expected = ServerFrames.Frame(opcode, inbound.Payload);
            if (inbound.Buffer == received)
            {
                _expected.Add(expected);
                _batch.Add(inbound.Buffer, opcode, inbound.Offset, inbound.Count);
                return;
            }
            Flush(received);
            int header = FrameWriter.HeaderSize(inbound.Count);
            FrameWriter.WriteHeader(inbound.Buffer.AsSpan(inbound.Offset - header), opcode, inbound.Count);
            if (!inbound.Buffer.AsSpan(inbound.Offset - header, header + inbound.Count).SequenceEqual(expected))
                Assert.Fail($"the reply to {Transcript.Event(inbound.Opcode, inbound.Payload)} is damaged");
        }

        public void Flush(byte[] received)
        {
            if (!received.AsSpan(_batch.Start, _batch.End - _batch.Start).SequenceEqual(ClientFrames.Join([.. _expected])))
                Assert.Fail($"a batch of {_expected.Count} replies is damaged");
            _batch.Clear();
            _expected.Clear();
        }
    }
}
