// YARP as a relay of pages, with its defaults: YarpPeer PORT UPSTREAM
using Yarp.ReverseProxy.Configuration;

WebApplicationBuilder builder = WebApplication.CreateBuilder();
builder.Logging.ClearProviders();
builder.WebHost.ConfigureKestrel(kestrel => kestrel.ListenLocalhost(int.Parse(args[0])));
builder.Services.AddReverseProxy().LoadFromMemory(
    [new RouteConfig { RouteId = "all", ClusterId = "application", Match = new RouteMatch { Path = "{**all}" } }],
    [new ClusterConfig
    {
        ClusterId = "application",
        Destinations = new Dictionary<string, DestinationConfig> { ["only"] = new() { Address = $"http://127.0.0.1:{args[1]}" } },
    }]);
WebApplication application = builder.Build();
application.MapReverseProxy();
application.Run();
