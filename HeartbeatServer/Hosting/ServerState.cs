namespace HeartbeatServer.Hosting;

/// <summary>Whether new clients are welcome, as a load balancer asks.</summary>
internal enum ServerState
{
    /// <summary>New clients are welcome.</summary>
    Serving,
    /// <summary>All places of <c>--max-connections</c> are taken, or there is no room below the limit of open files.</summary>
    Full,
    /// <summary>The server is about to stop. It never goes back to another state.</summary>
    Draining,
}

internal static class ServerStates
{
    /// <summary>The state as users see it, for example <c>serving</c>.</summary>
    public static string Name(this ServerState state) => state switch
    {
        ServerState.Serving => "serving",
        ServerState.Full => "full",
        _ => "draining",
    };
}
