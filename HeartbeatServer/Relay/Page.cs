using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net.Sockets;
using System.Runtime.Versioning;
using System.Text;
using HeartbeatServer.Engine;
using HeartbeatServer.Http;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Relay;

/// <summary>One request without an upgrade: it goes to the application as plain HTTP, and the answer comes back as it arrives.</summary>
/// <remarks>
/// All of it runs in the thread pool. It fails for the first reason that somebody gives: the client that goes or stands still, the application, or the
/// server that stops.
/// </remarks>
[SupportedOSPlatform("linux")]
[SuppressMessage("Reliability", "CA2000", Justification = "As below.")]
[SuppressMessage("Design", "CA1001", Justification = "RunAsync is its life, and disposes in its finally.")]
internal sealed class Page
{
    /// <summary>The size in bytes of the buffer that a piece of an answer has. The pool rounds up to a power of two. An answer that waits has no buffer.</summary>
    private const int BufferSize = 64 * 1024;

    // Before a piece stands its length, behind it a line end.
    private const int BeforePiece = 8;
    private const int BehindPiece = 2;
    private const int PieceSize = BufferSize - BeforePiece - BehindPiece;

    private readonly Pages _pages;
    private readonly RequestHead _head;
    private readonly PageClient _client;
    private readonly HttpRequestMessage _message;

    // Several threads give reasons to fail. The lock guards these fields.
    private readonly Lock _gate = new();
    private readonly CancellationTokenSource _cancel = new(); // without a timer it holds nothing, and another thread may be about to cancel it
    private bool _isOver;
    private bool _hasEnded;
    private Task? _attempt;
    private UpstreamStream? _upstream;

    /// <param name="pages">The application.</param>
    /// <param name="request">The client's request. Its connection is taken over.</param>
    /// <param name="message">The request for the application, without a body. The page owns it.</param>
    /// <param name="framing">How the end of the request's body is found.</param>
    /// <exception cref="IOException">The client has gone.</exception>
    public Page(Pages pages, HttpRequest request, HttpRequestMessage message, BodyFraming framing)
    {
        (_pages, _head, _message) = (pages, request.Head, message);
        _client = new PageClient(request.TakeOver(out ReadOnlyMemory<byte> early), early, request.Loop, pages.Patience);
        if (framing.End != BodyEnd.None)
        {
            HttpContent? described = message.Content;
            message.Content = new PageBody(_client, framing, message.Headers.ExpectContinue == true && early.IsEmpty);
            foreach (var (name, values) in described?.Headers.NonValidated ?? default)
                message.Content.Headers.TryAddWithoutValidation(name, values);
        }
        message.Options.Set(Pages.Key, this);
    }

    /// <summary>The status of the application's answer; 0 as long as nothing of it has gone to the client.</summary>
    public int Status { get; private set; }

    /// <summary>How many bytes of the answer's body have gone to the client.</summary>
    public long BytesOut { get; private set; }

    /// <summary>
    /// Why the page has failed; null if the whole answer has gone to the client. If <see cref="Status"/> is 0 the client has been told, else its connection was
    /// cut.
    /// </summary>
    public Refusal? Failure { get; private set; }

    /// <summary>The connection to the application; null as long as there is none.</summary>
    public Socket? Leg { get; set; }

    /// <summary>The present time, as the looks at the page have it.</summary>
    public TimeSpan Now => _client.Now;

    /// <summary>Passes the request on, and the answer back. Afterwards the client's connection is closed.</summary>
    public async Task RunAsync()
    {
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding); // off the event loop
        _client.Begin(Fail, Look);
        try
        {
            using HttpResponseMessage? response = await SendAsync();
            if (response is not null)
                await PassAsync(response);
            lock (_gate)
                _isOver = true;
            if (Failure is { } failure && Status == 0 && failure.Reason != RefusalReason.ClientGone)
                await _client.WriteAsync(HttpReply.To(failure).ToBytes(isToHead: _head.Method == "HEAD"));
            if (Failure is null || Status == 0)
                await _client.EndAsync();
        }
        catch (IOException)
        {
            Fail(Refusals.Gone);
        }
        finally
        {
            await _client.DisposeAsync();
            _message.Dispose();
            lock (_gate)
                _hasEnded = true;
            // HttpClient neither ends an attempt for which nobody waits any more nor closes what comes of it. As long as there is a socket the page has its place.
            await (_attempt ?? Task.CompletedTask);
            if (_upstream is not null)
                await _upstream.DisposeAsync();
            Leg?.Dispose();
            _pages.End(this);
        }
    }

    /// <summary>Connects to the application for this page.</summary>
    /// <param name="connect">Makes the only attempt: no request is sent twice.</param>
    /// <exception cref="UpstreamException">There was an attempt before, or the page has ended.</exception>
    public async Task<Stream> ConnectAsync(Func<Task<Stream>> connect)
    {
        var attempt = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            if (_attempt is not null || _hasEnded)
                throw UpstreamException.BadAnswer("the connection ended without one");
            _attempt = attempt.Task;
        }
        try
        {
            return await connect();
        }
        finally
        {
            attempt.SetResult();
        }
    }

    /// <summary>Puts what the page does with the connection to the application on it, above TLS, where there is TLS.</summary>
    public Stream Filter(Stream leg) => _upstream = new UpstreamStream(leg, this);

    /// <summary>Counts what the page holds for a side that does not read, until the result is disposed of. The page may have to go for it.</summary>
    public IDisposable Hold(int bytes) => _pages.Buffers.Hold(this, bytes);

    /// <summary>Watches whether the client goes while nobody reads from it, because its bytes have to wait for the application.</summary>
    public void WatchClient() => _client.Watch();

    /// <summary>Ends the page. Only the first reason counts, and none when the answer is complete.</summary>
    public void Fail(Refusal reason)
    {
        lock (_gate)
        {
            if (_isOver)
                return;
            _isOver = true;
            Failure = reason;
        }
        _ = _cancel.CancelAsync(); // what it cancels must not run on the thread of an event loop
        // Nobody can be told any more, and a write may wait.
        if (Status != 0 || reason.Reason is RefusalReason.ClientGone or RefusalReason.Draining)
            _client.Abort();
        else
            _client.StopReading();
    }

    /// <summary>Ends the page at once, because the server stops. A client that has its whole answer keeps it.</summary>
    public void Cut()
    {
        Fail(Refusal.Draining);
        _client.Close();
    }

    /// <summary>
    /// Finds an application's host that is gone, and an application that takes no more of a body. Where nothing is sent, the probes of our kernel find the host,
    /// and the connection fails.
    /// </summary>
    private Refusal? Look(TimeSpan now, TimeSpan stall)
    {
        if (Leg is not { } leg)
            return null;
        TcpInfo? tcp = SocketTransport.TcpOf(leg);
        return tcp?.IsSilent(UpstreamLeg.Patience) == true ? Refusals.Dead : _upstream?.Look(leg, tcp, now, stall, _pages.Patience);
    }

    /// <returns>Null if there is no answer: <see cref="Failure"/> says why.</returns>
    private async Task<HttpResponseMessage?> SendAsync()
    {
        try
        {
            return await _pages.SendAsync(_message, _cancel.Token);
        }
        catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException)
        {
            Fail(ReasonOf(e));
            return null;
        }
    }

    private async Task PassAsync(HttpResponseMessage response)
    {
        if (PageAnswer.Of(HeadOf(response), _head, _pages.Date, out string? fault) is not { } answer)
        {
            Fail(Refusals.BadAnswer(fault!));
            return;
        }
        lock (_gate)
        {
            if (_isOver)
                return;
            Status = (int)response.StatusCode;
        }
        await _client.WriteAsync(answer.Head);
        if (answer.Framing.End == BodyEnd.None)
            return;
        try
        {
            await PumpAsync(await response.Content.ReadAsStreamAsync(), answer.Framing.End == BodyEnd.Chunks);
        }
        catch (UpstreamException e)
        {
            // A body with a length or in chunks shows by itself that it is not whole. FIN lets the client have what it got so far.
            Failure ??= e.Refusal;
            if (answer.Framing.End == BodyEnd.Connection)
                _client.Abort();
        }
    }

    /// <exception cref="UpstreamException">The application has ended the answer before it was whole.</exception>
    /// <exception cref="IOException">The client has gone.</exception>
    private async Task PumpAsync(Stream body, bool isChunked)
    {
        while (true)
        {
            await ReadAsync(body, Memory<byte>.Empty); // waits without a buffer
            byte[] buffer = ArrayPool<byte>.Shared.Rent(BufferSize);
            try
            {
                int count = await ReadAsync(body, buffer.AsMemory(BeforePiece, PieceSize));
                if (count == 0)
                    break;
                ValueTask write = _client.WriteAsync(isChunked ? Chunk(buffer, count) : buffer.AsMemory(BeforePiece, count));
                using (write.IsCompleted ? null : Hold(buffer.Length))
                    await write;
                BytesOut += count;
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(buffer);
            }
        }
        if (isChunked)
            await _client.WriteAsync("0\r\n\r\n"u8.ToArray());
    }

    private async ValueTask<int> ReadAsync(Stream body, Memory<byte> buffer)
    {
        try
        {
            return await body.ReadAsync(buffer, _cancel.Token);
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or HttpRequestException)
        {
            throw UpstreamException.BadAnswer($"it ended after {BytesOut} bytes of its body, before it was whole");
        }
    }

    /// <summary>Puts the length of a piece before it, and a line end behind it (RFC 9112 section 7.1).</summary>
    private static Memory<byte> Chunk(byte[] buffer, int count)
    {
        Span<byte> line = stackalloc byte[BeforePiece];
        count.TryFormat(line, out int digits, "x", CultureInfo.InvariantCulture);
        "\r\n"u8.CopyTo(line[digits..]);
        int start = BeforePiece - digits - 2;
        line[..(digits + 2)].CopyTo(buffer.AsSpan(start));
        "\r\n"u8.CopyTo(buffer.AsSpan(BeforePiece + count));
        return buffer.AsMemory(start, digits + 2 + count + BehindPiece);
    }

    /// <summary>The head of the answer as far as HttpClient has kept it: repeated lines of a field stand together, in their order.</summary>
    private static AnswerHead HeadOf(HttpResponseMessage response) => new(
        response.Version.Minor,
        (int)response.StatusCode,
        response.ReasonPhrase ?? "",
        new FieldLines(response.Headers.NonValidated.Concat(response.Content.Headers.NonValidated)
            .SelectMany(field => field.Value.Select(value => (field.Key, value)))));

    /// <summary>Finds out why HttpClient has given up.</summary>
    private static Refusal ReasonOf(Exception error)
    {
        for (Exception? inner = error; inner is not null; inner = inner.InnerException)
        {
            if (inner is UpstreamException known)
                return known.Refusal;
            if (inner is SocketException socket)
                return Refusals.Unreachable(socket.SocketErrorCode);
        }
        return Refusals.BadAnswer(error.Message);
    }
}
