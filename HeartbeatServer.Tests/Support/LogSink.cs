using System.Globalization;
using Serilog;
using Serilog.Core;
using Serilog.Events;

namespace HeartbeatServer.Tests.Support;

/// <summary>Collects what is logged.</summary>
internal sealed class LogSink : ILogEventSink
{
    private readonly Lock _gate = new();
    private readonly List<LogEvent> _events = [];
    private readonly Watch _watch = new();

    public IReadOnlyList<LogEvent> Events
    {
        get
        {
            lock (_gate)
                return [.. _events];
        }
    }

    /// <summary>Every line as a person reads it, without the time: <c>Warning #1 ... is suspect</c>.</summary>
    public IReadOnlyList<string> Lines => [.. Events.Select(Line)];

    public static string Line(LogEvent line) => $"{line.Level} {line.RenderMessage(CultureInfo.InvariantCulture)}";

    public Logger Logger(LogEventLevel level = LogEventLevel.Verbose) =>
        new LoggerConfiguration().MinimumLevel.Is(level).WriteTo.Sink(this).CreateLogger();

    public IReadOnlyList<string> Containing(string text) => [.. Lines.Where(line => line.Contains(text, StringComparison.Ordinal))];

    /// <summary>Waits for the first line with this text.</summary>
    public async Task<LogEvent> WithAsync(string text, int count = 1)
    {
        LogEvent? found = null;
        await _watch.UntilAsync(
            () => (found = Events.Where(line => Line(line).Contains(text, StringComparison.Ordinal)).ElementAtOrDefault(count - 1)) is not null,
            $"{count} log line(s) with \"{text}\"");
        return found!;
    }

    public void Emit(LogEvent logEvent)
    {
        lock (_gate)
            _events.Add(logEvent);
        _watch.Changed();
    }
}

internal static class LogEventExtensions
{
    /// <summary>A property as it was logged.</summary>
    public static object? Value(this LogEvent line, string property) => ((ScalarValue)line.Properties[property]).Value;
}
