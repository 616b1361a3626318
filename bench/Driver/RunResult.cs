using System.Text.Json.Nodes;

namespace Driver;

/// <summary>The figures of one run, and what makes them doubtful.</summary>
internal sealed class RunResult(string server, string phase, int rep)
{
    /// <summary>Cores that other processes may use before the run counts as disturbed.</summary>
    private const double Disturbing = 0.2;

    /// <summary>Part of its core from which the load generator itself may be what is measured.</summary>
    private const double Saturated = 0.97;

    public const string DidNotStart = "did not start";

    public string Server { get; } = server;
    public string Phase { get; } = phase;
    public Dictionary<string, double> Values { get; } = [];
    public List<string> Problems { get; } = [];
    public bool IsDisturbed { get; private set; }

    /// <summary>What the load generator printed.</summary>
    public JsonNode? Load { get; set; }

    /// <summary>A line for whoever watches.</summary>
    public string Summary
    {
        get
        {
            string[] shown = ["cpu_us", "operations_per_s", "off_beat_ms_p99", "first_echo_ms_p50", "first_echo_ms_p99", "cut_ms_p99", "latency_ms_p999", "rss_connection_kb", "rss_left_mb", "load_cores", "other_cores"];
            IEnumerable<string> figures = shown.Where(Values.ContainsKey).Select(name => $"{name} {Values[name]:0.##}");
            return $"{Phase} {Server}: {string.Join(", ", [.. figures, .. Problems])}";
        }
    }

    /// <summary>Works the figures out.</summary>
    /// <param name="used">Between the two marks of the phase.</param>
    /// <param name="growth">Resident bytes that the server gained while the crowd stood.</param>
    public void Derive(Sample used, long growth)
    {
        foreach ((string name, JsonNode? value) in Load?.AsObject() ?? [])
        {
            if (value?.GetValueKind() == System.Text.Json.JsonValueKind.Number)
                Values[name] = value.GetValue<double>();
        }
        Values["server_cores"] = used.Server / used.Time;
        Values["load_cores"] = used.Load / used.Time;
        Values["other_cores"] = (used.Machine - used.Server - used.Load - used.Application) / used.Time;
        if (used.Operations > 0)
            Values["cpu_us"] = used.Server / used.Operations * 1e6;
        if (growth > 0 && Values.GetValueOrDefault("opened") > 0)
            Values["rss_connection_kb"] = growth / Values["opened"] / 1e3;

        foreach (string count in (string[])["failures", "unexpected", "unanswered", "never_closed", "flooders_lost"])
        {
            if (Values.GetValueOrDefault(count) > 0)
                Problems.Add($"{Values[count]:0} {count.Replace('_', ' ')}");
        }
        if (Values["load_cores"] > Saturated)
            Problems.Add($"the load generator used {Values["load_cores"]:0.00} of its core");
        IsDisturbed = Values["other_cores"] > Disturbing;
    }

    public JsonObject ToJson() => new()
    {
        ["server"] = Server,
        ["phase"] = Phase,
        ["rep"] = rep,
        ["at"] = DateTimeOffset.UtcNow.ToString("O"),
        ["values"] = new JsonObject(Values.Select(pair => KeyValuePair.Create(pair.Key, (JsonNode?)pair.Value))),
        ["problems"] = new JsonArray([.. Problems]),
        ["disturbed"] = IsDisturbed,
    };
}
