namespace Driver;

/// <summary>A row of the table.</summary>
/// <param name="Title">With its unit.</param>
/// <param name="Phase">That it comes from.</param>
/// <param name="Value">Its name in <see cref="RunResult.Values"/>.</param>
/// <param name="Goal">What this repository holds itself to on the machine of docs/benchmarks.md; at most.</param>
/// <param name="Absent">What it means if a server has no such figure.</param>
internal sealed record Figure(string Title, string Phase, string Value, double? Goal = null, string Absent = "–")
{
    /// <summary>What a server costs: lower is better.</summary>
    public static IReadOnlyList<Figure> Costs { get; } =
    [
        new("RSS per idle connection, 10,000 of them (KB)", "idle", "rss_connection_kb", 3),
        new("CPU per ping round trip, 10,000 connections (µs)", "idle", "cpu_us", 14, "no pings"),
        new("pings off their beat, p99 (ms)", "idle", "off_beat_ms_p99", 15, "no pings"),
        new("500 mute of 10,000 cut after (timeout 500 ms), p50 (ms)", "mute", "cut_ms_p50", 505, "never"),
        new("the same, p99 (ms)", "mute", "cut_ms_p99", 515, "never"),
        new("CPU per echo, 64 B, one in flight (µs)", "echo64", "cpu_us", 7.5),
        new("CPU per echo, 64 B, 16 in flight (µs)", "echo64d16", "cpu_us", 0.85),
        new("CPU per echo, 64 KiB (µs)", "echo64k", "cpu_us", 40),
        new("CPU per echo, 64 B, 1,000 connections (µs)", "echo1000", "cpu_us", 9.5),
        new("CPU per upgrade and close (µs)", "handshake", "cpu_us", 65),
        new("echo beside 10,000 clients pinged every 2 s while others come and leave, p99.9 (ms)", "tail", "latency_ms_p999"),
        new("beside 200 clients that never pause: pings off their beat, p99 (ms)", "flood", "off_beat_ms_p99", Absent: "no pings"),
        new("the same: connect to first echo of a newcomer, p50 (ms)", "flood", "first_echo_ms_p50"),
        new("the same, p99 (ms)", "flood", "first_echo_ms_p99"),
        new("beside 1,000 of them: pings off their beat, p99 (ms)", "flood1000", "off_beat_ms_p99", Absent: "no pings"),
        new("the same: connect to first echo of a newcomer, p99 (ms)", "flood1000", "first_echo_ms_p99"),
        new("10,000 connects at once: CPU per connect (µs)", "storm", "cpu_us", 80),
        new("10,000 connects at once: failures", "storm", "failures", 0),
        new("RSS after the 10,000 have left (MB)", "storm", "rss_left_mb", 40),
        new("RSS per idle pair, 5,000 of them (KB)", "pairs", "rss_connection_kb"),
        new("CPU per ping round trip, 5,000 pairs (µs)", "pairs", "cpu_us", Absent: "no pings"),
        new("pings off their beat, p99 (ms)", "pairs", "off_beat_ms_p99", Absent: "no pings"),
    ];

    /// <summary>What depends on the wall clock, and so on everything else on the machine.</summary>
    public static IReadOnlyList<Figure> WallClock { get; } =
    [
        new("RSS after start (MB)", "idle", "rss_start_mb"),
        new("healthy connections cut beside 500 mute ones", "mute", "unexpected"),
        new("echoes a second, 64 B, one in flight", "echo64", "operations_per_s"),
        new("echo latency, 64 B, one in flight, p50 (ms)", "echo64", "latency_ms_p50"),
        new("echo latency, 64 B, one in flight, p99 (ms)", "echo64", "latency_ms_p99"),
        new("echoes a second, 64 B, 16 in flight", "echo64d16", "operations_per_s"),
        new("echoes a second, 64 KiB", "echo64k", "operations_per_s"),
        new("echoes a second, 64 B, 1,000 connections", "echo1000", "operations_per_s"),
        new("echo latency, 64 B, 1,000 connections, p99 (ms)", "echo1000", "latency_ms_p99"),
        new("echo beside 10,000 clients pinged every 2 s, p99 (ms)", "tail", "latency_ms_p99"),
        new("upgrades a second", "handshake", "operations_per_s"),
        new("echoes a second of 200 clients that never pause", "flood", "operations_per_s"),
        new("time to 10,000 connections in a storm (s)", "storm", "open_s"),
        new("upgrade in a storm, p99 (ms)", "storm", "handshake_ms_p99"),
        new("load generator's use of its core, echo 64 B", "echo64", "load_cores"),
        new("load generator's use of its core, echo 16 in flight", "echo64d16", "load_cores"),
        new("load generator's use of its core, echo 64 KiB", "echo64k", "load_cores"),
    ];
}
