using System.Runtime.Versioning;
using HeartbeatServer.Engine;

namespace HeartbeatServer.Relay;

/// <summary>
/// A connection to the application, as HttpClient sees it. An application may answer before it has read the whole body of a request, 413 say, and close. Then
/// a write fails, and the answer is there nevertheless. So only the first write that fails says so, and those after it go nowhere: HttpClient reads the answer
/// when it believes that the body has left.
/// </summary>
/// <param name="inner">The connection, with TLS on it or without. The stream owns it.</param>
[SupportedOSPlatform("linux")]
internal sealed class UpstreamStream(Stream inner) : DuplexStream
{
    private bool _isDeaf;
    private bool _hasRead;

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        int count = await inner.ReadAsync(buffer, cancellationToken);
        if (count == 0 && buffer.Length > 0 && !_hasRead)
            throw UpstreamException.BadAnswer("the connection ended without one");
        _hasRead |= count > 0;
        return count;
    }

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_isDeaf)
            return;
        try
        {
            await inner.WriteAsync(buffer, cancellationToken);
        }
        catch (IOException)
        {
            _isDeaf = true;
            throw;
        }
    }

    public override Task FlushAsync(CancellationToken cancellationToken) => _isDeaf ? Task.CompletedTask : inner.FlushAsync(cancellationToken);

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            inner.Dispose();
        base.Dispose(disposing);
    }
}
