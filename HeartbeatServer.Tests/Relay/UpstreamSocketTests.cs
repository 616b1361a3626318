using System.Net;
using System.Net.Sockets;
using System.Runtime.Versioning;
using HeartbeatServer.Relay;

namespace HeartbeatServer.Tests.Relay;

[Platform("Linux")]
[SupportedOSPlatform("linux")]
public sealed class UpstreamSocketTests
{
    [TestCase("127.0.0.1")]
    [TestCase("::1")]
    public void A_connection_is_made_without_a_wait(string host)
    {
        using var listener = new TcpListener(IPAddress.Parse(host), 0);
        listener.Start();
        var address = (IPEndPoint)listener.LocalEndpoint;
        using Socket socket = UpstreamSocket.Connect(address);
        using Socket accepted = listener.AcceptSocket();

        Assert.That(socket.Poll(1_000_000, SelectMode.SelectWrite), Is.True);
        Assert.That(socket.Send([1, 2, 3]), Is.EqualTo(3));
        Assert.That(accepted.Receive(new byte[10]), Is.EqualTo(3));
        Assert.That(UpstreamSocket.IsLoop(socket, address), Is.False);
    }

    [Test]
    public void A_socket_that_is_connected_to_itself_is_a_loop()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        var address = (IPEndPoint)socket.LocalEndPoint!;
        socket.Connect(address); // both ends open at the same time (RFC 9293 section 3.5)

        Assert.That(UpstreamSocket.IsLoop(socket, address), Is.True);
    }

    [Test]
    public void An_address_that_cannot_be_reached_is_an_error_with_a_word() =>
        Assert.That(
            () => UpstreamSocket.Connect(IPEndPoint.Parse("255.255.255.255:80")),
            Throws.InstanceOf<SocketException>().With.Property(nameof(SocketException.SocketErrorCode)).Not.EqualTo(SocketError.Success));
}
