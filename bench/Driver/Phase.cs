using System.Globalization;

namespace Driver;

/// <summary>One kind of load, run on a fresh server.</summary>
/// <param name="Name">In options and results.</param>
/// <param name="Load">The load generator's arguments.</param>
/// <param name="Ping">The server's ping interval, in milliseconds.</param>
/// <param name="Timeout">How long the server waits for a pong, in milliseconds.</param>
/// <param name="From">The mark at which the CPU of the server begins to count; "start" is before the load.</param>
/// <param name="To">The mark at which it ends.</param>
internal sealed record Phase(string Name, string Load, int Ping, int Timeout, string From, string To)
{
    // No ping falls into a short phase.
    private const int Rarely = 20_000;

    /// <summary>What servers are measured in that are the end point of a connection.</summary>
    public static IReadOnlyList<string> OfServers { get; } =
        ["idle", "mute", "echo64", "echo64d16", "echo64k", "echo1000", "handshake", "tail", "flood", "flood1000", "storm"];

    /// <summary>What relays are measured in. A pair takes two of their descriptors, so there are half as many connections.</summary>
    public static IReadOnlyList<string> OfRelays { get; } = ["echo64", "echo64d16", "echo64k", "echo1000", "handshake", "pairs"];

    /// <param name="seconds">Measured, of echoes and handshakes.</param>
    /// <param name="isQuick">Two beats of five seconds instead of ten, shorter warm-ups.</param>
    public static IReadOnlyList<Phase> All(double seconds, bool isQuick)
    {
        string measured = string.Create(CultureInfo.InvariantCulture, $"--warm-up {(isQuick ? 0.7 : 1.5)} --seconds {seconds}");
        (int ping, int settle, int hold) = isQuick ? (5, 3, 13) : (10, 5, 25);
        return
        [
            new("idle", $"idle --connections 10000 --rate 5000 --ping {ping} --settle {settle} --seconds {hold}", ping * 1000, 5_000, "steady", "held"),
            new("mute", "mute --connections 10000 --mute 500 --rate 5000 --ping 2 --at-least 4 --seconds 6", 2_000, 500, "open", "held"),
            Echo("echo64", $"--connections 64 --size 64 {measured}"),
            Echo("echo64d16", $"--connections 64 --size 64 --depth 16 {measured}"),
            Echo("echo64k", $"--connections 8 --size 65536 --binary 1 {measured}"),
            Echo("echo1000", $"--connections 1000 --size 64 {measured}"),
            new("handshake", $"handshake --connections 64 {measured}", Rarely, Rarely, "measure", "done"),
            new("tail", $"tail --connections 64 --size 64 --rate 5000 --watchers 10000 --comers 120 --warm-up 4 --seconds {(isQuick ? 8 : 20)}",
                2_000, 2_000, "measure", "done"),
            Flood("flood", 200),
            Flood("flood1000", 1_000),
            new("storm", "storm --connections 10000 --in-flight 500 --seconds 1", Rarely, Rarely, "start", "open"),
            new("pairs", $"idle --connections 5000 --rate 2500 --ping {ping} --settle {settle} --seconds {hold}", ping * 1000, 5_000, "steady", "held"),
        ];
    }

    private static Phase Flood(string name, int flooders) =>
        new(name, $"flood --connections {flooders} --size 8 --watchers 100 --ping 1 --warm-up 2 --seconds 6", 1_000, 1_000, "measure", "done");

    private static Phase Echo(string name, string load) => new(name, $"echo {load}", Rarely, Rarely, "measure", "done");
}
