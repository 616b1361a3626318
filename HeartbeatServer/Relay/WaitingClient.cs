using System.Runtime.Versioning;
using HeartbeatServer.Engine;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Relay;

/// <summary>
/// A client that waits for the answer to its upgrade request. Its early frames are kept, up to a limit. Its end is seen at any time, so that nobody asks
/// the application for a client that has gone.
/// </summary>
/// <param name="transport">The client's connection, from which nobody else reads. Whoever takes the early bytes takes the transport, too.</param>
/// <param name="early">The bytes that came behind the request.</param>
/// <param name="gone">Called once with what has become of the client when it has gone, on the thread of the event loop.</param>
[SupportedOSPlatform("linux")]
internal sealed class WaitingClient(EpollTransport transport, ReadOnlyMemory<byte> early, Action<Refusal> gone)
{
    /// <summary>The most early bytes that are kept. The kernel keeps what comes after them.</summary>
    private const int MostEarly = 24 * 1024;

    private byte[] _early = early.ToArray();
    private volatile bool _isOver;

    public EpollTransport Transport => transport;

    /// <summary>Begins to watch the client.</summary>
    public void Watch()
    {
        try
        {
            if (_early.Length < MostEarly)
                transport.WhenReadable(OnReadable);
            else
                transport.WhenEnded(() => End(Refusals.Gone));
        }
        catch (IOException e)
        {
            End(Refusals.Lost(e)); // the kernel has no room to watch the socket
        }
    }

    /// <summary>Ends the watch. From here on the caller reads.</summary>
    /// <returns>The bytes that the client has sent behind its request.</returns>
    public byte[] Take()
    {
        _isOver = true;
        return _early;
    }

    /// <summary>Sends a whole reply, then FIN, and waits for the client's own FIN. What the client sends meanwhile is thrown away.</summary>
    /// <remarks>
    /// If the connection were closed at once, the kernel would answer the client's early frames with RST, and RST may destroy the reply on its way.
    /// Whoever limits the time disposes of the transport.
    /// </remarks>
    public async Task ReplyAsync(ReadOnlyMemory<byte> reply)
    {
        _isOver = true;
        try
        {
            await transport.WriteAsync(reply);
            transport.ShutdownSend();
            int count;
            do
            {
                await transport.WaitReadableAsync(isBusy: true);
                byte[] ignored = LoopBuffer.Take(isSmall: false);
                count = transport.TryRead(ignored);
                LoopBuffer.Return(ignored);
            }
            while (count != 0);
        }
        catch (IOException)
        {
            // The client has gone before it had its answer.
        }
    }

    private void OnReadable()
    {
        if (_isOver)
            return;
        byte[] bytes = LoopBuffer.Take(isSmall: false);
        int count;
        try
        {
            count = transport.TryRead(bytes.AsMemory(0, MostEarly - _early.Length));
            if (count > 0)
                _early = [.. _early, .. bytes.AsSpan(0, count)];
        }
        catch (IOException e)
        {
            End(Refusals.Lost(e)); // its TLS is no good
            return;
        }
        finally
        {
            LoopBuffer.Return(bytes);
        }
        if (count == 0)
            End(Refusals.Gone);
        else
            Watch();
    }

    private void End(Refusal reason)
    {
        if (!_isOver)
            gone(reason);
    }
}
