using Serilog.Events;
using Serilog.Parsing;

namespace HeartbeatServer.Telemetry;

/// <summary>A kind of line in the log. Its holes have the names of properties, in snake_case as in <c>/status</c>.</summary>
/// <param name="name">What programs know the line by, for example <c>connection_ended</c>. It is stable; the words of the template may change.</param>
/// <param name="level">How much the line matters.</param>
/// <param name="template">The words for a person, as a message template of Serilog.</param>
/// <param name="detail">What tells lines of one name apart when they are counted, for example the cause of an end; else empty.</param>
internal sealed class LogLine(string name, LogEventLevel level, string template, string detail = "")
{
    public string Name => name;

    public LogEventLevel Level => level;

    public string Detail => detail;

    public MessageTemplate Template { get; } = new MessageTemplateParser().Parse(template);
}

/// <summary>
/// A text that is put together for the words of a line. The JSON leaves it out, because it has the parts of the text as properties.
/// </summary>
internal readonly record struct TextOnly(string Text)
{
    public override string ToString() => Text;
}
