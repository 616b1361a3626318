// A hub of ASP.NET Core SignalR: signalr-server PORT
using Microsoft.AspNetCore.SignalR;

WebApplicationBuilder builder = WebApplication.CreateBuilder();
builder.Logging.ClearProviders();
builder.WebHost.UseUrls($"http://127.0.0.1:{args[0]}");
builder.Services.AddSignalR();
WebApplication application = builder.Build();
application.MapHub<EchoHub>("/hub");
application.Run();

internal sealed class EchoHub : Hub
{
    public string Echo(string text) => text;

    public async IAsyncEnumerable<int> Countdown(int from)
    {
        for (int left = from; left >= 0; left--)
        {
            await Task.Yield();
            yield return left;
        }
    }
}
