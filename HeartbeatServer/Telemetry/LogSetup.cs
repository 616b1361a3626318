using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using Serilog;
using Serilog.Configuration;
using Serilog.Core;
using Serilog.Events;
using Serilog.Sinks.Async;
using Serilog.Sinks.SystemConsole.Themes;

namespace HeartbeatServer.Telemetry;

/// <summary>Sends log lines to standard output through a queue, so that no thread of the server waits for a terminal.</summary>
[SuppressMessage("Usage", "CA2213", Justification = "DisposeAsync disposes of the logger on a thread of its own, which it may leave behind.")]
internal sealed class LogSetup : IAsyncDisposable, IAsyncLogEventSinkMonitor
{
    /// <summary>
    /// So many lines may wait for a slow terminal or pipe. Further lines are dropped, because a thread that waited would miss beats. Only the ends of
    /// connections come in such numbers (<see cref="LineLimit"/>), so this is how many connections may end at one moment.
    /// </summary>
    private const int QueueLength = 40_000;

    /// <summary>How often to look whether lines were dropped, and to say so.</summary>
    public static readonly TimeSpan TellEvery = TimeSpan.FromSeconds(10);

    private const string Template = "{Timestamp:yyyy-MM-ddTHH:mm:ss.fffzzz} [{Level:u3}] {Message:lj}{NewLine}{Exception}";

    /// <summary>The last lines may take so long at the end. An output that nobody reads must not keep the process from ending.</summary>
    private static readonly TimeSpan FlushTimeout = TimeSpan.FromSeconds(1);

    private readonly Logger _logger;
    private IAsyncLogEventSinkInspector? _queue;
    private long _leftOut;

    /// <param name="level">Lines below this level are not written.</param>
    /// <param name="json">True for one JSON object a line, false for text.</param>
    /// <param name="noColor">The variable NO_COLOR. If it has a value, the text has no colours (no-color.org).</param>
    public LogSetup(LogEventLevel level, bool json, string? noColor = null)
    {
        IsJson = json;
        _logger = new LoggerConfiguration()
            .MinimumLevel.Is(level)
            .Filter.ByExcluding(IsTooMuch)
            .WriteTo.Async(queue => WriteTo(queue, json, Theme(noColor)), this, QueueLength, blockWhenFull: false)
            .CreateLogger();
    }

    public ILogger Logger => _logger;

    /// <summary>Whether programs read the log.</summary>
    public bool IsJson { get; }

    /// <summary>How many lines were dropped because the queue was full, or half full in the case of a line at debug.</summary>
    public long Dropped => (_queue?.DroppedMessagesCount ?? 0) + Interlocked.Read(ref _leftOut);

    public void StartMonitoring(IAsyncLogEventSinkInspector inspector) => _queue = inspector;

    public void StopMonitoring(IAsyncLogEventSinkInspector inspector)
    {
        // The queue is kept: its last count of dropped lines stays readable.
    }

    /// <summary>Writes the lines that are queued, as far as there is time.</summary>
    public async ValueTask DisposeAsync() => await Task.WhenAny(
        Task.Factory.StartNew(_logger.Dispose, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default),
        Task.Delay(FlushTimeout));

    /// <summary>Drops lines at debug while the queue is half full, so that the rest is for lines that matter more.</summary>
    private bool IsTooMuch(LogEvent line)
    {
        if (line.Level > LogEventLevel.Debug || _queue is not { } queue || queue.Count < QueueLength / 2)
            return false;
        Interlocked.Increment(ref _leftOut);
        return true;
    }

    private static void WriteTo(LoggerSinkConfiguration sink, bool json, ConsoleTheme theme)
    {
        if (json)
            sink.Console(new JsonLines());
        else
            sink.Console(outputTemplate: Template, formatProvider: CultureInfo.InvariantCulture, theme: theme);
    }

    /// <summary>
    /// The colours of the text on a terminal. Only the level has one, out of the terminal's own sixteen. A warning and an error have a background too,
    /// so they can be read on a dark terminal and on a white one.
    /// </summary>
    private static ConsoleTheme Theme(string? noColor) => !string.IsNullOrEmpty(noColor) ? ConsoleTheme.None : new AnsiConsoleTheme(
        new Dictionary<ConsoleThemeStyle, string>
        {
            [ConsoleThemeStyle.LevelInformation] = "\e[32m", // green
            [ConsoleThemeStyle.LevelWarning] = "\e[30;43m", // black on yellow
            [ConsoleThemeStyle.LevelError] = "\e[97;41m", // white on red
            [ConsoleThemeStyle.LevelFatal] = "\e[97;41m",
        });
}
