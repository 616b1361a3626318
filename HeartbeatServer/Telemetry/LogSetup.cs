using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using Serilog;
using Serilog.Core;
using Serilog.Events;
using Serilog.Formatting.Compact;
using Serilog.Sinks.Async;

namespace HeartbeatServer.Telemetry;

/// <summary>Log lines go to standard output, through a queue.</summary>
[SuppressMessage("Usage", "CA2213", Justification = "DisposeAsync does dispose of the logger, on a thread that it may leave behind.")]
internal sealed class LogSetup : IAsyncDisposable, IAsyncLogEventSinkMonitor
{
    /// <summary>Lines that may wait for a slow terminal or pipe. Further ones are dropped: a heart that waits for a terminal misses beats.</summary>
    private const int QueueLength = 10_000;

    private const string Template = "{Timestamp:HH:mm:ss.fff} [{Level:u3}] {Message:lj}{NewLine}{Exception}";

    /// <summary>How long the last lines may take at the end: an output that nobody reads must not keep the process.</summary>
    private static readonly TimeSpan FlushTimeout = TimeSpan.FromSeconds(1);

    private readonly Logger _logger;
    private IAsyncLogEventSinkInspector? _queue;

    /// <param name="level">The least level that is written.</param>
    /// <param name="json">One JSON object a line (compact log event format), or text.</param>
    public LogSetup(LogEventLevel level, bool json) => _logger = new LoggerConfiguration()
        .MinimumLevel.Is(level)
        .WriteTo.Async(
            queue =>
            {
                if (json)
                    queue.Console(new RenderedCompactJsonFormatter());
                else
                    queue.Console(outputTemplate: Template, formatProvider: CultureInfo.InvariantCulture);
            },
            this,
            QueueLength,
            blockWhenFull: false)
        .CreateLogger();

    public ILogger Logger => _logger;

    /// <summary>Lines that did not fit the queue.</summary>
    public long Dropped => _queue?.DroppedMessagesCount ?? 0;

    public void StartMonitoring(IAsyncLogEventSinkInspector inspector) => _queue = inspector;

    public void StopMonitoring(IAsyncLogEventSinkInspector inspector)
    {
        // The last count stays readable.
    }

    /// <summary>Writes what is queued.</summary>
    public async ValueTask DisposeAsync() => await Task.WhenAny(
        Task.Factory.StartNew(_logger.Dispose, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default),
        Task.Delay(FlushTimeout));
}
