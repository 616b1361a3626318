namespace HeartbeatServer.Tests.Support;

/// <summary>Where a server under test gets its requests from. What is the same for both is tested with both.</summary>
public enum RequestsFrom
{
    /// <summary>Sockets of our own, on event loops with epoll.</summary>
    HttpPort,

    /// <summary>HttpListener's own accept loop, as wherever there is no epoll.</summary>
    PlainLoop,
}

/// <summary>Categories of tests.</summary>
internal static class Categories
{
    /// <summary>Needs what only HttpPort does: the timeout and the limit of a request that does not end, its raw bytes, or our own epoll instance.</summary>
    public const string HttpPort = "HttpPort";
}
