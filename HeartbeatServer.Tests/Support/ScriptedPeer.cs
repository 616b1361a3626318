using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using HeartbeatServer.Admin;

namespace HeartbeatServer.Tests.Support;

/// <summary>How a connection ended, as the peer saw it.</summary>
internal enum PeerEnd
{
    Fin,
    Reset,
}

/// <summary>An HTTP response.</summary>
internal sealed record HttpReply(int Status, IReadOnlyDictionary<string, string> Headers, string Body)
{
    public string? this[string header] => Headers.GetValueOrDefault(header);
}

/// <summary>A client that sends exactly what the test says, right or wrong, and reads only when told to.</summary>
internal sealed class ScriptedPeer : IDisposable
{
    /// <summary>The key of the example in RFC 6455 section 1.3, which also gives its accept value.</summary>
    public const string Key = "dGhlIHNhbXBsZSBub25jZQ==";
    public const string Accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    private readonly Socket _socket;

    /// <summary>The TLS over the socket; null in plain.</summary>
    private SslStream? _tls;
    private RecordStream? _records;
    private readonly byte[] _part = new byte[64 * 1024];
    private byte[] _unread = [];

    private ScriptedPeer(AddressFamily family)
        : this(new Socket(family, SocketType.Stream, ProtocolType.Tcp))
    {
    }

    /// <param name="socket">A socket that is connected, or that is to be connected.</param>
    public ScriptedPeer(Socket socket)
    {
        _socket = socket;
        socket.NoDelay = true;
    }

    /// <summary>The address of this client, as the server sees it.</summary>
    public EndPoint Address => _socket.LocalEndPoint!;

    public static Task<ScriptedPeer> ConnectAsync(int port) => ConnectAsync(IPAddress.Loopback, port);

    public static async Task<ScriptedPeer> ConnectAsync(IPAddress address, int port)
    {
        var peer = new ScriptedPeer(address.AddressFamily);
        await peer._socket.ConnectAsync(address, port).InTime();
        return peer;
    }

    /// <summary>Makes a client that has done its TLS handshake. It trusts the certificate of <see cref="TestCertificate"/>, and no other.</summary>
    /// <param name="port">The port of the server.</param>
    /// <param name="configure">Changes what the client offers.</param>
    public static async Task<ScriptedPeer> ConnectTlsAsync(int port, Action<SslClientAuthenticationOptions>? configure = null)
    {
        ScriptedPeer peer = await ConnectAsync(port);
        try
        {
            await peer.BeginTlsAsync(configure);
            return peer;
        }
        catch
        {
            peer.Dispose();
            throw;
        }
    }

    /// <summary>Does the TLS handshake of a client.</summary>
    /// <inheritdoc cref="ConnectTlsAsync"/>
    public async Task BeginTlsAsync(Action<SslClientAuthenticationOptions>? configure = null)
    {
        var options = new SslClientAuthenticationOptions
        {
            TargetHost = "localhost",
            RemoteCertificateValidationCallback = (_, certificate, _, _) =>
            {
                ServerCertificate = new X509Certificate2(certificate!);
                return TestCertificate.IsOurs(ServerCertificate);
            },
        };
        configure?.Invoke(options);
        _tls = new SslStream(_records = new RecordStream(_socket));
        await _tls.AuthenticateAsClientAsync(options).InTime();
    }

    /// <summary>Does the TLS handshake of a server.</summary>
    public async Task AcceptTlsAsync(X509Certificate2 certificate)
    {
        _tls = new SslStream(_records = new RecordStream(_socket));
        await _tls.AuthenticateAsServerAsync(certificate).InTime();
    }

    /// <summary>The certificate that the server has shown; null before the handshake.</summary>
    public X509Certificate2? ServerCertificate { get; private set; }

    /// <summary>The version of TLS that both sides have agreed on.</summary>
    public SslProtocols Version => _tls!.SslProtocol;

    /// <summary>Makes a client that is connected and upgraded.</summary>
    public static async Task<ScriptedPeer> UpgradedAsync(int port, string path = "/ws", bool hasTls = false)
    {
        ScriptedPeer peer = hasTls ? await ConnectTlsAsync(port) : await ConnectAsync(port);
        await peer.SendAsync(Upgrade(path));
        HttpReply reply = await peer.ReadReplyAsync();
        Assert.That(reply.Status, Is.EqualTo(101));
        return peer;
    }

    /// <summary>Makes an upgrade request. A given header replaces the usual one or is added. A header with null is left out.</summary>
    public static string Upgrade(string path = "/ws", string method = "GET", string version = "HTTP/1.1", params (string Name, string? Value)[] headers)
    {
        var all = new Dictionary<string, string?>
        {
            ["Host"] = "localhost",
            ["Connection"] = "Upgrade",
            ["Upgrade"] = "websocket",
            ["Sec-WebSocket-Version"] = "13",
            ["Sec-WebSocket-Key"] = Key,
        };
        foreach ((string name, string? value) in headers)
            all[name] = value;
        IEnumerable<string> lines = all.Where(header => header.Value is not null).Select(header => $"{header.Key}: {header.Value}\r\n");
        return $"{method} {path} {version}\r\n{string.Concat(lines)}\r\n";
    }

    public Task SendAsync(string text) => SendAsync(Encoding.ASCII.GetBytes(text));

    /// <summary>Sends the parts in one piece.</summary>
    public async Task SendAsync(params byte[][] parts)
    {
        byte[] bytes = [.. parts.SelectMany(part => part)];
        if (_tls is not null)
        {
            await _tls.WriteAsync(bytes).AsTask().InTime();
            return;
        }
        await SendRawAsync(bytes);
    }

    /// <summary>Sends bytes past the TLS.</summary>
    public async Task SendRawAsync(ReadOnlyMemory<byte> bytes)
    {
        for (int sent = 0; sent < bytes.Length;)
            sent += await _socket.SendAsync(bytes[sent..]).InTime();
    }

    /// <summary>Sends the same bytes again and again, without reading, until the server ends the connection or so many bytes have left.</summary>
    /// <returns>The number of bytes sent.</returns>
    public async Task<long> FloodAsync(byte[] bytes, long atMost)
    {
        long sent = 0;
        try
        {
            while (sent < atMost)
            {
                if (_tls is null)
                {
                    sent += await _socket.SendAsync(bytes);
                }
                else
                {
                    await _tls.WriteAsync(bytes);
                    sent += bytes.Length;
                }
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or IOException)
        {
            // The server has cut the connection, or the test has.
        }
        return sent;
    }

    public async Task<HttpReply> ReadReplyAsync(bool hasBody = true)
    {
        int head;
        while ((head = _unread.AsSpan().IndexOf("\r\n\r\n"u8)) < 0)
            await ReceiveAsync();
        string[] lines = Encoding.ASCII.GetString(_unread, 0, head).Split("\r\n");
        var headers = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        foreach (string line in lines[1..])
        {
            string[] parts = line.Split(": ", 2);
            headers.Add(parts[0], parts[1]);
        }
        int length = hasBody && headers.TryGetValue("Content-Length", out string? text) ? int.Parse(text, null) : 0;
        while (_unread.Length < head + 4 + length)
            await ReceiveAsync();
        string body = Encoding.UTF8.GetString(_unread, head + 4, length);
        _unread = _unread[(head + 4 + length)..];
        return new HttpReply(int.Parse(lines[0].Split(' ')[1], null), headers, body);
    }

    /// <summary>Reads the head of a request or of a response, without the empty line at its end.</summary>
    public async Task<string> ReadHeadAsync()
    {
        int end;
        while ((end = _unread.AsSpan().IndexOf("\r\n\r\n"u8)) < 0)
            await ReceiveAsync();
        string head = Encoding.Latin1.GetString(_unread, 0, end);
        _unread = _unread[(end + 4)..];
        return head;
    }

    /// <summary>Reads so many bytes.</summary>
    public async Task<byte[]> ReadBytesAsync(int count)
    {
        while (_unread.Length < count)
            await ReceiveAsync();
        byte[] bytes = _unread[..count];
        _unread = _unread[count..];
        return bytes;
    }

    public async Task<ServerFrame> ReadFrameAsync()
    {
        ServerFrame? frame;
        int size;
        while ((size = ServerFrame.Parse(_unread, out frame)) == 0)
            await ReceiveAsync();
        _unread = _unread[size..];
        return frame!;
    }

    /// <summary>Reads until the server ends the connection. Fails if bytes come before the end.</summary>
    public async Task<PeerEnd> ReadEndAsync()
    {
        Assert.That(_unread, Is.Empty, "unread bytes before the end");
        try
        {
            int count = await ReceivePartAsync();
            Assert.That(count, Is.Zero, "more bytes instead of the end");
            return PeerEnd.Fin;
        }
        catch (Exception e) when (e.GetBaseException() is SocketException { SocketErrorCode: SocketError.ConnectionReset })
        {
            return PeerEnd.Reset;
        }
    }

    /// <summary>Reads all that comes before the end, which may be FIN or RST.</summary>
    public async Task<string> ReadToEndAsync()
    {
        try
        {
            int count;
            while ((count = await _socket.ReceiveAsync(_part).InTime()) > 0)
                _unread = [.. _unread, .. _part.AsSpan(0, count)];
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionReset)
        {
            // The test looks at what came before it.
        }
        string all = Encoding.Latin1.GetString(_unread);
        _unread = [];
        return all;
    }

    /// <summary>Sends FIN. The socket stays open for reading.</summary>
    public void SendFin() => _socket.Shutdown(SocketShutdown.Send);

    /// <summary>Sends close_notify. Neither side has sent FIN.</summary>
    public Task SendCloseNotifyAsync() => _tls!.ShutdownAsync().InTime();

    /// <summary>Reads until the server ends the connection, and tells whether it has said close_notify before its FIN.</summary>
    public async Task<bool> EndsWithCloseNotifyAsync()
    {
        Assert.That(await ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        return !_records!.HasEnded;
    }

    /// <summary>Sends RST.</summary>
    public void Reset()
    {
        _socket.LingerState = new LingerOption(true, 0);
        _socket.Dispose();
    }

    public void Dispose()
    {
        _tls?.Dispose();
        _records?.Dispose();
        _socket.Dispose();
    }

    /// <summary>The records below the TLS.</summary>
    private sealed class RecordStream(Socket socket) : NetworkStream(socket)
    {
        /// <summary>Whether a read has seen FIN. TLS does not read on behind close_notify.</summary>
        public bool HasEnded { get; private set; }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            int count = await base.ReadAsync(buffer, cancellationToken);
            HasEnded |= count == 0 && buffer.Length > 0;
            return count;
        }
    }

    private Task<int> ReceivePartAsync() => (_tls?.ReadAsync(_part.AsMemory()) ?? _socket.ReceiveAsync(_part.AsMemory())).InTime();

    private async Task ReceiveAsync()
    {
        int count = await ReceivePartAsync();
        Assert.That(count, Is.Positive, $"the server closed; unread: {Convert.ToHexString(_unread)}");
        _unread = [.. _unread, .. _part.AsSpan(0, count)];
    }
}
