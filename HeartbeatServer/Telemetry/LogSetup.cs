using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using Serilog;
using Serilog.Core;
using Serilog.Events;
using Serilog.Formatting.Compact;
using Serilog.Sinks.Async;

namespace HeartbeatServer.Telemetry;

/// <summary>Sends log lines to standard output through a queue, so that no thread of the server waits for a terminal.</summary>
[SuppressMessage("Usage", "CA2213", Justification = "DisposeAsync disposes of the logger on a thread of its own, which it may leave behind.")]
internal sealed class LogSetup : IAsyncDisposable, IAsyncLogEventSinkMonitor
{
    /// <summary>So many lines may wait for a slow terminal or pipe. Further lines are dropped, because a thread that waited would miss beats.</summary>
    private const int QueueLength = 10_000;

    private const string Template = "{Timestamp:HH:mm:ss.fff} [{Level:u3}] {Message:lj}{NewLine}{Exception}";

    /// <summary>The last lines may take so long at the end. An output that nobody reads must not keep the process from ending.</summary>
    private static readonly TimeSpan FlushTimeout = TimeSpan.FromSeconds(1);

    private readonly Logger _logger;
    private IAsyncLogEventSinkInspector? _queue;

    /// <param name="level">Lines below this level are not written.</param>
    /// <param name="json">True for one JSON object a line (compact log event format), false for text.</param>
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

    /// <summary>How many lines were dropped because the queue was full.</summary>
    public long Dropped => _queue?.DroppedMessagesCount ?? 0;

    public void StartMonitoring(IAsyncLogEventSinkInspector inspector) => _queue = inspector;

    public void StopMonitoring(IAsyncLogEventSinkInspector inspector)
    {
        // The queue is kept: its last count of dropped lines stays readable.
    }

    /// <summary>Writes the lines that are queued, as far as there is time.</summary>
    public async ValueTask DisposeAsync() => await Task.WhenAny(
        Task.Factory.StartNew(_logger.Dispose, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default),
        Task.Delay(FlushTimeout));
}
