using System.Net;
using System.Net.Sockets;
using System.Runtime.Versioning;
using HeartbeatServer.Engine;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Relay;

/// <summary>The leg to the application: what it has carried, whether the application reads, and whether its host is still there.</summary>
/// <remarks>
/// The pump of the client's frames writes here, one write at a time. The timing wheel looks. Both run on the thread of the event loop, but for the last
/// steps after the socket was closed. Other threads only read figures, or close.
/// </remarks>
/// <param name="transport">The connection to the application, after its answer. The leg owns it.</param>
/// <param name="address">The application's address.</param>
/// <param name="handshake">The time from the client's complete request to the application's complete answer.</param>
/// <param name="now">The present time.</param>
[SupportedOSPlatform("linux")]
internal sealed class UpstreamLeg(EpollTransport transport, IPEndPoint address, TimeSpan handshake, TimeSpan now) : IDisposable
{
    /// <summary>An application's host that acknowledges nothing for so long, though it has to, is gone.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>How often to look whether the application takes the bytes that wait for it.</summary>
    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(5);

    private TimeSpan _lastReceived = now;
    private SendProgress? _progress;
    private TimeSpan? _kernelRoundTrip;
    private bool _endsAfterWrite;

    public EpollTransport Transport => transport;

    /// <summary>Whether nothing goes to the application any more.</summary>
    public bool IsEnded { get; private set; }

    /// <summary>Whether bytes wait in this process, because the application does not read.</summary>
    public bool IsWaiting { get; private set; }

    public long BytesIn { get; private set; }

    public long BytesOut { get; private set; }

    /// <summary>When <see cref="Look"/> is due; <see cref="Heartbeat.Never"/> if nobody expects a look.</summary>
    public TimeSpan LookDue { get; private set; } = Heartbeat.Never;

    /// <summary>Counts bytes that came from the application.</summary>
    public void OnBytes(int count, TimeSpan now)
    {
        BytesIn += count;
        _lastReceived = now;
    }

    /// <summary>Writes to the application, and waits until the transport has taken all.</summary>
    /// <remarks>A failure ends only this direction. What the application has sent is read first: it may explain the failure.</remarks>
    public async ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, TimeSpan now)
    {
        if (IsEnded || bytes.IsEmpty)
            return;
        BytesOut += bytes.Length;
        try
        {
            ValueTask write = transport.WriteAsync(bytes);
            if (!write.IsCompleted)
            {
                (_progress ??= new SendProgress()).Begin(now);
                IsWaiting = true;
            }
            await write;
        }
        catch (IOException)
        {
            IsEnded = true;
        }
        IsWaiting = false;
        if (_endsAfterWrite)
            transport.ShutdownSend();
    }

    /// <summary>
    /// Lets somebody look soon whether the application's kernel takes what has left. It also has to answer the probes of our kernel: so a host that is gone is
    /// found before our kernel gives up.
    /// </summary>
    /// <returns>Whether the look is new, so that the wheel has to be told.</returns>
    public bool ExpectLook(TimeSpan now)
    {
        if (LookDue != Heartbeat.Never || IsEnded)
            return false;
        LookDue = now + LookEvery;
        return true;
    }

    /// <summary>Looks, when a look is due, whether the application's host is still there.</summary>
    /// <returns>How long it has acknowledged nothing, if it is gone; else null.</returns>
    public TimeSpan? Look(TimeSpan now)
    {
        if (now < LookDue)
            return null;
        LookDue = Heartbeat.Never;
        if (transport.Tcp is not { } tcp)
            return null;
        bool isPending = tcp.NotSent > 0 || tcp.Unacknowledged > 0;
        if (isPending || _progress is not null)
            (_progress ??= new SendProgress()).Look(tcp, now);
        if (tcp.IsSilent(Patience))
            return tcp.SinceAck;
        if (!isPending && !IsWaiting)
            return null;
        TimeSpan dead = tcp.WhenSilent(now, Patience);
        LookDue = dead < now + LookEvery ? dead : now + LookEvery;
        return null;
    }

    /// <summary>Ends the direction to the application: with FIN, behind the bytes that still wait; or with RST.</summary>
    /// <param name="isReset">Whether the client's end was a reset. It is passed on only if nothing is unsent: it would drop what our kernel still has.</param>
    public void End(bool isReset = false)
    {
        if (IsEnded)
            return;
        IsEnded = true;
        if (IsWaiting)
            _endsAfterWrite = true;
        else if (isReset && !IsUnsent(transport))
            Abort();
        else
            transport.ShutdownSend();
    }

    /// <summary>Lets nothing more go to the application, which is gone.</summary>
    public void Drop() => IsEnded = true;

    /// <summary>Whether our kernel has bytes of a connection that the peer's kernel has not acknowledged.</summary>
    public static bool IsUnsent(Transport transport) => transport.Tcp is { } tcp && (tcp.NotSent > 0 || tcp.Unacknowledged > 0);

    /// <summary>Makes the cause of an end that a read has found.</summary>
    public static Disconnect ByNetwork(SocketError error) => error switch
    {
        SocketError.Success => new Disconnect(DisconnectCause.UpstreamVanished, "FIN without a Close frame"),
        // The kernel has given up after its last retransmission or keep-alive probe.
        SocketError.TimedOut or SocketError.HostUnreachable or SocketError.NetworkUnreachable =>
            new Disconnect(DisconnectCause.UpstreamDead, "its kernel did not answer the probes of our kernel"),
        SocketError.ConnectionReset or SocketError.Shutdown => new Disconnect(DisconnectCause.UpstreamReset, "RST"),
        _ => new Disconnect(DisconnectCause.UpstreamReset, error.ToString()),
    };

    /// <summary>What the leg has done so far.</summary>
    /// <param name="now">The present time.</param>
    /// <param name="isInsideFrame">Whether the application has begun a frame and not ended it.</param>
    public UpstreamFigures Figures(TimeSpan now, bool isInsideFrame) => new(
        Address: address.ToString(),
        Handshake: handshake,
        BytesIn: BytesIn,
        BytesOut: BytesOut,
        SinceLastByte: now > _lastReceived ? now - _lastReceived : TimeSpan.Zero,
        NotReadFor: IsWaiting && _progress is { } progress ? now - progress.LastMove : null,
        IsInsideFrame: isInsideFrame,
        KernelRoundTrip: _kernelRoundTrip);

    /// <summary>Closes the connection with RST.</summary>
    public void Abort()
    {
        _kernelRoundTrip ??= transport.Tcp?.RoundTrip;
        transport.Abort();
    }

    public void Dispose()
    {
        _kernelRoundTrip ??= transport.Tcp?.RoundTrip;
        transport.Dispose();
    }
}
