// HttpListenerPeer PORT PING_MS: the plain way to a WebSocket server on HttpListener, echo on /ws. Its keep-alive sends pongs that nobody
// answers, so it never learns that a client is mute.
using System.Globalization;
using System.Net;
using System.Net.WebSockets;

int[] numbers = [.. args.Select(text => int.Parse(text, CultureInfo.InvariantCulture))];

using var listener = new HttpListener();
listener.Prefixes.Add($"http://127.0.0.1:{numbers[0]}/ws/");
listener.Start();
while (true)
    _ = ServeAsync(await listener.GetContextAsync());

async Task ServeAsync(HttpListenerContext context)
{
    try
    {
        if (!context.Request.IsWebSocketRequest)
        {
            context.Response.StatusCode = (int)HttpStatusCode.BadRequest;
            context.Response.Close();
            return;
        }
        HttpListenerWebSocketContext upgraded = await context.AcceptWebSocketAsync(null, TimeSpan.FromMilliseconds(numbers[1]));
        using WebSocket socket = upgraded.WebSocket;
        Memory<byte> buffer = new byte[4 * 1024];
        while (await socket.ReceiveAsync(buffer, CancellationToken.None) is { MessageType: not WebSocketMessageType.Close } received)
            await socket.SendAsync(buffer[..received.Count], received.MessageType, received.EndOfMessage, CancellationToken.None);
        await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, null, CancellationToken.None);
    }
    catch (Exception e) when (e is WebSocketException or HttpListenerException or IOException or ObjectDisposedException)
    {
        // The client is gone.
    }
}
