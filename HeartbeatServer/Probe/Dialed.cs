using System.Net;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Probe;

/// <summary>What an attempt to connect is at, in this order.</summary>
internal enum DialStage
{
    LookUp,
    Connect,
    Tls,
    Upgrade,
}

/// <summary>How an attempt to connect went.</summary>
internal sealed class Dialed
{
    /// <summary>How long each stage took, as far as it came.</summary>
    public Dictionary<DialStage, TimeSpan> Took { get; } = [];

    /// <summary>The address that answered; null if none did.</summary>
    public IPEndPoint? Address { get; set; }

    /// <summary>The head of the answer; null if none came.</summary>
    public AnswerHead? Head { get; set; }

    /// <summary>The beginning of the body of an answer that is no upgrade.</summary>
    public string Body { get; set; } = "";

    /// <summary>Why there is no connection, worded to stand behind "No connection: "; null if there is one, or if the server refused it with a status.</summary>
    public string? Fault { get; set; }

    /// <summary>The connection; null if there is none.</summary>
    public ProbeLine? Line { get; set; }
}
