using HeartbeatServer.Framing;

namespace HeartbeatServer.Probe;

internal enum EndKind
{
    /// <summary>FIN without a Close frame.</summary>
    Fin,
    /// <summary>RST.</summary>
    Reset,
    /// <summary>The server said goodbye, with a Close frame.</summary>
    Close,
    /// <summary>The server, or something on the way, broke a rule of RFC 6455.</summary>
    Violation,
    /// <summary>Nobody said anything, and a ping got no answer.</summary>
    Lost,
    /// <summary>The probe ended it: it could say nothing new.</summary>
    Done,
}

/// <summary>How a connection of the probe ended.</summary>
/// <param name="Kind">What was seen.</param>
/// <param name="Code">The code of a Close frame.</param>
/// <param name="Reason">The reason of a Close frame, or the rule that was broken; printable.</param>
internal sealed record ProbeEnd(EndKind Kind, ushort Code = 0, string Reason = "")
{
    /// <summary>As it stands in a sentence: <c>FIN</c>, <c>Close 1001 "idle"</c>.</summary>
    public string Text => Kind switch
    {
        EndKind.Fin => "FIN",
        EndKind.Reset => "RST",
        EndKind.Close => $"Close{(Code == CloseCode.NoStatus ? "" : $" {Code}")}{(Reason.Length == 0 ? "" : $" \"{Reason}\"")}",
        EndKind.Violation => $"a broken rule: {Reason}",
        EndKind.Lost => "no answer to a ping",
        _ => "the probe",
    };

    /// <summary>The name in the JSON.</summary>
    public string Name => Kind switch
    {
        EndKind.Fin => "fin",
        EndKind.Reset => "rst",
        EndKind.Close => "close",
        EndKind.Violation => "violation",
        EndKind.Lost => "lost",
        _ => "done",
    };
}
