using System.Net.Sockets;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Engine;

/// <summary>Sets the kernel's own timers of a connection so that they fit the heartbeat.</summary>
internal static class TcpOptions
{
    // The kernel sends its first probe after 60 seconds of silence and then one every 10 seconds. It gives up after 6 unanswered probes.
    private const int KeepAliveTime = 60;
    private const int KeepAliveInterval = 10;
    private const int KeepAliveProbes = 6;

    /// <summary>The number of TCP_RTO_MAX_MS in linux/tcp.h.</summary>
    private const int RetransmissionCap = 44;

    /// <summary>
    /// Without pings, the kernel probes a silent peer, so that a connection whose other end is gone does not stay for ever. With pings, the
    /// kernel gets an upper limit for the time between two retransmissions that fits our patience.
    /// </summary>
    /// <param name="socket">A connection, or the listening socket whose connections inherit the options.</param>
    /// <param name="timings">The timings of the heartbeat.</param>
    public static void Apply(Socket socket, in HeartbeatTimings timings)
    {
        if (timings.Patience == Heartbeat.Never)
        {
            KeepAlive(socket);
        }
        else if (timings.RetransmissionCap is { } cap && OperatingSystem.IsLinux())
        {
            try
            {
                socket.SetRawSocketOption((int)SocketOptionLevel.Tcp, RetransmissionCap, BitConverter.GetBytes((int)cap.TotalMilliseconds));
            }
            catch (SocketException)
            {
                // Linux before 6.15 does not have this option, and keeps its own backoff.
            }
        }
    }

    /// <summary>Lets the kernel probe a peer that has been silent, and give the connection up if nobody answers.</summary>
    public static void KeepAlive(Socket socket)
    {
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, KeepAliveTime);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, KeepAliveInterval);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, KeepAliveProbes);
    }
}
