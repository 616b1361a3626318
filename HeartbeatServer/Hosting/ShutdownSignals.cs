using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace HeartbeatServer.Hosting;

/// <summary>
/// Waits for the signals that ask the program to stop: SIGTERM, SIGINT (Ctrl+C), SIGQUIT (Ctrl+\) and SIGHUP (the terminal was closed). The first one
/// asks for a drain, the second one for an end at once.
/// </summary>
[SuppressMessage("Usage", "CA2213", Justification = "A signal that is on its way may still use the source, which without a timer has nothing to free.")]
internal sealed class ShutdownSignals : IDisposable
{
    private readonly TaskCompletionSource<string> _first = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _second = new();
    private readonly PosixSignalRegistration[] _registrations;

    public ShutdownSignals()
    {
        PosixSignal[] signals = [PosixSignal.SIGTERM, PosixSignal.SIGINT, PosixSignal.SIGQUIT, PosixSignal.SIGHUP];
        _registrations = Array.ConvertAll(signals, signal => PosixSignalRegistration.Create(signal, OnSignal));
    }

    /// <summary>Completes with the name of the first signal.</summary>
    public Task<string> First => _first.Task;

    /// <summary>Cancelled by the second signal.</summary>
    public CancellationToken Second => _second.Token;

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
            registration.Dispose();
    }

    private void OnSignal(PosixSignalContext context)
    {
        context.Cancel = true; // otherwise the runtime ends the process
        if (!_first.TrySetResult(context.Signal.ToString()))
            _second.Cancel();
    }
}
