using System.Net;
using System.Net.Sockets;

namespace HeartbeatServer.Tests.Support;

/// <summary>Both ends of a real TCP connection over loopback.</summary>
internal static class SocketPair
{
    public static (Socket Peer, Socket Accepted) Connect()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        var peer = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        peer.Connect(listener.LocalEndPoint!); // does not wait for the accept: the kernel's queue has room for the connection
        return (peer, listener.Accept());
    }
}
