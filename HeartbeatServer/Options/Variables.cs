using System.Text.RegularExpressions;

namespace HeartbeatServer.Options;

/// <summary>The variables of the environment. Those of the options begin with <c>HEARTBEAT_</c>.</summary>
/// <param name="environment">All variables by their names.</param>
internal sealed partial class Variables(IReadOnlyDictionary<string, string> environment)
{
    public const string Prefix = "HEARTBEAT_";

    /// <summary>The text of an option's variable. Null if it is not set, is empty, or is a service link.</summary>
    public string? Of(OptionRow row) =>
        environment.TryGetValue(row.Variable, out string? text) && text.Length > 0 && !IsServiceLink(row.Variable, text) ? text : null;

    /// <summary>The variables that begin as those of the options do, and belong to none.</summary>
    public StrayVariables Stray()
    {
        List<string> links = [];
        List<UnknownVariable> unknown = [];
        foreach ((string name, string text) in environment.OrderBy(each => each.Key, StringComparer.Ordinal))
        {
            if (text.Length == 0 || !name.StartsWith(Prefix, StringComparison.OrdinalIgnoreCase))
                continue;
            if (IsServiceLink(name, text))
                links.Add(name);
            else if (!OptionTable.Rows.Any(row => row.Variable == name))
                unknown.Add(new UnknownVariable(name, Meant(name)));
        }
        return new StrayVariables(unknown, links);
    }

    private static string? Meant(string name)
    {
        IEnumerable<OptionRow> shown = OptionTable.Rows.Where(row => !row.IsHidden);
        string? option = Spelling.Nearest(name[Prefix.Length..], shown.Select(row => row.Variable[Prefix.Length..]));
        return option is null ? null : Prefix + option;
    }

    private static bool IsServiceLink(string name, string text) => LinkName().IsMatch(name) || (PortName().IsMatch(name) && LinkValue().IsMatch(text));

    // For a Service "heartbeat", or "heartbeat-" and more, in the same namespace Kubernetes sets HEARTBEAT_SERVICE_HOST, HEARTBEAT_PORT_8080_TCP_ADDR and
    // others, and HEARTBEAT_PORT=tcp://10.0.0.1:8080, which has the name of an option's variable.
    [GeneratedRegex("^HEARTBEAT(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$")]
    private static partial Regex LinkName();

    [GeneratedRegex("^HEARTBEAT(_[A-Z0-9_]+)?_PORT$")]
    private static partial Regex PortName();

    [GeneratedRegex("^(tcp|udp|sctp)://")]
    private static partial Regex LinkValue();
}
