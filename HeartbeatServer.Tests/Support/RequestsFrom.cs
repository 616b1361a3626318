namespace HeartbeatServer.Tests.Support;

/// <summary>Where a server under test gets its requests from. Tests of what both do alike run with both.</summary>
public enum RequestsFrom
{
    /// <summary>From the server's own sockets, on event loops with epoll.</summary>
    HttpPort,

    /// <summary>From HttpListener's own accept loop, as on a system without epoll.</summary>
    PlainLoop,
}

/// <summary>Categories of tests.</summary>
internal static class Categories
{
    /// <summary>
    /// The test needs something that only HttpPort has: the timeout and the limit of a request that does not end, its raw bytes, or our own epoll
    /// instance.
    /// </summary>
    public const string HttpPort = "HttpPort";
}
