namespace HeartbeatServer.Hosting;

internal enum ServerState
{
    /// <summary>New clients are welcome.</summary>
    Serving,
    /// <summary>At <c>--max-connections</c>, or at the limit of open files.</summary>
    Full,
    /// <summary>Shutting down.</summary>
    Draining,
}

internal static class ServerStates
{
    /// <summary>The one name of a state: <c>serving</c>.</summary>
    public static string Name(this ServerState state) => state switch
    {
        ServerState.Serving => "serving",
        ServerState.Full => "full",
        _ => "draining",
    };
}
