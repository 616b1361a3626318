using System.Security.Cryptography;
using HeartbeatServer.Framing;

namespace HeartbeatServer.Tests.Support;

/// <summary>What a reader has found in a stream: the events in order, and the violation at the end, if there was one.</summary>
internal sealed class Transcript
{
    private readonly List<string> _events = [];

    /// <summary>The events, each in the form of <see cref="Event"/>.</summary>
    public IReadOnlyList<string> Events => _events;

    /// <summary>The close code of the violation that ended the stream; 0 if there was none.</summary>
    public int Violation { get; private set; }

    /// <summary>The rule that was broken, with its section; empty if there was none.</summary>
    public string Rule { get; private set; } = "";

    /// <summary>How many bytes the reader got until it ended.</summary>
    public int BytesTaken { get; set; }

    /// <summary>An event as text: the opcode, the length and the payload in hexadecimal, or its hash if it is long.</summary>
    public static string Event(Opcode opcode, ReadOnlySpan<byte> payload)
    {
        string content = payload.Length <= 130 ? Convert.ToHexString(payload) : Convert.ToHexString(SHA256.HashData(payload))[..16];
        return $"{opcode} {payload.Length} {content}";
    }

    public void Add(Opcode opcode, ReadOnlySpan<byte> payload) => _events.Add(Event(opcode, payload));

    public void End(int code, string rule = "") => (Violation, Rule) = (code, rule);

    /// <summary>The events and the close code. They must be the same for every split of the same bytes.</summary>
    public override string ToString() => string.Join("\n", Violation == 0 ? _events : [.. _events, $"violation {Violation}"]);
}
