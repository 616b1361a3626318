using System.Globalization;
using Serilog.Events;
using Serilog.Formatting;
using Serilog.Formatting.Json;

namespace HeartbeatServer.Telemetry;

/// <summary>
/// Writes each line of the log as one flat JSON object: <c>time</c> (ISO 8601, UTC), <c>level</c> (as <c>--log-level</c> names it), <c>message</c>,
/// the properties (<c>event</c> is the first of them), and <c>exception</c> if there is one.
/// </summary>
internal sealed class JsonLines : ITextFormatter
{
    private static readonly JsonValueFormatter Values = new();

    public void Format(LogEvent logEvent, TextWriter output)
    {
        output.Write("{\"time\":\"");
        output.Write(logEvent.Timestamp.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture));
        output.Write("\",\"level\":\"");
        output.Write(Enum.GetName(logEvent.Level)!.ToLowerInvariant());
        output.Write("\",\"message\":");
        JsonValueFormatter.WriteQuotedJsonString(logEvent.RenderMessage(CultureInfo.InvariantCulture), output);
        foreach ((string name, LogEventPropertyValue value) in logEvent.Properties)
        {
            if (value is ScalarValue { Value: TextOnly })
                continue;
            output.Write(',');
            JsonValueFormatter.WriteQuotedJsonString(name, output);
            output.Write(':');
            Values.Format(value, output);
        }
        if (logEvent.Exception is { } error)
        {
            output.Write(",\"exception\":");
            JsonValueFormatter.WriteQuotedJsonString(error.ToString(), output);
        }
        output.WriteLine('}');
    }
}
