using System.Net.Sockets;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Engine;

/// <summary>What the kernel is to do for a connection by itself, so that it fits the heartbeat.</summary>
internal static class TcpOptions
{
    /// <summary>In seconds: of silence before the first probe, between two probes; and how many go unanswered before the kernel gives up.</summary>
    private const int KeepAliveTime = 60;
    private const int KeepAliveInterval = 10;
    private const int KeepAliveProbes = 6;

    /// <summary>TCP_RTO_MAX_MS of linux/tcp.h.</summary>
    private const int RetransmissionCap = 44;

    /// <summary>
    /// Without pings the kernel probes a silent peer, so that a connection whose other end is gone comes to its end. With pings it does not wait longer
    /// for a retransmission than fits our patience.
    /// </summary>
    /// <param name="socket">A connection, or the socket that listens for it.</param>
    /// <param name="timings">Of the heartbeat.</param>
    public static void Apply(Socket socket, in HeartbeatTimings timings)
    {
        if (timings.Patience == Heartbeat.Never)
        {
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, KeepAliveTime);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, KeepAliveInterval);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, KeepAliveProbes);
        }
        else if (timings.RetransmissionCap is { } cap && OperatingSystem.IsLinux())
        {
            try
            {
                socket.SetRawSocketOption((int)SocketOptionLevel.Tcp, RetransmissionCap, BitConverter.GetBytes((int)cap.TotalMilliseconds));
            }
            catch (SocketException)
            {
                // Before Linux 6.15 there is no such option, and TCP's own backoff stands.
            }
        }
    }
}
