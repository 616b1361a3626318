// KestrelPeer PORT PING_MS TIMEOUT_MS: ASP.NET Core as its documentation has it, echo on /ws. Since .NET 9 its WebSockets ping
// (KeepAliveInterval) and judge the pong (KeepAliveTimeout).
using System.Globalization;
using System.Net.WebSockets;

int[] numbers = [.. args.Select(text => int.Parse(text, CultureInfo.InvariantCulture))];

WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
builder.Logging.ClearProviders();
builder.WebHost.ConfigureKestrel(kestrel => kestrel.ListenLocalhost(numbers[0]));
WebApplication app = builder.Build();
app.UseWebSockets(new WebSocketOptions
{
    KeepAliveInterval = TimeSpan.FromMilliseconds(numbers[1]),
    KeepAliveTimeout = TimeSpan.FromMilliseconds(numbers[2]),
});
app.Map("/ws", async context =>
{
    if (!context.WebSockets.IsWebSocketRequest)
    {
        context.Response.StatusCode = StatusCodes.Status400BadRequest;
        return;
    }
    using WebSocket socket = await context.WebSockets.AcceptWebSocketAsync();
    await EchoAsync(socket);
});
await app.RunAsync();

static async Task EchoAsync(WebSocket socket)
{
    Memory<byte> buffer = new byte[4 * 1024];
    try
    {
        while (await socket.ReceiveAsync(buffer, CancellationToken.None) is { MessageType: not WebSocketMessageType.Close } received)
            await socket.SendAsync(buffer[..received.Count], received.MessageType, received.EndOfMessage, CancellationToken.None);
        await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, null, CancellationToken.None);
    }
    catch (WebSocketException)
    {
        // The client is gone, or was cut for its missing pong.
    }
}
