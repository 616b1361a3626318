using System.Globalization;
using System.Text;

namespace Driver;

/// <summary>Tables of medians, in Markdown.</summary>
internal sealed class Report(IReadOnlyList<Target> targets, IReadOnlyDictionary<string, string> machine, IReadOnlyList<RunResult> results)
{
    public string ToMarkdown()
    {
        var text = new StringBuilder();
        foreach ((string name, string value) in machine)
            text.AppendLine(CultureInfo.InvariantCulture, $"- {name}: {value}");
        int most = results.Count == 0 ? 0 : results.GroupBy(result => (result.Server, result.Phase)).Max(runs => runs.Count());
        text.AppendLine();
        text.AppendLine(most == 1
            ? "A single run of each: a first look, no result."
            : $"Medians of {most} interleaved runs (lowest–highest); ×: how many times the first column's median.");
        // The goals are those of a server that replies itself.
        Append(text, Figure.Costs, withGoal: !targets[0].IsRelay);
        text.AppendLine("\nWhat follows depends on the wall clock, and so on everything else on the machine:");
        Append(text, Figure.WallClock, withGoal: false);
        AppendProblems(text);
        return text.ToString();
    }

    /// <summary>Puts the tables between the two marks of a page that have their name.</summary>
    public void WriteInto(string page, string name)
    {
        string before = $"<!-- {name} -->", behind = $"<!-- end of {name} -->";
        string text = File.ReadAllText(page);
        int begin = text.IndexOf(before, StringComparison.Ordinal);
        int end = text.IndexOf(behind, StringComparison.Ordinal);
        if (begin < 0 || end < begin)
            throw new InvalidDataException($"{page} has no '{before}' and '{behind}'");
        File.WriteAllText(page, $"{text[..(begin + before.Length)]}\n\n{ToMarkdown()}\n{text[end..]}");
    }

    private void Append(StringBuilder text, IReadOnlyList<Figure> figures, bool withGoal)
    {
        List<string> heads = ["figure", .. targets.Select(target => target.Title)];
        if (withGoal)
            heads.Add("goal");
        text.AppendLine();
        text.AppendLine($"| {string.Join(" | ", heads)} |");
        text.AppendLine($"|{string.Concat(Enumerable.Repeat("---|", heads.Count))}");
        foreach (Figure figure in figures.Where(figure => results.Any(result => result.Phase == figure.Phase)))
        {
            double? first = Median(Values(targets[0], figure));
            List<string> cells = [figure.Title, .. targets.Select(target => Cell(target, figure, first))];
            if (withGoal)
                cells.Add(figure.Goal is { } goal ? $"≤ {Short(goal)}" : "");
            text.AppendLine($"| {string.Join(" | ", cells)} |");
        }
    }

    private string Cell(Target target, Figure figure, double? first)
    {
        double[] values = Values(target, figure);
        if (Median(values) is not { } median)
            return figure.Absent;
        string range = values.Length > 1 && Short(values.Min()) != Short(values.Max()) ? $" ({Short(values.Min())}–{Short(values.Max())})" : "";
        string ratio = target != targets[0] && first > 0 ? $" ×{Ratio(median / first.Value)}" : "";
        return Short(median) + range + ratio;
    }

    private void AppendProblems(StringBuilder text)
    {
        RunResult[] troubled = [.. results.Where(result => result.Problems.Count > 0)];
        int disturbed = results.Count(result => result.IsDisturbed);
        text.AppendLine($"\n{results.Count} runs. In {disturbed} of them other processes used more than a fifth of a core while it was measured.");
        foreach (RunResult result in troubled)
            text.AppendLine($"- {result.Server}, {result.Phase}: {string.Join("; ", result.Problems)}");
    }

    private double[] Values(Target target, Figure figure) =>
    [
        .. results.Where(result => result.Server == target.Name && result.Phase == figure.Phase && result.Values.ContainsKey(figure.Value))
            .Select(result => result.Values[figure.Value]),
    ];

    private static double? Median(double[] values)
    {
        if (values.Length == 0)
            return null;
        double[] sorted = [.. values.Order()];
        int middle = sorted.Length / 2;
        return sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }

    /// <summary>Three digits.</summary>
    private static string Short(double value) => value.ToString(
        Math.Abs(value) switch { < 10 => "0.##", < 100 => "0.#", < 10_000 => "0", _ => "#,0" }, CultureInfo.InvariantCulture);

    private static string Ratio(double value) => value.ToString(value < 10 ? "0.0" : "0", CultureInfo.InvariantCulture);
}
