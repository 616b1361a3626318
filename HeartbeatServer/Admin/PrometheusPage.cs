using System.Diagnostics;
using System.Diagnostics.Metrics;
using HeartbeatServer.Hosting;
using Prometheus;

namespace HeartbeatServer.Admin;

/// <summary>
/// Writes the page /metrics: our meter, and some instruments of the runtime's, in the text format of Prometheus. prometheus-net keeps and writes the
/// series; this class only maps the instruments to them. docs/decisions/0007-dependencies.md says why it does not use prometheus-net's own adapter.
/// </summary>
internal sealed class PrometheusPage : IDisposable
{
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    private const string RuntimeMeter = "System.Runtime";

    /// <summary>The instruments of the runtime's that explain a late beat or a large heap.</summary>
    private static readonly HashSet<string> RuntimeInstruments =
    [
        "dotnet.gc.collections", "dotnet.gc.heap.total_allocated", "dotnet.gc.last_collection.memory.committed_size", "dotnet.gc.pause.time",
        "dotnet.monitor.lock_contentions",
    ];

    private readonly CollectorRegistry _registry = Metrics.NewCustomRegistry();
    private readonly MetricFactory _factory;
    private readonly MeterListener _listener = new();
    private readonly OpenFiles _files;
    private readonly Counter _cpu;
    private readonly Gauge _memory;
    private readonly Gauge _threads;
    private readonly Gauge _open;
    private readonly Gauge _queue;

    /// <param name="meter">The server's own meter.</param>
    /// <param name="files">The open files of this process.</param>
    public PrometheusPage(Meter meter, OpenFiles files)
    {
        _files = files;
        _factory = Metrics.WithCustomRegistry(_registry);
        // Every Prometheus client library has these names for figures of the process.
        _cpu = _factory.CreateCounter("process_cpu_seconds_total", "Processor time, user and system, in seconds");
        _memory = _factory.CreateGauge("process_resident_memory_bytes", "Resident memory, in bytes");
        _threads = _factory.CreateGauge("process_threads", "Threads of the operating system");
        _open = _factory.CreateGauge("process_open_fds", "Open file descriptors");
        // The runtime publishes the queue's length as a counter, which cannot go down.
        _queue = _factory.CreateGauge("dotnet_thread_pool_queue_length", "Work that waits for a thread of the pool");
        if (files.Limit is { } limit)
            _factory.CreateGauge("process_max_fds", "Limit of open file descriptors").Set(limit);
        using (Process process = Process.GetCurrentProcess())
        {
            _factory.CreateGauge("process_start_time_seconds", "When the process started, in seconds since 1970")
                .Set(new DateTimeOffset(process.StartTime.ToUniversalTime()).ToUnixTimeMilliseconds() / 1000.0);
        }
        _factory.CreateGauge("heartbeat_build_info", "1, with the build in the labels", "version", "commit")
            .WithLabels(BuildVersion.Number, BuildVersion.Commit)
            .Set(1);

        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter == meter || (instrument.Meter.Name == RuntimeMeter && RuntimeInstruments.Contains(instrument.Name)))
                listener.EnableMeasurementEvents(instrument, PrometheusSeries.Of(_factory, instrument));
        };
        _listener.SetMeasurementEventCallback<int>(static (_, value, tags, series) => ((PrometheusSeries)series!).Record(value, tags));
        _listener.SetMeasurementEventCallback<long>(static (_, value, tags, series) => ((PrometheusSeries)series!).Record(value, tags));
        _listener.SetMeasurementEventCallback<double>(static (_, value, tags, series) => ((PrometheusSeries)series!).Record(value, tags));
        _listener.Start();
    }

    /// <summary>The page with the figures of this moment.</summary>
    public async Task<ReadOnlyMemory<byte>> WriteAsync()
    {
        _listener.RecordObservableInstruments();
        using (Process process = Process.GetCurrentProcess())
        {
            _cpu.IncTo(process.TotalProcessorTime.TotalSeconds);
            _memory.Set(process.WorkingSet64);
            _threads.Set(process.Threads.Count);
        }
        _queue.Set(ThreadPool.PendingWorkItemCount);
        _open.Set(_files.CountOpen());
        using var page = new MemoryStream();
        await _registry.CollectAndExportAsTextAsync(page);
        return page.GetBuffer().AsMemory(0, (int)page.Length);
    }

    public void Dispose() => _listener.Dispose();
}
