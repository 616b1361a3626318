using System.Net;
using System.Net.Sockets;
using HeartbeatServer.Engine;

namespace HeartbeatServer.Relay;

/// <summary>Begins connections to the application.</summary>
internal static class UpstreamSocket
{
    /// <summary>
    /// Begins to connect, and does not wait. The socket takes bytes once it is connected. The framework does not watch a socket whose connect has not
    /// waited, so an epoll instance of our own can.
    /// </summary>
    /// <exception cref="SocketException">There is no connection, and none will come.</exception>
    public static Socket Connect(IPEndPoint address)
    {
        var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            (socket.Blocking, socket.NoDelay) = (false, true);
            // Where nothing is sent, the kernel finds out whether the application's host is still there.
            TcpOptions.KeepAlive(socket);
            try
            {
                socket.Connect(address);
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.WouldBlock or SocketError.InProgress)
            {
                // The connection is under way.
            }
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Whether the kernel has connected the socket to itself. That happens where nobody listens at a local port that is also free for outgoing
    /// connections.
    /// </summary>
    /// <param name="socket">A socket that is connected. Before, the question would take an error of the connect away.</param>
    /// <param name="address">What it is connected to.</param>
    public static bool IsLoop(Socket socket, IPEndPoint address) => address.Equals(socket.LocalEndPoint);
}
