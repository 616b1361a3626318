using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using HeartbeatServer.Engine;

namespace HeartbeatServer.Relay;

/// <summary>Begins connections to the application.</summary>
[SupportedOSPlatform("linux")]
internal static unsafe partial class UpstreamSocket
{
    private const int InProgress = 115; // EINPROGRESS

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
            SocketAddress native = address.Serialize();
            fixed (byte* bytes = native.Buffer.Span)
            {
                // The framework's own Connect throws an exception for a connection that is under way, and that costs as much as a tenth of a handshake.
                if (Connect(socket.SafeHandle, bytes, native.Size) == 0 || Marshal.GetLastPInvokeError() == InProgress)
                    return socket;
            }
            ConnectAgain(socket, address);
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
    /// <param name="socket">A socket that is connected.</param>
    /// <param name="address">What it is connected to.</param>
    public static bool IsLoop(Socket socket, IPEndPoint address)
    {
        SocketAddress remote = address.Serialize();
        byte* local = stackalloc byte[remote.Size];
        int length = remote.Size;
        return GetName(socket.SafeHandle, local, ref length) == 0 && new ReadOnlySpan<byte>(local, length).SequenceEqual(remote.Buffer.Span[..remote.Size]);
    }

    /// <summary>Connects by the framework, which has a word for each error of the system.</summary>
    private static void ConnectAgain(Socket socket, IPEndPoint address)
    {
        try
        {
            socket.Connect(address);
        }
        catch (SocketException e) when (e.SocketErrorCode is SocketError.WouldBlock or SocketError.InProgress)
        {
            // This time it is under way.
        }
    }

    [LibraryImport("libc", EntryPoint = "connect", SetLastError = true)]
    private static partial int Connect(SafeHandle socket, byte* address, int length);

    [LibraryImport("libc", EntryPoint = "getsockname")]
    private static partial int GetName(SafeHandle socket, byte* address, ref int length);
}
