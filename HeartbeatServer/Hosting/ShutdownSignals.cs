using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace HeartbeatServer.Hosting;

/// <summary>SIGTERM and SIGINT (Ctrl+C): the first asks for a drain, the second for an end at once.</summary>
[SuppressMessage("Usage", "CA2213", Justification = "A signal may be on its way; a source without a timer has nothing to free.")]
internal sealed class ShutdownSignals : IDisposable
{
    private readonly TaskCompletionSource<string> _first = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _second = new();
    private readonly PosixSignalRegistration _terminate;
    private readonly PosixSignalRegistration _interrupt;

    public ShutdownSignals()
    {
        _terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
        _interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
    }

    /// <summary>The name of the first signal, when it comes.</summary>
    public Task<string> First => _first.Task;

    /// <summary>Cancelled by the second signal.</summary>
    public CancellationToken Second => _second.Token;

    public void Dispose()
    {
        _terminate.Dispose();
        _interrupt.Dispose();
    }

    private void OnSignal(PosixSignalContext context)
    {
        context.Cancel = true; // the runtime would end the process
        if (!_first.TrySetResult(context.Signal.ToString()))
            _second.Cancel();
    }
}
