using System.Globalization;
using Serilog;
using Serilog.Core;
using Serilog.Events;
using Serilog.Formatting.Compact;

namespace HeartbeatServer.Telemetry;

/// <summary>Where log lines go: to standard output, through a queue.</summary>
internal static class LogSetup
{
    /// <summary>Lines that may wait for a slow terminal or pipe. Further ones are dropped: a heart that waits for a terminal misses beats.</summary>
    private const int QueueLength = 100_000;

    private const string Template = "{Timestamp:HH:mm:ss.fff} [{Level:u3}] {Message:lj}{NewLine}{Exception}";

    /// <param name="level">The least level that is written.</param>
    /// <param name="json">One JSON object a line (compact log event format), or text.</param>
    public static Logger Create(LogEventLevel level, bool json) => new LoggerConfiguration()
        .MinimumLevel.Is(level)
        .WriteTo.Async(
            queue =>
            {
                if (json)
                    queue.Console(new RenderedCompactJsonFormatter());
                else
                    queue.Console(outputTemplate: Template, formatProvider: CultureInfo.InvariantCulture);
            },
            QueueLength,
            blockWhenFull: false)
        .CreateLogger();
}
