using System.Buffers;
using System.Net;
using System.Runtime.Versioning;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Relay;

/// <summary>The body of a client's request, which HttpClient asks for when it has a connection to the application. Each piece goes on as it comes.</summary>
/// <param name="client">The client.</param>
/// <param name="framing">How the end of the body is found.</param>
/// <param name="expectsContinue">Whether the client waits for a 100 before it sends the body (RFC 9110 section 10.1.1).</param>
[SupportedOSPlatform("linux")]
internal sealed class PageBody(PageClient client, BodyFraming framing, bool expectsContinue) : HttpContent
{
    /// <summary>The size of a buffer in bytes. A body that waits has none.</summary>
    public const int PieceSize = 64 * 1024;

    /// <summary>So much of a body need not leave any more, when the application has answered early. It goes nowhere, and takes a second.</summary>
    private const long MostUnsent = 1L << 40;

    private static readonly byte[] Nothing = new byte[1 << 20];

    private readonly ChunkReader? _chunks = framing.End == BodyEnd.Chunks ? new ChunkReader() : null;
    private long _left = framing.Length;

    private bool IsWhole => _chunks?.IsWhole ?? _left == 0;

    protected override bool TryComputeLength(out long length)
    {
        length = framing.Length;
        return framing.End == BodyEnd.Length;
    }

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => SerializeToStreamAsync(stream, context, CancellationToken.None);

    /// <exception cref="UpstreamException">The body is malformed, or the client has gone.</exception>
    /// <exception cref="OperationCanceledException">The page has failed.</exception>
    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        await stream.FlushAsync(cancellationToken); // the head: the application may answer by it alone
        if (expectsContinue)
            client.Continue();
        while (!IsWhole)
        {
            cancellationToken.ThrowIfCancellationRequested();
            await client.WaitAsync();
            byte[] buffer = ArrayPool<byte>.Shared.Rent(PieceSize);
            try
            {
                int count = client.TryRead(buffer.AsMemory(0, _chunks is null ? (int)Math.Min(_left, PieceSize) : PieceSize));
                if (count == 0)
                    throw new UpstreamException(Refusals.Gone);
                if (count > 0 && !await TrySendAsync(stream, buffer.AsMemory(0, count), cancellationToken))
                    return;
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(buffer);
            }
        }
        client.Watch();
    }

    /// <returns>False if the application takes no more of the body.</returns>
    private async ValueTask<bool> TrySendAsync(Stream stream, ReadOnlyMemory<byte> bytes, CancellationToken cancel)
    {
        try
        {
            while (!bytes.IsEmpty && !IsWhole)
            {
                ReadOnlyMemory<byte> data = Next(ref bytes);
                if (!data.IsEmpty)
                    await stream.WriteAsync(data, cancel);
            }
            await stream.FlushAsync(cancel);
            return true;
        }
        catch (IOException e) when (e is not UpstreamException && !cancel.IsCancellationRequested && _left <= MostUnsent)
        {
            // The application's answer may be there nevertheless. HttpClient reads it when it believes that the whole body has left.
            client.Watch();
            for (long rest = _chunks is null ? _left : 0; rest > 0; rest -= Nothing.Length)
                await stream.WriteAsync(Nothing.AsMemory(0, (int)Math.Min(rest, Nothing.Length)), cancel);
            return false;
        }
    }

    /// <summary>Takes the next piece of data from the bytes of the body.</summary>
    private ReadOnlyMemory<byte> Next(ref ReadOnlyMemory<byte> bytes)
    {
        ReadOnlyMemory<byte> all = bytes;
        if (_chunks is null)
        {
            _left -= all.Length;
            bytes = default;
            return all;
        }
        int taken = _chunks.Read(all.Span, out ReadOnlySpan<byte> data);
        if (_chunks.Fault is { } fault)
            throw new UpstreamException(new Refusal(RefusalReason.BadRequest, $"the body is malformed: {fault}"));
        bytes = all[taken..];
        return all.Slice(taken - data.Length, data.Length);
    }
}
